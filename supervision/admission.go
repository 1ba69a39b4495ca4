package supervision

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A claim is what one session takes of what there is.
type claim struct {
	owner  sandbox.Principal
	memory int64 // MiB
	cpus   int
}

// room is what there is and what may be, at one moment.
type room struct {
	sessions, maxSessions int
	memory, maxMemory     int64                     // MiB; no maximum when 0
	cpus, maxCPUs         int                       // no maximum when 0
	held                  map[sandbox.Principal]int // sessions of each owner
	maxHeld               int                       // of any one; no maximum when 0
	// What is on its way out, and counted above until it is gone.
	going []claim
	// How many more sessions the host's free memory and its supplies take, and
	// whether one was evicted for it a moment ago, which may not be seen yet.
	host     int
	relieved bool
	// What of the supplies is short, if that and not memory sets host.
	short *sandbox.Supply
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

func (r *room) fits(c claim) bool {
	return r.sessions < r.maxSessions && (r.maxMemory <= 0 || r.memory+c.memory <= r.maxMemory) &&
		(r.maxCPUs <= 0 || r.cpus+c.cpus <= r.maxCPUs) && r.host > 0 && !r.hasAll(c.owner)
}

// hasAll tells whether an owner has as many sessions as one may have.
func (r *room) hasAll(owner sandbox.Principal) bool {
	return r.maxHeld > 0 && r.held[owner] >= r.maxHeld
}

func (r *room) take(c claim) {
	r.sessions++
	r.memory += c.memory
	r.cpus += c.cpus
	r.held[c.owner]++
	r.host--
}

func (r *room) give(c claim) {
	r.sessions--
	r.memory -= c.memory
	r.cpus -= c.cpus
	r.held[c.owner]--
}

func (r *room) clone() room {
	c := *r
	c.held = maps.Clone(r.held)
	if c.held == nil {
		c.held = map[sandbox.Principal]int{}
	}
	return c
}

// plan says which of those who wait are admitted now, and which of the idle
// sessions are to be evicted so that more can be. Wants are in the order of the
// line, idle in order of last use. Nobody overtakes but those whom only the
// number of their own sessions holds up, and nothing is evicted for somebody
// whom it would not help.
func (r *room) plan(wants, idle []claim) (admit, evict []int) {
	now := r.clone()
	r = &now
	var rest []int
	stuck := false // somebody waits whom nobody may overtake
	for i, want := range wants {
		if !stuck && r.fits(want) {
			r.take(want)
			admit = append(admit, i)
			continue
		}
		rest = append(rest, i)
		stuck = stuck || !r.hasAll(want.owner)
	}
	evictions := evictions{idle: idle, taken: make([]bool, len(idle))}
	if len(rest) > 0 && r.host <= 0 {
		if len(r.going) == 0 && !r.relieved {
			evictions.pick(r, wants[rest[0]]) // how much it frees is seen when it is gone
		}
		return admit, evictions.chosen
	}
	for _, gone := range r.going {
		r.give(gone)
	}
	for _, i := range rest {
		then, after := r.clone(), evictions.clone()
		for more := true; more && !then.fits(wants[i]); {
			more = after.pick(&then, wants[i])
		}
		switch {
		case then.fits(wants[i]):
			then.take(wants[i])
			now, evictions = then, after
		case !r.hasAll(wants[i].owner):
			return admit, evictions.chosen
		}
	}
	return admit, evictions.chosen
}

// evictions are the idle sessions that are to go.
type evictions struct {
	idle   []claim // least recently used first
	taken  []bool
	chosen []int // in order of choice
}

func (e *evictions) clone() evictions {
	return evictions{idle: e.idle, taken: slices.Clone(e.taken), chosen: slices.Clone(e.chosen)}
}

// pick chooses one more to make room for a want: of the owner who holds most,
// the longest unused. Nobody loses a session to another owner who would then
// have more than is left; with one owner that is plain LRU.
func (e *evictions) pick(r *room, want claim) bool {
	best := -1
	for i, c := range e.idle {
		mine := c.owner == want.owner
		if e.taken[i] || !mine && (r.hasAll(want.owner) || r.held[c.owner] <= r.held[want.owner]) {
			continue
		}
		if best < 0 || r.held[c.owner] > r.held[e.idle[best].owner] {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	e.taken[best] = true
	e.chosen = append(e.chosen, best)
	r.give(e.idle[best])
	return true
}

// refusal says what is full for a session that is asked for, and, when it has
// waited, where it stood.
func (r *room) refusal(name string, want claim, what string, line *sandbox.Line) error {
	e := &sandbox.Error{Op: "create", ID: name, Kind: sandbox.Exhausted}
	e.Limit, e.Remedy = r.full(want)
	e.Limit.Line = line
	if what == "" {
		what = "no room for another session: " + e.Limit.Resource
	}
	e.Detail = fmt.Sprintf("%s: %d%s of %d%s", what, e.Limit.Current, e.Limit.Unit, e.Limit.Max, e.Limit.Unit)
	if line != nil {
		e.Detail += fmt.Sprintf("; it waited %s as number %d of %d in the line", line.Waited, line.Position, line.Length)
	}
	return e
}

// full returns the limit that keeps a claim out, and what would help.
func (r *room) full(want claim) (limit *sandbox.Limit, remedy string) {
	switch {
	case r.hasAll(want.owner):
		return &sandbox.Limit{Resource: "sessions", Current: int64(r.held[want.owner]), Max: int64(r.maxHeld)},
			"stop a session of your own that is not needed: this is how many one client may have"
	case r.sessions >= r.maxSessions:
		return &sandbox.Limit{Resource: "sessions", Current: int64(r.sessions), Max: int64(r.maxSessions)},
			"stop a session that is not needed, or try again when one has ended"
	case r.maxMemory > 0 && r.memory+want.memory > r.maxMemory:
		return &sandbox.Limit{Resource: "memory", Current: r.memory + want.memory, Max: r.maxMemory, Unit: "MB"},
			"use a smaller flavor, or stop a session that is not needed"
	case r.maxCPUs > 0 && r.cpus+want.cpus > r.maxCPUs:
		return &sandbox.Limit{Resource: "cpu", Current: int64(r.cpus + want.cpus), Max: int64(r.maxCPUs)},
			"use a smaller flavor, or stop a session that is not needed"
	case r.host <= 0 && r.short != nil:
		return shortage(r.short, r.sessions+1)
	case r.host <= 0:
		return &sandbox.Limit{
			Resource: "host_memory", Current: (r.total - r.available) / mib, Max: (r.total - floor(r.total)) / mib, Unit: "MB",
		}, "try again later; the host is short of memory"
	} // else there is room, but others came first
	return &sandbox.Limit{Resource: "queue", Current: int64(r.sessions), Max: int64(r.maxSessions)}, "try again"
}
