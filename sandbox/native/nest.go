//go:build linux

package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A nest is a thread with a mount namespace of its own, in which the trees of
// the templates are built and from which every agent is started. So the host never
// sees a mount of ours.
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
// but for those that attr asks to be new. The child sees the program's own
// descriptor until it has become it.
func (n *nest) start(program *os.File, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	err = n.do(func() error {
		pid, err = syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", program.Fd()), argv, attr)
		return err
	})
	return pid, err
}

// enclose returns a mount namespace in which a tree of the nest is the root and all
// there is. It lasts as long as its file is open or somebody is in it.
func (n *nest) enclose(tree string) (namespace *os.File, err error) {
	var whole int
	err = n.do(func() error {
		whole, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(whole) }()
	done := make(chan struct{})
	go func() { // on a thread that ends with it
		defer close(done)
		offMainThread(func() { namespace, err = enclose(whole, tree) })
	}()
	<-done
	return namespace, err
}

// enclose does so on a thread that must run nothing else afterwards.
func enclose(whole int, tree string) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // all threads of a program have one root
		return nil, os.NewSyscallError("unshare", err)
	}
	if err := unix.Setns(whole, unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("setns", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	namespace, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return nil, err
	}
	if mappedIDs() < allIDs { // until sandboxes have their own, which they may only have beside another
		err = unix.Mount("/proc", filepath.Join(tree, "proc"), "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err == nil {
		err = enterRoot(tree)
	}
	if err != nil {
		return nil, errors.Join(err, namespace.Close())
	}
	return namespace, nil
}

// enterRoot makes a tree the root, and drops the old one.
func enterRoot(tree string) error {
	if err := unix.Chdir(tree); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

func (n *nest) close() {
	close(n.quit)
	<-n.done
}

// outOfTheWay gives a descriptor a number from lowest on.
func outOfTheWay(fd, lowest int, name string) (*os.File, error) {
	moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowest)
	_ = unix.Close(fd)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(moved), name), nil
}

// Lowest numbers of descriptors. Go gives a child further ones above those that it
// is to have: so that none replaces that of the program that it becomes, all children
// have the agent's, which is above it.
const (
	initLowest  = 100
	agentLowest = 200
)

// sealed puts data into a memory file that nobody can change any more. Its
// descriptor has a number from lowest on.
func sealed(name string, lowest int, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 there was no MFD_EXEC
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f, err := outOfTheWay(fd, lowest, name)
	if err != nil {
		return nil, err
	}
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
