package supervision

import (
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// The host is looked at again after so long, and each time when fewer sessions than
// plenty would fit: what it has is in a dozen files, and a burst of sessions asks
// for each of them.
const (
	lookEvery = time.Second
	plenty    = 64
)

// A sight is what the host had at a moment.
type sight struct {
	at               time.Time
	numbers          uint64 // of sessions booked until then
	total, available int64  // memory; no total where it does not count
	supplies         []sandbox.Supply
}

// seeHost looks at the host.
func (s *state) seeHost() {
	now := sight{at: time.Now(), numbers: s.numbers}
	if s.opts.HostMemory != nil && s.opts.MaxMemoryMB <= 0 {
		now.total, now.available = s.opts.HostMemory() // it may panic
	}
	if s.opts.Supplies != nil {
		now.supplies = s.opts.Supplies()
	}
	s.seen = now
}

// unseen is how many sessions are booked of which that cannot tell: those that
// are being made, and those that were since.
func (s *state) unseen() (n int) {
	for sl := range s.booked {
		if sl.phase != ending && (sl.box == nil || sl.number > s.seen.numbers) {
			n++
		}
	}
	return n
}

// host says how many more sessions the host takes, when so many are not seen.
func (l *sight) host(r *room, unseen int) {
	if l.total > 0 {
		r.total, r.available = l.total, l.available
		r.host = hostRoom(r.total, r.available, unseen)
	}
	r.supply(l.supplies, unseen)
}
