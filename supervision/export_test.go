package supervision

import (
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Room is what there is and what may be, for tests of the plan.
type Room struct {
	Sessions, MaxSessions, GoingSessions int
	Memory, MaxMemory, GoingMemory       int64
	Host                                 int
	Relieved                             bool
}

// Boundless is the room of a host of which nothing is known.
const Boundless = boundless

// Plan is [room.plan].
func (r Room) Plan(wants, idle []int64) (admit, evict int) {
	return room{
		sessions: r.Sessions, maxSessions: r.MaxSessions, goingSessions: r.GoingSessions,
		memory: r.Memory, maxMemory: r.MaxMemory, goingMemory: r.GoingMemory, host: r.Host, relieved: r.Relieved,
	}.plan(wants, idle)
}

// Hint is [hint].
func Hint(result sandbox.ExecResult) string { return hint(&result) }

// DerivedSessions is [derivedSessions].
func DerivedSessions(total int64, hostSessions int) int { return derivedSessions(total, hostSessions) }

// Floor is [floor].
func Floor(total int64) int64 { return floor(total) }

// CapFlavor is [capFlavor].
func CapFlavor(f sandbox.Flavor, cpus int, total int64) sandbox.Flavor {
	return capFlavor(f, cpus, total)
}

// Pause is how long the n-th restart waits.
func (o Options) Pause(n int) time.Duration { o = o.withDefaults(); return o.pause(n) }
