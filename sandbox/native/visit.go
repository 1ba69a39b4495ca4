//go:build linux

package native

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// visit calls f on a thread that is in another namespace meanwhile, of one kind of
// CLONE_NEW…, and comes back to home. A thread that cannot come back ends with its
// goroutine, and is nobody else's.
func visit(space, home, kind int, f func() error) error {
	runtime.LockOSThread()
	if err := unix.Setns(space, kind); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter a namespace: %w", err)
	}
	err := f()
	if back := unix.Setns(home, kind); back != nil {
		return errors.Join(err, fmt.Errorf("leave a namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}
