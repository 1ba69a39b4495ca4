package supervision

import (
	"context"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

// stop ends a session on request.
func (s *state) stop(c actor.Context, m *stop) {
	sl := s.names[m.ref]
	switch {
	case sl == nil:
		c.Respond(s.absent("stop", m.ref.Name))
	case sl.phase == waiting:
		s.end(c, sl, sandbox.CauseKilled)
		c.Respond(&stopped{})
	default:
		sl.stoppers = append(sl.stoppers, c.Sender())
		s.end(c, sl, sandbox.CauseKilled)
	}
}

// end begins the end of a session. It has no name from now on, and keeps its
// place until all that it holds is given back.
func (s *state) end(c actor.Context, sl *slot, cause sandbox.Cause) {
	switch sl.phase {
	case ending:
		return
	case waiting, creating:
		s.refuse(c, sl, &sandbox.Error{
			Op: "create", ID: sl.spec.Session, Kind: sandbox.Stopped, Cause: cause,
			Detail: "the session was ended before it was made", Remedy: "call again to get a fresh session",
		})
	case live:
		s.withdraw(sl)
		sl.session.Doom(cause)
		c.Stop(sl.session.PID()) // Terminated follows
	}
	s.retired(sl, cause)
	s.settle(c, sl)
}

// retired takes away a session's name and all that would still be begun for it.
func (s *state) retired(sl *slot, cause sandbox.Cause) {
	name := sl.spec.Session
	if sl.session != nil {
		s.remember(sl.ref(), cause)
		s.opts.Logger.Info("session ending", "session", name, "cause", string(cause))
	}
	if s.names[sl.ref()] == sl {
		delete(s.names, sl.ref())
	}
	for _, timer := range []*time.Timer{sl.retry, sl.revive} {
		if timer != nil {
			timer.Stop()
		}
	}
	if sl.making != nil {
		sl.making()
	}
	sl.phase, sl.cause = ending, cause
}

// terminated buries a session whose actor has ended.
func (s *state) terminated(c actor.Context, who *actor.PID) {
	sl := s.actors[who.Id]
	if sl == nil {
		return
	}
	s.withdraw(sl)
	if sl.phase == live { // nobody asked for it: it panicked too often
		sl.session.Doom(sandbox.CauseCrashed)
		s.retired(sl, sandbox.CauseCrashed)
	}
	delete(s.actors, who.Id)
	sl.session.Bury()
	s.bury(c, sl)
	if box := sl.box; box != nil {
		sl.box = nil
		if s.keeping {
			sl.things--
		} else {
			s.destroy(c, sl, box)
		}
	}
	s.settle(c, sl)
}

// bury waits for the disk, in a goroutine whose end is buried.
func (s *state) bury(c actor.Context, sl *slot) {
	self, root, live := c.Self(), c.ActorSystem().Root, &s.shared.live // c and s stay here
	session, id := sl.session, sl.id
	var box sandbox.Sandbox
	if s.keeping {
		box = sl.box
	}
	last, logger := s.last, s.opts.Logger
	go func() {
		warm(last, box, logger)
		<-session.Settled()
		live.Delete(id)
		root.Send(self, &buried{of: sl})
	}()
}

// discard takes away what was recorded of a session that never began.
func (s *state) discard(sl *slot) {
	if record := sl.record; record != nil && sl.session == nil {
		sl.record = nil
		go record.Discard()
	}
}

// destroy gives back a sandbox, in a goroutine whose end is destroyed. It tries
// again until it succeeds or Close has ended: until then the place is not free.
func (s *state) destroy(c actor.Context, sl *slot, box sandbox.Sandbox) {
	self, root, opts, gate, last := c.Self(), c.ActorSystem().Root, s.opts, s.gate, s.last // c and s stay here
	go func() {
		end := &destroyed{of: sl}
		defer func() { root.Send(self, end) }()
		for wait := opts.Backoff; ; wait = min(2*wait, opts.DestroyLimit) {
			end.err = demolish(last, gate, box, opts)
			if end.err == nil {
				return
			}
			opts.Logger.Error("sandbox not destroyed", "sandbox", string(box.ID()), "err", end.err)
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-last.Done():
				timer.Stop()
				return
			}
		}
	}()
}

