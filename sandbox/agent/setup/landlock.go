//go:build linux

package setup

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// landlock lets this thread read everything that the root shows, and write only
// below what is meant to be written. It is a second belt: the mounts say the
// same. A kernel without it has one belt.
//
// The raw calls are used because only this thread passes the exec; a library
// would change all threads.
func landlock(volumes []boot.Volume) error {
	handled := handledRights()
	if handled == 0 {
		return nil // see above
	}
	ruleset := unix.LandlockRulesetAttr{Handled_access_fs: handled}
	fd, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&ruleset)), 8, 0) //nolint:gosec // a struct of the kernel; the first field alone
	if errno != 0 {
		return errno
	}
	defer func() { _ = unix.Close(int(fd)) }()
	for path, rights := range allowed(handled, volumes) {
		if err := allowPath(int(fd), path, rights); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	for own := boot.FirstFD; own < boot.FirstFD+8; own++ { // the agent's own cgroup folder; nobody else can reach it
		if err := allow(int(fd), own, handled); err != nil && !errors.Is(err, unix.EBADF) {
			return fmt.Errorf("descriptor %d: %w", own, err)
		}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// handledRights are those that this kernel can withhold; none without Landlock.
func handledRights() uint64 {
	abi, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return rightsOf(int(abi))
}

// rightsOf are the rights that an ABI can handle.
func rightsOf(abi int) uint64 {
	rights := uint64(1<<13 - 1) // ABI 1: execute … make_sym
	if abi >= 2 {
		rights |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		rights |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	return rights
}

// allowed says what may be done where.
func allowed(handled uint64, volumes []boot.Volume) map[string]uint64 {
	const read = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	const write = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	rules := map[string]uint64{
		"/":     read,
		"/work": handled, "/tmp": handled, "/dev/shm": handled, "/dev/pts": handled,
		"/dev/ptmx": (read &^ unix.LANDLOCK_ACCESS_FS_READ_DIR) | write&handled,
		"/proc":     read | write&handled,
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		rules["/dev/"+device] = unix.LANDLOCK_ACCESS_FS_READ_FILE | write&handled
	}
	for _, v := range volumes {
		if !v.ReadOnly {
			rules[v.Target] = handled
		}
	}
	return rules
}

// allowPath adds one rule. What is not there needs none.
func allowPath(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return allow(ruleset, fd, rights)
}

// allow adds a rule for what is open. A file takes no rights of folders.
func allow(ruleset, fd int, rights uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0) //nolint:gosec // a struct of the kernel
	if errno != 0 && errno != unix.EBADFD {                                                                                                                 // a descriptor of no file system, such as a socket
		return errno
	}
	return nil
}
