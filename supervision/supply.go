package supervision

import (
	"fmt"

	"github.com/sandwarden/sandwarden/sandbox"
)

// supply notes that the host's supplies may take fewer sessions than its memory,
// when so many are booked that cannot be seen in what is used yet.
func (r *room) supply(all []sandbox.Supply, unseen int) {
	for i := range all {
		if left := all[i].Room() - unseen; left < r.host {
			r.host, r.short = left, &all[i]
		}
	}
}

// shortage is the refusal of a session, the one of that number, for want of a
// supply.
func shortage(s *sandbox.Supply, sessions int) (*sandbox.Limit, string) {
	remedy := "stop a session that is not needed, or try again later"
	if enough := max(s.For(sessions), s.Used+s.Reserve+s.Each); enough > s.Max {
		remedy += fmt.Sprintf("; the host's operator can raise %s: %s", s.Limit, s.Raise(enough))
	}
	return &sandbox.Limit{Resource: s.Resource, Current: s.Used, Max: s.Allowed()}, remedy
}

// supplied is how many sessions the host's supplies are enough for; 0 when they
// are not known.
func (o Options) supplied() int {
	least := o.scarcest()
	if least == nil {
		return 0
	}
	return max(least.Holds(), 1)
}

// scarcest is the supply that the fewest sessions have enough of, with what
// clients may take set aside; nil when none is known.
func (o Options) scarcest() *sandbox.Supply {
	if o.Supplies == nil {
		return nil
	}
	var least *sandbox.Supply
	all := o.Supplies()
	for i := range all {
		if s := &all[i]; s.Resource == "descriptors" {
			s.Reserve += int64(o.Connections)
		}
		if least == nil || all[i].Holds() < least.Holds() {
			least = &all[i]
		}
	}
	return least
}

// warn says that more sessions are allowed than the host has enough for. They
// are refused one by one when it comes to that.
func (o Options) warn() {
	least := o.scarcest()
	if least == nil || o.MaxSessions <= least.Holds() {
		return
	}
	o.Logger.Warn("more sessions are allowed than this host takes", "max_sessions", o.MaxSessions, "fits", least.Holds(),
		"limit", least.Limit, "is", least.Max, "needed", least.For(o.MaxSessions), "remedy", least.Raise(least.For(o.MaxSessions)))
}
