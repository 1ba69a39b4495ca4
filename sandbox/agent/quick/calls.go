//go:build linux

// Package quick makes system calls that do not wait without a word to Go's
// scheduler: their descriptors do not block, or always have an answer. Told of a
// call, the scheduler wakes a thread that looks after calls that wait, which costs
// more than a call of this package.
//
// Each call names its memory where it is made: that is what keeps the memory in its
// place until the kernel is done.
package quick

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads what is there: EAGAIN when nothing is. The descriptor does not
// block.
func Read(fd uintptr, p []byte) (int, error) {
	for len(p) > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) //nolint:gosec // see above
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
	return 0, nil
}

// Write writes what is taken: EAGAIN when nothing is. The descriptor does not
// block.
func Write(fd uintptr, p []byte) (int, error) {
	for len(p) > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) //nolint:gosec // see above
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
	return 0, nil
}

// ReadStart reads a file of the kernel's own, from its beginning.
func ReadStart(fd uintptr, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0) //nolint:gosec // see above
	return result(n, errno)
}

// Clock reads a clock.
func Clock(id int32) (unix.Timespec, error) {
	var ts unix.Timespec
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0) //nolint:gosec // see above
	_, err := result(0, errno)
	return ts, err
}

// Boottime returns the time of CLOCK_BOOTTIME, in which deadlines are given.
func Boottime() time.Duration {
	ts, err := Clock(unix.CLOCK_BOOTTIME)
	if err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// ProcessorTime returns what a process has used; 0 when it is gone.
func ProcessorTime(pid int) time.Duration {
	ts, err := Clock(int32(^pid<<3 | 2)) // CPUCLOCK_SCHED of that process
	if err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Waiting is how many bytes a pipe holds. A read and this do wait, if only for a moment,
// for who writes into the pipe just then from memory that has to be fetched.
func Waiting(fd uintptr) (int, error) {
	var n int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, fd, unix.TIOCINQ, uintptr(unsafe.Pointer(&n))) //nolint:gosec // see above
	return result(uintptr(n), errno)
}

// Readable tells whether one of two descriptors has something to be read, or has ended.
func Readable(a, b uintptr) (bool, error) {
	fds := [2]unix.PollFd{{Fd: int32(a), Events: unix.POLLIN}, {Fd: int32(b), Events: unix.POLLIN}}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(unsafe.Pointer(&now)), 0, 0, 0) //nolint:gosec // see above
	_, err := result(n, errno)
	return n > 0 && err == nil, err
}

// Statfs describes the file system of an open file.
func Statfs(fd uintptr) (unix.Statfs_t, error) {
	var st unix.Statfs_t
	_, _, errno := unix.RawSyscall(unix.SYS_FSTATFS, fd, uintptr(unsafe.Pointer(&st)), 0) //nolint:gosec // see above
	_, err := result(0, errno)
	return st, err
}

// result is what a call has returned.
func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
