//go:build linux

package guest

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reapChildren reaps at SIGCHLD.
func (g *Guest) reapChildren() {
	ended := make(chan os.Signal, 1) // of its own, which no flood can fill
	signal.Notify(ended, syscall.SIGCHLD)
	g.children.reap()
	for range ended {
		g.children.reap()
	}
}

// deadly are the signals of which a Go program dies that has not asked for them. It
// handles the others and goes on, or leaves them to the kernel of the host, which
// spares PID 1. To ask for each of them would take longer than the rest of a start.
var deadly = []os.Signal{ //nolint:gochecknoglobals // a table
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGBUS,
	syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGTERM, syscall.SIGSTKFLT, syscall.SIGSYS,
}

// endure has the agent live through every signal: the tenant may send any.
func endure() error {
	flood := make(chan os.Signal, 1) // never read: what comes is dropped
	signal.Notify(flood, deadly...)
	for _, s := range []syscall.Signal{32, 34} { // Notify leaves them to a C library, which is not here
		if err := ignore(s); err != nil {
			return err
		}
	}
	return nil
}

// ignore has the kernel drop a signal, here and in the programs that we start.
// PID 1 is spared what it does not handle, but not always: while its first thread
// runs the handler of another signal it has all blocked, and then the kernel ends
// the process by way of a thread that has not.
func ignore(s syscall.Signal) error {
	const (
		sigIgn   = 1
		maskSize = 8
	)
	action := [4]uint64{sigIgn}                                                                                             // a struct sigaction of the kernel, as 64-bit machines have it
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, maskSize, 0, 0) //nolint:gosec // the kernel reads so much
	if errno != 0 {
		return fmt.Errorf("ignore %v: %w", s, errno)
	}
	return nil
}
