package supervision

import (
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Room is what there is and what may be, for tests of the plan.
type Room struct {
	Sessions, MaxSessions, GoingSessions int
	Memory, MaxMemory, GoingMemory       int64
	CPUs, MaxCPUs                        int
	Held                                 map[sandbox.Principal]int
	MaxHeld                              int
	Host                                 int
	Relieved                             bool
}

// Boundless is the room of a host of which nothing is known.
const Boundless = boundless

// A Claim is what a session takes of what there is.
type Claim struct {
	Owner  sandbox.Principal
	Memory int64
	CPUs   int
}

// Plan is [room.plan].
func (r Room) Plan(wants, idle []Claim) (admit, evict []int) {
	now := room{
		sessions: r.Sessions, maxSessions: r.MaxSessions, memory: r.Memory, maxMemory: r.MaxMemory,
		cpus: r.CPUs, maxCPUs: r.MaxCPUs, held: r.Held, maxHeld: r.MaxHeld, host: r.Host, relieved: r.Relieved,
	}
	for range r.GoingSessions {
		now.going = append(now.going, claim{memory: r.GoingMemory})
	}
	return now.plan(claimed(wants), claimed(idle))
}

func claimed(all []Claim) []claim {
	var inner []claim
	for _, c := range all {
		inner = append(inner, claim{c.Owner, c.Memory, c.CPUs})
	}
	return inner
}

// Hint is [hint].
func Hint(result sandbox.ExecResult) string { return hint(&result) }

// DerivedSessions is [derivedSessions].
func DerivedSessions(total int64, hostSessions int) int { return derivedSessions(total, hostSessions) }

// Supplied is what the options say that the supplies of the host take.
func (o Options) Supplied() int { return o.supplied() }

// Shortage is the refusal for want of a supply, when so many sessions cannot be
// seen in what is used.
func Shortage(sessions, unseen int, supplies ...sandbox.Supply) (*sandbox.Limit, string) {
	r := room{sessions: sessions, maxSessions: boundless, host: boundless}
	if r.supply(supplies, unseen); r.fits(claim{}) {
		return nil, ""
	}
	return r.full(claim{})
}

// Floor is [floor].
func Floor(total int64) int64 { return floor(total) }

// CapFlavor is [capFlavor].
func CapFlavor(f sandbox.Flavor, cpus int, total int64) sandbox.Flavor {
	return capFlavor(f, cpus, total)
}

// Pause is how long the n-th restart waits.
func (o Options) Pause(n int) time.Duration { o = o.withDefaults(); return o.pause(n) }
