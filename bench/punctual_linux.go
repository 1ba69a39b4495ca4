package bench

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// punctual waits, to a tenth of a millisecond: a timer of Go alone is late by half of one and
// more while nothing else goes on, as it waits in whole milliseconds then, which would be
// taken for the daemon's.
func punctual(ctx context.Context, rest time.Duration) error {
	const byTimer = 2 * time.Millisecond // before the end
	due := time.Now().Add(rest)
	if err := patient(ctx, rest-byTimer); err != nil {
		return err
	}
	for rest = time.Until(due); rest > 0; rest = time.Until(due) {
		ts := unix.NsecToTimespec(int64(rest))
		if err := unix.Nanosleep(&ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}
