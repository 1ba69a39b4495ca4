//go:build linux

package native

import (
	"os"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native/supply"
)

// Supplies returns what this host has a fixed number of, with what of it is used
// now. It takes some tens of microseconds and does not block.
func (b *Backend) Supplies() []sandbox.Supply {
	all := supply.Kernel(os.DirFS("/"))
	if most, used, err := supply.Open(); err == nil {
		all = append(all, supply.Descriptors(most, used))
	}
	if b.cgroups != nil {
		if used, most, _, ok := b.cgroups.Tasks(); ok {
			all = append(all, supply.Group(most, used))
		}
	}
	if b.uids != nil {
		all = append(all, b.uids.supplies()...)
	}
	return all
}

// supplies are the ids that there are, where each sandbox has one.
func (u *uids) supplies() []sandbox.Supply {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.shared {
		return nil
	}
	return []sandbox.Supply{{
		Resource: "uids", Limit: "user ids", Used: int64(len(u.used)), Max: int64(u.size), Each: 1,
		Raise: func(int64) string {
			return "a longer range of the daemon's user in /etc/subuid and /etc/subgid, up to 65536"
		},
	}}
}
