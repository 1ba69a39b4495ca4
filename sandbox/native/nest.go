//go:build linux

package native

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A nest is a thread with a mount namespace of its own, in which the trees of
// the templates are built and from which every agent is started: its children
// get a copy of that namespace, so the host never sees a mount of ours.
type nest struct {
	dir      string // the trees, visible in the nest alone
	requests chan func()
	quit     chan struct{} // closed by close
	done     chan struct{} // closed when the thread has ended
}

// newNest starts the thread. It ends with close, and takes its namespace along.
func newNest(runtimeDir string) (*nest, error) {
	n := &nest{dir: filepath.Join(runtimeDir, "trees"), requests: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, err
	}
	started := make(chan error)
	go n.run(started)
	return n, <-started
}

// offMainThread runs f on another thread than the process's first, which
// cannot end with a goroutine and whose namespaces are shown as the process's.
func offMainThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	done := make(chan struct{})
	go func() { // elsewhere, as long as this one is kept here
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
	runtime.UnlockOSThread()
}

// run serves on one locked thread. The thread is not unlocked: it ends with
// the goroutine, since no other may ever run in that namespace.
func (n *nest) run(started chan<- error) {
	defer close(n.done)
	offMainThread(func() { n.serve(started) })
}

func (n *nest) serve(started chan<- error) {
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil { // a tree of its own to build in, whatever the directory's mount allows
		err = unix.Mount("tmpfs", n.dir, "tmpfs", unix.MS_NOSUID, "mode=0755,size=16m")
	}
	started <- err
	if err != nil {
		return
	}
	for {
		select {
		case f := <-n.requests:
			f()
		case <-n.quit:
			return
		}
	}
}

// do runs f on the nest's thread and waits for it.
func (n *nest) do(f func() error) error {
	result := make(chan error, 1)
	select {
	case n.requests <- func() { result <- f() }:
		return <-result
	case <-n.done:
		return errors.New("the nest is closed")
	}
}

// start starts a program as a child of the daemon, in the nest's namespaces
// but for those that attr asks to be new.
func (n *nest) start(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	err = n.do(func() error {
		pid, err = syscall.ForkExec(path, argv, attr)
		return err
	})
	return pid, err
}

func (n *nest) close() {
	close(n.quit)
	<-n.done
}

// sealed puts data into a memory file that nobody can change any more.
func sealed(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 there was no MFD_EXEC
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(data); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Chmod(0o111); err != nil { // who runs it cannot read it, and so not trace it
		return nil, errors.Join(err, f.Close())
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
