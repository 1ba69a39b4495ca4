package sandboxtest

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is the clock that daemon and agents share; see clock_gettime(2).
func Boottime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err)
	}
	return time.Duration(now.Nano())
}
