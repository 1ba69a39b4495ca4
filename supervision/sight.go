package supervision

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

// The host is looked at again after lookEvery, beside what goes on, as what it has is
// in a dozen files; and before an answer when the last look is older than lookStale, or
// fewer sessions than plenty would fit.
const (
	lookEvery = time.Second
	lookStale = 10 * time.Second
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
func (s *state) seeHost() { s.seen = s.opts.look(s.numbers) }

// look says what the host has when so many sessions were booked. It may panic.
func (o Options) look(numbers uint64) sight {
	now := sight{at: time.Now(), numbers: numbers}
	if o.HostMemory != nil && o.MaxMemoryMB <= 0 {
		now.total, now.available = o.HostMemory()
	}
	if o.Supplies != nil {
		now.supplies = o.Supplies()
	}
	return now
}

// lookBeside looks at the host in a goroutine whose end is looked.
func (s *state) lookBeside(c actor.Context) {
	if s.looking {
		return
	}
	s.looking = true
	self, root, opts, numbers := c.Self(), c.ActorSystem().Root, s.opts, s.numbers // c and s stay here
	go func() {
		m := &looked{}
		m.err = actors.Caught(opts.Logger, func() error {
			m.seen = opts.look(numbers)
			return nil
		})
		root.Send(self, m)
	}()
}

// looked takes in what a look beside has seen, unless a later one has been meanwhile.
// After one that failed, and says so in the log, the last holds until it is stale.
func (s *state) looked(m *looked) {
	s.looking = false
	if m.err == nil && m.seen.at.After(s.seen.at) {
		s.seen = m.seen
	}
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
