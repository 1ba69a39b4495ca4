package relay

import (
	"time"

	"golang.org/x/sys/unix"
)

// boottime returns the time of CLOCK_BOOTTIME, in which deadlines are given.
func boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // never fails for a clock that there is
	return time.Duration(ts.Nano())
}
