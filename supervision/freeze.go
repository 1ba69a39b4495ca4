package supervision

import (
	"context"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

const (
	// freezers is how many sandboxes are frozen side by side.
	freezers = 4
	// freezeLimit bounds one freezing.
	freezeLimit = 10 * time.Second
)

// frozen tells whether a sandbox is paused.
func frozen(box sandbox.Sandbox) bool {
	f, ok := box.(sandbox.Freezer)
	return ok && f.Frozen()
}

// chill begins to freeze the sessions that nobody has used for so long. That
// somebody begins to use one meanwhile is the sandbox's to see: it gives up the
// freezing, or thaws first.
func (s *state) chill(c actor.Context) {
	s.due = s.due[:0]
	if s.opts.FreezeAfter <= 0 {
		return
	}
	now := time.Now()
	for sl := range s.booked {
		if s.coolable(sl, now) {
			s.due = append(s.due, sl)
		}
	}
	s.chillNext(c)
}

// coolable tells whether it is time to freeze a session. One that could not be
// frozen, as it has left something running, is tried again as much later.
func (s *state) coolable(sl *slot, now time.Time) bool {
	if s.opts.FreezeAfter <= 0 || sl.freezing || now.Sub(sl.chilled) < s.opts.FreezeAfter || frozen(sl.box) {
		return false
	}
	if _, can := sl.box.(sandbox.Freezer); !can {
		return false
	}
	since, ok := sl.idle()
	return ok && now.Sub(since) >= s.opts.FreezeAfter
}

// chillNext freezes what is due, as many side by side as there are freezers.
func (s *state) chillNext(c actor.Context) {
	for s.freezing < freezers && len(s.due) > 0 && !s.closing {
		last := len(s.due) - 1
		sl := s.due[last]
		s.due[last] = nil
		s.due = s.due[:last]
		if s.coolable(sl, time.Now()) { // it was so at the tick
			s.freeze(c, sl)
		}
	}
}

// freeze freezes one sandbox, in a goroutine whose end is froze.
func (s *state) freeze(c actor.Context, sl *slot) {
	f, ok := sl.box.(sandbox.Freezer)
	if !ok {
		return
	}
	sl.freezing, sl.chilled = true, time.Now()
	s.freezing++
	self, root, life, logger, reclaim := c.Self(), c.ActorSystem().Root, s.life, s.opts.Logger, s.opts.FreezeReclaim // c and s stay here
	end := &froze{of: sl, box: sl.box}
	go func() {
		ctx, stop := context.WithTimeout(life, freezeLimit)
		defer stop()
		end.err = actors.Caught(logger, func() (err error) {
			if err = f.Freeze(ctx); err != nil {
				return err
			}
			end.did = true
			if reclaim {
				end.freed, err = f.Reclaim(ctx)
			}
			return err
		})
		root.Send(self, end)
	}()
}

// froze notes the end of a freezing. That the session was in use is no failure.
func (s *state) froze(c actor.Context, m *froze) {
	sl := m.of
	s.freezing--
	sl.freezing = false
	session, box := sl.spec.Session, string(m.box.ID())
	if m.did {
		s.opts.Logger.Info("session frozen", "session", session, "sandbox", box, "freed", m.freed)
	}
	if m.err != nil && s.life.Err() == nil {
		level := slog.LevelWarn
		switch sandbox.KindOf(m.err) { //nolint:exhaustive // the others are faults
		case sandbox.Exhausted, sandbox.Stopped, sandbox.NotFound, sandbox.Unsupported: // in use, gone, or the host's
			level = slog.LevelDebug
		}
		s.opts.Logger.Log(s.life, level, "session not frozen, or its memory not reclaimed", "session", session, "sandbox", box, "err", m.err)
	}
	s.chillNext(c)
}

// warm thaws a sandbox that is left to the next daemon: if that never comes, the
// agent ends the sandbox, and what is frozen cannot end everywhere.
func warm(ctx context.Context, box sandbox.Sandbox, logger *slog.Logger) {
	f, ok := box.(sandbox.Freezer)
	if !ok || !f.Frozen() {
		return
	}
	ctx, stop := context.WithTimeout(ctx, freezeLimit)
	defer stop()
	if err := actors.Caught(logger, func() error { return f.Thaw(ctx) }); err != nil {
		logger.Warn("a sandbox that is left is frozen still", "sandbox", string(box.ID()), "err", err)
	}
}
