//go:build linux

package native

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// A home is the daemon's own namespace of a kind, from which its threads visit those of
// sandboxes.
type home struct {
	kind int // CLONE_NEW…

	mu sync.RWMutex // held by visitors, and alone to close
	fd int
}

// openHome opens that of the calling thread. name is that in /proc.
func openHome(kind int, name string) (*home, error) {
	fd, err := openSpace(name)
	if err != nil {
		return nil, err
	}
	return &home{kind: kind, fd: fd}, nil
}

func openSpace(name string) (int, error) {
	fd, err := unix.Open("/proc/thread-self/ns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return fd, os.NewSyscallError("open", err)
}

// abroad calls f on a thread that has entered a new namespace, and tells whether a thread
// gets back from there: in a user namespace that has not made home none does.
func (h *home) abroad(f func() error) (returns bool, err error) {
	done := make(chan struct{})
	go offMainThread(func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends here
		if err = os.NewSyscallError("unshare", unix.Unshare(h.kind)); err == nil {
			err = f()
		}
		returns = unix.Setns(h.fd, h.kind) == nil
	})
	<-done
	return returns, err
}

// visit calls f on a thread that is in another namespace meanwhile. A thread that cannot
// come back ends with its goroutine, and is nobody else's.
func (h *home) visit(space int, f func() error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.fd < 0 {
		return os.ErrClosed
	}
	runtime.LockOSThread()
	if err := unix.Setns(space, h.kind); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter a namespace: %w", err)
	}
	err := f()
	if back := unix.Setns(h.fd, h.kind); back != nil {
		return errors.Join(err, fmt.Errorf("leave a namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// close waits for visitors. It may be called again.
func (h *home) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	fd := h.fd
	h.fd = -1
	if fd < 0 {
		return nil
	}
	return unix.Close(fd)
}
