package door

import (
	"sync"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Shares bound something that there is a certain number of, so that one
// principal cannot take all of it: while there are principals, each may have
// half.
type Shares struct {
	most int

	mu    sync.Mutex
	total int
	taken map[sandbox.Principal]int
}

// NewShares returns Shares of so many.
func NewShares(most int) *Shares {
	return &Shares{most: most, taken: map[sandbox.Principal]int{}}
}

// Take takes one for a principal. It returns false when there is none left, or
// none for that one; else it must be given back.
func (s *Shares) Take(p sandbox.Principal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.most || p != "" && s.taken[p] >= max(1, s.most/2) {
		return false
	}
	s.total++
	s.taken[p]++
	return true
}

// Give gives one back.
func (s *Shares) Give(p sandbox.Principal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.taken[p]--; s.taken[p] == 0 {
		delete(s.taken, p)
	}
}
