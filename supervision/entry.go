package supervision

import (
	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

// An entry is a live session as calls find it by its name, without a word to the
// supervisor: most calls are for sessions that are there.
type entry struct {
	session *actors.Session
	use     *use
	told    sandbox.Session // as it was when it became live
}

// publish lets calls find a session that is live.
func (s *state) publish(sl *slot) {
	sl.entry = &entry{sl.session, &sl.use, sl.snapshot()}
	s.shared.entries.Store(sl.ref(), sl.entry)
}

// withdraw sees to it that no call finds a session any more. It is done before
// the session learns of its end, so that who is answered then gets another.
func (s *state) withdraw(sl *slot) {
	if sl.entry != nil {
		s.shared.entries.CompareAndDelete(sl.ref(), sl.entry)
		sl.entry = nil
	}
}

// enter takes a live session into a hold. It is nil when there is none, or it is
// about to end, or too many hold it: the supervisor knows then.
func (sh *shared) enter(ref sandbox.Ref, h *hold) *opened {
	v, ok := sh.entries.Load(ref)
	if !ok {
		return nil
	}
	e, ok := v.(*entry)
	if !ok || !h.enter(e.session, e.use) {
		return nil
	}
	return &opened{session: refreshed(e.told, e.session.Activity())}
}
