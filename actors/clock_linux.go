package actors

import (
	"time"

	"golang.org/x/sys/unix"
)

// boottime is the time since the machine started, time asleep included; see
// clock_gettime(2). Every process of the machine reads the same.
func boottime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err) // the clock is older than every kernel we run on
	}
	return time.Duration(now.Nano())
}
