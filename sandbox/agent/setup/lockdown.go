//go:build linux

package setup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// lockDown drops every right, in the one order that works: limits while we may
// set them, capabilities while we may drop them, Landlock after the mounts,
// and seccomp last.
func lockDown(c boot.Walls) error {
	steps := []struct {
		what string
		do   func() error
	}{
		{"rlimits", func() error { return setLimits(c) }},
		{"bounding set", dropBoundingSet},
		{"securebits", setSecurebits},
		{"user", func() error { return becomeTenant(c) }},
		{"capabilities", dropCapabilities},
		{"not dumpable", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }},
		{"no new privileges", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		{"landlock", func() error { return landlock(c.Volumes) }},
		{"seccomp", func() error { return filter(c) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func setLimits(c boot.Walls) error {
	for resource, limit := range limitsOf(c) {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return err
		}
		limit = min(limit, now.Max) // it can only go down
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	return nil
}

func limitsOf(c boot.Walls) map[int]uint64 {
	limits := map[int]uint64{
		unix.RLIMIT_CORE:   1, // not 0: at 0 the kernel still runs a host's program for cores, at 1 nothing
		unix.RLIMIT_NOFILE: 4096, unix.RLIMIT_MEMLOCK: 64 << 10,
		unix.RLIMIT_MSGQUEUE: 0, unix.RLIMIT_SIGPENDING: 1024, unix.RLIMIT_RTPRIO: 0, unix.RLIMIT_NICE: 0,
	}
	if c.Processes > 0 {
		limits[unix.RLIMIT_NPROC] = c.Processes
	}
	return limits
}

func dropBoundingSet() error {
	for c := range lastCapability() + 1 {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return err
		}
	}
	return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
}

// lastCapability is the highest that this kernel knows.
func lastCapability() int {
	data, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
			return n
		}
	}
	return unix.CAP_LAST_CAP
}

// setSecurebits takes the meaning of user id 0 away, for good.
func setSecurebits() error {
	const (
		noRoot       = 1<<0 | 1<<1 // and its lock
		keepCapsLock = 1 << 5
		noAmbient    = 1<<6 | 1<<7
	)
	return unix.Prctl(unix.PR_SET_SECUREBITS, noRoot|keepCapsLock|noAmbient, 0, 0, 0)
}

func becomeTenant(c boot.Walls) error {
	// Raw calls: those of package syscall change all threads, and only this one
	// passes the exec.
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
	if errno != 0 && (!c.UserNS || errno != unix.EPERM) { // a namespace of one id forbids it
		return errno
	}
	gid, uid := uintptr(c.GID), uintptr(c.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return errno
	}
	return nil
}

func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}

// filter leaves the filter to an agent that starts late: what waits for it has nobody to
// listen to, and each costs the kernel 0.3 ms.
func filter(c boot.Walls) error {
	if c.Late {
		return nil
	}
	return InstallFilter(c.Filter, 0)
}

// InstallFilter installs a seccomp program in this thread, or with the flags that
// seccomp(2) has for that in all.
func InstallFilter(program []byte, flags uintptr) error {
	const size = int(unsafe.Sizeof(unix.SockFilter{}))
	if len(program) == 0 || len(program)%size != 0 {
		return errors.New("no seccomp program was given")
	}
	filters := unsafe.Slice((*unix.SockFilter)(unsafe.Pointer(&program[0])), len(program)/size) //nolint:gosec // the kernel's own layout
	fprog := unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]}
	thread, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog))) //nolint:gosec // see above
	switch {
	case errno != 0:
		return errno
	case thread != 0:
		return fmt.Errorf("thread %d cannot have the filter", thread)
	}
	return nil
}
