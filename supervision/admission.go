package supervision

import (
	"fmt"
	"math"

	"github.com/sandwarden/sandwarden/sandbox"
)

// room is what there is and what may be, at one moment.
type room struct {
	sessions, maxSessions int
	memory, maxMemory     int64 // MiB; no maximum when 0
	// What is on its way out, and counted above until it is gone.
	goingSessions int
	goingMemory   int64
	// How many more sessions the host's free memory takes, and whether one was
	// evicted for it a moment ago, which may not be seen yet.
	host     int
	relieved bool
	// The host's memory, for the refusal.
	total, available int64
}

// boundless stands for a host of which nothing is known.
const boundless = math.MaxInt32

// hostRoom is how many sessions fit above the floor, when so many are booked
// that cannot be seen in the free memory yet.
func hostRoom(total, available int64, unseen int) int {
	if total <= 0 {
		return boundless
	}
	return int((available-floor(total))/reserve) - unseen
}

func (r room) fits(memory int64) bool {
	return r.sessions < r.maxSessions && (r.maxMemory <= 0 || r.memory+memory <= r.maxMemory) && r.host > 0
}

func (r room) with(memory int64) room {
	r.sessions++
	r.memory += memory
	r.host--
	return r
}

func (r room) without(memory int64) room {
	r.sessions--
	r.memory -= memory
	return r
}

// plan says how many of those who wait are admitted now, and how many of the
// idle sessions are to be evicted so that more can be. Both are taken from the
// front: wants is in order of arrival, idle in order of last use. Nothing is
// evicted for somebody whom it would not help.
func (r room) plan(wants, idle []int64) (admit, evict int) {
	for admit < len(wants) && r.fits(wants[admit]) {
		r = r.with(wants[admit])
		admit++
	}
	if admit < len(wants) && r.host <= 0 {
		if r.goingSessions == 0 && !r.relieved && len(idle) > 0 {
			return admit, 1 // how much it frees is seen when it is gone
		}
		return admit, 0
	}
	r.sessions -= r.goingSessions
	r.memory -= r.goingMemory
	for _, want := range wants[admit:] {
		then, n := r, evict
		for !then.fits(want) && n < len(idle) {
			then = then.without(idle[n])
			n++
		}
		if !then.fits(want) {
			break
		}
		r, evict = then.with(want), n
	}
	return admit, evict
}

// refusal says what is full for a session of so much memory.
func (r room) refusal(name string, memory int64, what string) error {
	e := &sandbox.Error{Op: "create", ID: name, Kind: sandbox.Exhausted}
	switch {
	case r.sessions >= r.maxSessions:
		e.Limit = &sandbox.Limit{Resource: "sessions", Current: int64(r.sessions), Max: int64(r.maxSessions)}
		e.Remedy = "stop a session that is not needed, or try again when one has ended"
	case r.maxMemory > 0 && r.memory+memory > r.maxMemory:
		e.Limit = &sandbox.Limit{Resource: "memory", Current: r.memory + memory, Max: r.maxMemory, Unit: "MB"}
		e.Remedy = "use a smaller flavor, or stop a session that is not needed"
	case r.host <= 0:
		e.Limit = &sandbox.Limit{
			Resource: "host_memory", Current: (r.total - r.available) / mib, Max: (r.total - floor(r.total)) / mib, Unit: "MB",
		}
		e.Remedy = "try again later; the host is short of memory"
	default: // there is room, but others came first
		e.Limit = &sandbox.Limit{Resource: "queue", Current: int64(r.sessions), Max: int64(r.maxSessions)}
		e.Remedy = "try again"
	}
	e.Detail = fmt.Sprintf("%s: %d%s of %d%s", what, e.Limit.Current, e.Limit.Unit, e.Limit.Max, e.Limit.Unit)
	if what == "" {
		e.Detail = fmt.Sprintf("no room for another session: %s at %d%s of %d%s",
			e.Limit.Resource, e.Limit.Current, e.Limit.Unit, e.Limit.Max, e.Limit.Unit)
	}
	return e
}
