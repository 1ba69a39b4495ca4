package supervision

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/sandbox"
)

const (
	// pressed is the part of its limit, in percent, at which the memory of all
	// sandboxes is short.
	pressed = 95
	// pressedIdle is how long a session must be idle to be ended for that.
	pressedIdle = time.Minute
)

// A gauge is a backend that knows what all its sandboxes together use and may
// use, in bytes. A limit of 0 is none.
type gauge interface {
	Pressure() (used, limit int64)
}

// awake sees to it that a tick is under way. There is one while there are
// sessions or somebody waits to have one.
func (s *state) awake(c actor.Context) {
	if s.tick != nil || len(s.booked)+len(s.queue) == 0 {
		return
	}
	next := &tick{}
	s.tick = next
	self, root := c.Self(), c.ActorSystem().Root
	time.AfterFunc(tickEvery, func() { root.Send(self, next) })
}

// look is what is done at each tick.
func (s *state) look(c actor.Context, m *tick) {
	if m != s.tick {
		return
	}
	s.tick = nil
	s.awake(c) // first, so that a panic below does not end the ticks
	if s.closing {
		return
	}
	s.relieve(c)
	due := time.Since(s.swept) >= s.opts.SweepInterval
	if due {
		s.swept = time.Now()
		go s.store.Sweep(s.swept) // ends with the disk's answer
	}
	s.sweep(c, due)
	s.chill(c)
	s.admit(c)
}

// sweep ends the sessions that nobody has used for long, and those that are too
// old. One with times of its own is looked at each time, the others when it is
// due.
func (s *state) sweep(c actor.Context, due bool) {
	now := time.Now()
	for sl := range s.booked {
		if !due && sl.asked.IdleTimeout <= 0 && sl.asked.MaxAge <= 0 {
			continue
		}
		limit := s.opts.IdleTimeout
		if sl.asked.IdleTimeout > 0 {
			limit = sl.asked.IdleTimeout
		}
		if since, ok := sl.idle(); ok && now.Sub(since) >= limit && sl.use.seal() {
			s.end(c, sl, sandbox.CauseIdle)
		} else if at := sl.expires(); sl.phase == live && !at.IsZero() && !now.Before(at) {
			s.end(c, sl, sandbox.CauseExpired)
		}
	}
}

// relieve ends one idle session when the memory of all is short: that of the
// sandboxes, not of the host. The next tick sees whether it helped.
func (s *state) relieve(c actor.Context) {
	g, ok := s.backend.(gauge)
	if !ok {
		return
	}
	used, limit := g.Pressure()
	if limit <= 0 || used <= limit/100*pressed {
		return
	}
	for sl := range s.booked {
		if sl.phase == ending {
			return // it is on its way already
		}
	}
	idle := s.idlers()
	if len(idle) == 0 {
		return
	}
	if since, ok := idle[0].idle(); ok && time.Since(since) >= pressedIdle && idle[0].use.seal() {
		s.opts.Logger.Warn("memory is short", "session", idle[0].spec.Session, "used", used, "limit", limit)
		s.end(c, idle[0], sandbox.CauseHostMemory)
	}
}
