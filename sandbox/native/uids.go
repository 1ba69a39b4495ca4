//go:build linux

package native

import (
	"hash/fnv"
	"sync"
)

// uids hands out a user id of its own to each live sandbox. As root they come
// from a range that distributions give to nobody, mostly another one for each
// state directory. In a user namespace they are what its map has; where that
// is too little, all share id 0, which is no root outside.
type uids struct {
	mu     sync.Mutex
	base   int
	size   int
	next   int
	used   map[int]bool
	shared bool
}

// Of a map of a user namespace, the ids below are left to the daemon's own
// use, and fewer than fewest are not worth a pool.
const (
	reserved = 1000
	fewest   = 256
)

// newUIDs makes the pool of a daemon, given how many ids are mapped here.
func newUIDs(instance string, mapped int) *uids {
	u := &uids{used: map[int]bool{}}
	switch {
	case mapped >= allIDs:
		h := fnv.New32a()
		_, _ = h.Write([]byte(instance))
		const lowest, ranges = 1 << 30, 1 << 13
		u.size = 1 << 16
		u.base = lowest + int(h.Sum32()%ranges)*u.size
	case mapped >= reserved+fewest:
		u.base, u.size = reserved, mapped-reserved
	default:
		u.shared = true
	}
	return u
}

// take returns a free id; the one that has been free for longest, mostly.
func (u *uids) take() (int, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.shared {
		return 0, true
	}
	for range u.size {
		uid := u.base + u.next
		u.next = (u.next + 1) % u.size
		if !u.used[uid] {
			u.used[uid] = true
			return uid, true
		}
	}
	return 0, false
}

// claim takes an id that a sandbox of an earlier daemon has.
func (u *uids) claim(uid int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.shared {
		u.used[uid] = true
	}
}

// give returns an id, once nothing runs under it any more.
func (u *uids) give(uid int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.used, uid)
}
