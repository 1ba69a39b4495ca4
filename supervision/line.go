package supervision

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/sandbox"
)

// claimOf is what a session takes of what there is.
func claimOf(spec *sandbox.Spec) claim {
	return claim{owner: spec.Owner, memory: int64(spec.Flavor.MemoryMB), cpus: spec.Flavor.CPUs}
}

func (sl *slot) claim() claim { return claimOf(&sl.spec) }

func (sl *slot) ref() sandbox.Ref { return sl.spec.Ref() }

func claims(slots []*slot) []claim {
	all := make([]claim, len(slots))
	for i, sl := range slots {
		all[i] = sl.claim()
	}
	return all
}

// line is the queue in the order of admission: the first of each owner, then
// the second of each; among those first whose owner was served longest ago, then
// by arrival. So one who asks for much does not keep the others waiting.
func (s *state) line() []*slot {
	turn, turns := map[sandbox.Principal]int{}, map[*slot]int{}
	for _, sl := range s.queue {
		turns[sl] = turn[sl.spec.Owner]
		turn[sl.spec.Owner]++
	}
	maps.DeleteFunc(s.served, func(owner sandbox.Principal, _ uint64) bool { return turn[owner] == 0 })
	line := slices.Clone(s.queue)
	slices.SortStableFunc(line, func(a, b *slot) int {
		return cmp.Or(cmp.Compare(turns[a], turns[b]), cmp.Compare(s.served[a.spec.Owner], s.served[b.spec.Owner]))
	})
	return line
}

// place is where a session stands in the line, and since when.
func (s *state) place(sl *slot) *sandbox.Line {
	line := s.line()
	return &sandbox.Line{
		Position: slices.Index(line, sl) + 1, Length: len(line), Waited: time.Since(sl.made).Round(time.Millisecond),
	}
}

// makeWay lets an owner into a line that is full, where another has more in it:
// that one's last has to go. It tells whether there is a place now.
func (s *state) makeWay(c actor.Context, owner sandbox.Principal, now room) bool {
	s.forsake()
	waiting, held := map[sandbox.Principal]int{}, 0 // held up by the number of their own sessions alone
	for _, sl := range s.queue {
		waiting[sl.spec.Owner]++
		if now.hasAll(sl.spec.Owner) {
			held++
		}
	}
	if len(s.queue)-held < s.opts.AdmissionQueue && (len(s.queue) < s.opts.AdmissionQueue || !now.hasAll(owner)) {
		return true
	}
	var last *slot
	for _, sl := range s.queue {
		if last == nil || waiting[sl.spec.Owner] >= waiting[last.spec.Owner] {
			last = sl
		}
	}
	if last == nil || waiting[last.spec.Owner] <= waiting[owner]+1 {
		return false
	}
	s.refuse(c, last, now.refusal(last.spec.Session, last.claim(), "", s.place(last)))
	return true
}
