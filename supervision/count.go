package supervision

import (
	"errors"
	"maps"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A count of the sessions' states looks at each of them, and anybody may ask for
// it. So with more of them than countFree it may be as old as countEvery.
const (
	countEvery = 100 * time.Millisecond
	countFree  = 256
)

// states counts the sessions by what they are doing.
func (s *state) states() map[sandbox.Status]int {
	if now := time.Now(); len(s.booked) <= countFree || now.Sub(s.counted) >= countEvery {
		s.counted, s.counts, s.frozen = now, make(map[sandbox.Status]int), 0
		for sl := range s.booked {
			s.counts[sl.status()]++
			if frozen(sl.box) {
				s.frozen++
			}
		}
	}
	counts := maps.Clone(s.counts)
	counts[sandbox.StatusWaiting] = len(s.queue)
	return counts
}

// status is what a session that has a place is doing.
func (sl *slot) status() sandbox.Status {
	switch {
	case sl.phase == ending:
		return sandbox.StatusEnding
	case sl.session != nil && sl.session.Activity().Running > 0:
		return sandbox.StatusRunning
	case sl.box != nil:
		return sandbox.StatusReady
	}
	return sandbox.StatusCreating
}

// reasonOf is why somebody did not get a session, as meters have it.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*sandbox.Error](err); ok && e.Kind == sandbox.Exhausted && e.Limit != nil {
		return e.Limit.Resource
	}
	return sandbox.KindOf(err).String()
}
