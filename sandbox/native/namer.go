//go:build linux

package native

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// A namer gives sandboxes their host names. Whoever asks enters the name space of the
// sandbox for a moment, where its thread gets back from there. Else there is one thread
// for that, which may run nothing else, and ends with its goroutine.
type namer struct {
	home     *home // nil where nobody gets back to it
	requests chan naming
	quit     chan struct{} // closed by close
	done     chan struct{} // closed when nobody names any more
}

type naming struct {
	of     *box
	name   string
	result chan error
}

var errNamer = errors.New("host names cannot be given any more")

// newNamer starts the thread, where one is needed. It ends with close.
func newNamer() (*namer, error) {
	n := &namer{requests: make(chan naming), quit: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error)
	h, err := openHome(unix.CLONE_NEWUTS, "uts")
	if err != nil {
		return nil, fmt.Errorf("host names: %w", err)
	}
	if returns, err := h.abroad(func() error { return nil }); err == nil && returns {
		close(n.done)
		n.home = h
		return n, nil
	}
	_ = h.close()
	go func() {
		defer close(n.done)
		offMainThread(func() { n.serve(started) })
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("host names: %w", err)
	}
	return n, nil
}

// ownSpace moves the thread into a name space of its own, and returns that. From a
// sandbox's an ordinary user does not get back to the host's.
func ownSpace() (int, error) {
	if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
		return -1, err
	}
	return openSpace("uts")
}

// serve keeps its thread locked, so that it ends with it.
func (n *namer) serve(started chan<- error) {
	runtime.LockOSThread()
	own, err := ownSpace()
	started <- err
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(own) }()
	for {
		select {
		case r := <-n.requests:
			r.result <- r.of.setHostname(r.name)
		case <-n.quit:
			return
		}
		if unix.Setns(own, unix.CLONE_NEWUTS) != nil {
			return // it is in a sandbox's for good
		}
	}
}

// name gives a sandbox its name.
func (n *namer) name(x *box, name string) error {
	select {
	case <-n.quit:
		return errNamer
	default:
	}
	if n.home != nil {
		return n.visit(x, name)
	}
	r := naming{of: x, name: name, result: make(chan error, 1)}
	select {
	case n.requests <- r:
		return <-r.result
	case <-n.done:
		return errNamer
	}
}

// visit does so on the thread that it is called on.
func (n *namer) visit(x *box, name string) error {
	x.mu.Lock()
	defer x.mu.Unlock() // so that the descriptor is the process's
	if x.process == nil {
		return unix.ESRCH
	}
	return n.home.visit(x.pidfd, func() error { return unix.Sethostname([]byte(name)) })
}

func (n *namer) close() {
	close(n.quit)
	<-n.done
	if n.home != nil {
		_ = n.home.close()
	}
}

// setHostname runs on a thread that may change its namespaces.
func (x *box) setHostname(name string) error {
	x.mu.Lock()
	defer x.mu.Unlock() // so that the descriptor is the process's
	if x.process == nil {
		return unix.ESRCH
	}
	if err := unix.Setns(x.pidfd, unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	return unix.Sethostname([]byte(name))
}
