package sandbox

import "math"

// A Supply is something of which a host has a fixed number, and of which each
// sandbox takes some.
type Supply struct {
	Resource string // "descriptors", "tasks", "files", "namespaces" or "uids"
	Limit    string // its limit, by the name that an operator knows: "kernel.pid_max"
	Used     int64  // now, by all; -1 when nobody counts
	Max      int64
	Reserve  int64 // of Max, that is left to others; at most half of it is
	Each     int64 // what one sandbox may take; above 0
	// Raise says how the limit becomes as high as given, for people.
	Raise func(to int64) string
}

// Allowed is what may be used before it is only others who get more.
func (s *Supply) Allowed() int64 { return s.Max - min(s.Reserve, s.Max/2) }

// Holds is how many sandboxes the supply is enough for in all.
func (s *Supply) Holds() int {
	return int(min(s.Allowed()/s.Each, math.MaxInt32))
}

// Room is for how many sandboxes there is enough beside what is used now.
func (s *Supply) Room() int {
	if s.Used < 0 {
		return math.MaxInt32
	}
	return int(min((s.Allowed()-s.Used)/s.Each, math.MaxInt32))
}

// For is the limit that so many sandboxes need.
func (s *Supply) For(sandboxes int) int64 {
	return int64(sandboxes)*s.Each + s.Reserve
}