// demolish tries once to destroy a sandbox. The end of last does not end the
// try, only the wait for a place.
func demolish(last context.Context, gate chan struct{}, box sandbox.Sandbox, opts Options) error {
	select {
	case gate <- struct{}{}:
	case <-last.Done():
		return context.Cause(last)
	}
	defer func() { <-gate }()
	ctx, stop := context.WithTimeout(context.WithoutCancel(last), opts.DestroyLimit)
	defer stop()
	return actors.Caught(opts.Logger, func() error { return box.Destroy(ctx) })
}

// destroyed notes that a sandbox is gone.
func (s *state) destroyed(c actor.Context, m *destroyed) {
	sl := m.of
	if m.err != nil { // it stays booked: something of it is left
		for _, to := range sl.stoppers {
			reply(c, to, actors.Refusal("stop", sl.spec.Session, m.err))
		}
		sl.stoppers = nil
		return
	}
	sl.things--
	if sl.phase == live && sl.box == nil && sl.making == nil {
		s.rearm(c, sl)
	}
	s.settle(c, sl)
}

// settle frees the place of a session that has nothing left.
func (s *state) settle(c actor.Context, sl *slot) {
	if _, booked := s.booked[sl]; !booked || sl.phase != ending || sl.things > 0 {
		return
	}
	s.unbook(sl)
	if sl.session != nil {
		s.tellEnded(sl)
	}
	for _, to := range sl.stoppers {
		reply(c, to, &stopped{})
	}
	sl.stoppers = nil
	s.emptied(c)
	s.admit(c)
}

// drain ends everything, or all but the sandboxes of sessions.
func (s *state) drain(c actor.Context, keep bool) {
	s.closing, s.keeping = true, keep
	s.shared.leaving.Store(keep)
	s.opts.Logger.Info("sessions ending", "count", len(s.booked))
	s.drainers = append(s.drainers, c.Sender())
	for _, sl := range slices.Clone(s.queue) {
		s.refuse(c, sl, shuttingDown("create", sl.spec.Session))
	}
	for sl := range s.booked {
		if keep && sl.phase == live {
			s.leave(c, sl)
		} else {
			s.end(c, sl, sandbox.CauseShutdown)
		}
	}
	s.emptied(c)
}

// leave ends the actor of a session that the next daemon takes over.
func (s *state) leave(c actor.Context, sl *slot) {
	s.withdraw(sl)
	sl.session.Detach()
	c.Stop(sl.session.PID()) // Terminated follows
	for _, timer := range []*time.Timer{sl.retry, sl.revive} {
		if timer != nil {
			timer.Stop()
		}
	}
	delete(s.names, sl.ref())
	sl.phase, sl.cause, sl.left = ending, sandbox.CauseShutdown, true
}

// emptied answers those who wait for the end of everything.
func (s *state) emptied(c actor.Context) {
	if !s.closing || len(s.booked) > 0 {
		return
	}
	for _, to := range s.drainers {
		reply(c, to, &drained{})
	}
	s.drainers = nil
}

// remaining names what is not gone.
func (s *state) remaining() []string {
	names := make([]string, 0, len(s.booked))
	for sl := range s.booked {
		names = append(names, sl.spec.Session+" ("+string(sl.coming)+")")
	}
	slices.Sort(names)
	return names
}

// abandon stops all timers: nobody is there any more to be told.
func (s *state) abandon() {
	s.tick = nil
	for _, sl := range s.names {
		for _, timer := range []*time.Timer{sl.lapse, sl.retry, sl.revive} {
			if timer != nil {
				timer.Stop()
			}
		}
	}
}
