//go:build linux

package native

import (
	"hash/fnv"
	"sync"
)

// uids hands out a user id of its own to each live sandbox, from a range that
// distributions give to nobody. Daemons on other state directories mostly get
// other ranges.
type uids struct {
	mu   sync.Mutex
	base int
	next int
	used map[int]bool
}

// uidRange is how many sandboxes can live at once.
const uidRange = 1 << 16

func newUIDs(instance string) *uids {
	h := fnv.New32a()
	_, _ = h.Write([]byte(instance))
	const lowest, ranges = 1 << 30, 1 << 13
	return &uids{base: lowest + int(h.Sum32()%ranges)*uidRange, used: map[int]bool{}}
}

// take returns a free id; the one that has been free for longest, mostly.
func (u *uids) take() (int, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for range uidRange {
		uid := u.base + u.next
		u.next = (u.next + 1) % uidRange
		if !u.used[uid] {
			u.used[uid] = true
			return uid, true
		}
	}
	return 0, false
}

// give returns an id, once nothing runs under it any more.
func (u *uids) give(uid int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.used, uid)
}
