//go:build !linux

package actors

import "time"

// boottime stands in for the clock of Linux. It jumps when the clock is set;
// no sandbox runs here that would mind.
func boottime() time.Duration { return time.Duration(time.Now().UnixNano()) }
