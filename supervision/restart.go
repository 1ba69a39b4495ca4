package supervision

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/sandbox"
)

// HandleFailure implements [actor.SupervisorStrategy] for the actors of the
// sessions. It must not panic: no guard is around it.
func (s *state) HandleFailure(_ *actor.ActorSystem, sv actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, _ any) {
	rs.Fail()
	n, sl := rs.NumberOfFailures(s.opts.Window), s.actors[child.Id]
	if sl == nil || sl.phase != live {
		sv.StopChildren(child)
		return
	}
	if n > s.opts.ActorRestarts {
		s.opts.Logger.Error("session given up", "session", sl.spec.Session, "attempt", n, "err", reason)
		s.withdraw(sl)
		sl.session.Doom(sandbox.CauseCrashed)
		s.retired(sl, sandbox.CauseCrashed) // first, so that who is answered finds the name free
		sv.StopChildren(child)              // Terminated follows
		return
	}
	s.opts.Meter.ActorRestarted()
	delay := s.opts.pause(n)
	s.opts.Logger.Warn("session restarting", "session", sl.spec.Session, "attempt", n, "delay", delay, "err", reason)
	sl.revive = time.AfterFunc(delay, func() { sv.RestartChildren(child) }) // stopped by retired
}

// pause is how long to wait before the n-th restart.
func (o Options) pause(n int) time.Duration {
	return min(o.Backoff<<min(max(n-1, 0), 20), o.MaxBackoff)
}

// lost gives a session that lost its sandbox another, when the old one is gone;
// or ends it, when that happens too often.
func (s *state) lost(c actor.Context, m *lost) {
	sl := m.of
	if sl.phase != live || sl.box != m.box {
		return // told before
	}
	sl.box = nil
	s.opts.Meter.SandboxLost(m.death.Cause)
	s.destroy(c, sl, m.box)
	s.failed(c, sl, m.death.Cause)
}

// failed counts a failure of a session's sandbox, which is lost or could not be
// made.
func (s *state) failed(c actor.Context, sl *slot, cause sandbox.Cause) {
	now := time.Now()
	sl.failures = slices.DeleteFunc(sl.failures, func(at time.Time) bool { return now.Sub(at) >= s.opts.Window })
	sl.failures = append(sl.failures, now)
	if len(sl.failures) > s.opts.SandboxRestarts {
		s.opts.Logger.Error("session given up", "session", sl.spec.Session, "attempt", len(sl.failures), "err", string(cause))
		s.end(c, sl, cause)
		return
	}
	if sl.things == 1 { // the actor alone: nothing to wait for
		s.rearm(c, sl)
	}
}

// rearm lets a session have its next sandbox after a pause.
func (s *state) rearm(c actor.Context, sl *slot) {
	self, root := c.Self(), c.ActorSystem().Root
	sl.retry = time.AfterFunc(s.opts.pause(len(sl.failures)), func() { root.Send(self, &retry{sl}) })
}

func (s *state) retry(c actor.Context, m *retry) {
	if sl := m.of; sl.phase == live && sl.box == nil && sl.making == nil {
		s.make(c, sl)
	}
}
