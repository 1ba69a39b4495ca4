package main

import (
	"os"
	"runtime"
)

// spareProcessors lets the daemon itself use half of the processors from now on,
// unless GOMAXPROCS says how many, until the returned function is called. What
// sandboxes run needs the others, and a thread of ours that looks for work on one
// of them keeps it from the sandbox that is about to answer.
func spareProcessors() (restore func()) {
	if os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	before := runtime.GOMAXPROCS(half(runtime.GOMAXPROCS(0)))
	return func() { runtime.GOMAXPROCS(before) }
}

// half is half of the processors, and at least one.
func half(processors int) int { return max(1, (processors+1)/2) }
