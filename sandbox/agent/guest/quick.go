//go:build linux

package guest

import (
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of one short execution do not wait: its descriptors are not
// blocking, or always have an answer. So the scheduler need not be told of them.
// Told, it wakes a thread each time that looks after calls that wait, which costs
// more than the call.

// quick makes a system call that does not wait, again when a signal came between.
func quick(call, a, b, c, d uintptr) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(call, a, b, c, d, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// readReady reads what is there: EAGAIN when nothing is. The descriptor does not
// block.
func readReady(fd uintptr, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return quick(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0)
}

// writeReady writes what is taken: EAGAIN when nothing is. The descriptor does not
// block.
func writeReady(fd uintptr, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return quick(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0)
}

// readAt reads a file of the kernel's own, from its beginning.
func readAt(fd uintptr, p []byte) (int, error) {
	return quick(unix.SYS_PREAD64, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0)
}

// clock reads a clock.
func clock(id int32) (unix.Timespec, error) {
	var ts unix.Timespec
	_, err := quick(unix.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0, 0)
	return ts, err
}

// waiting is how many bytes a pipe holds.
func waiting(fd uintptr) (int, error) {
	var n int32
	_, err := quick(unix.SYS_IOCTL, fd, unix.TIOCINQ, uintptr(unsafe.Pointer(&n)), 0)
	return int(n), err
}

// statfs describes the file system of an open file.
func statfs(fd uintptr) (unix.Statfs_t, error) {
	var st unix.Statfs_t
	_, err := quick(unix.SYS_FSTATFS, fd, uintptr(unsafe.Pointer(&st)), 0, 0)
	return st, err
}

// A quickConn reads and writes a descriptor that is in the runtime's poller. One
// goroutine may read while another writes. Its deadlines are set on what it was
// made of.
type quickConn struct {
	raw     syscall.RawConn
	in, out piece
	read    func(fd uintptr) bool // made once, as each would cost memory
	write   func(fd uintptr) bool
}

// A piece is what a read or a write is about.
type piece struct {
	data []byte
	n    int
	err  error
}

func newQuickConn(c syscall.Conn) (*quickConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	q := &quickConn{raw: raw}
	q.read = func(fd uintptr) bool {
		q.in.n, q.in.err = readReady(fd, q.in.data)
		return q.in.err != unix.EAGAIN
	}
	q.write = func(fd uintptr) bool {
		for q.out.n < len(q.out.data) {
			n, err := writeReady(fd, q.out.data[q.out.n:])
			if err != nil {
				q.out.err = err
				return err != unix.EAGAIN
			}
			q.out.n += n
		}
		q.out.err = nil
		return true
	}
	return q, nil
}

// Read implements [io.Reader].
func (q *quickConn) Read(p []byte) (int, error) {
	q.in = piece{data: p}
	err := q.raw.Read(q.read)
	n, failed := q.in.n, q.in.err
	q.in = piece{}
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, failed
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements [io.Writer].
func (q *quickConn) Write(p []byte) (int, error) {
	q.out = piece{data: p}
	err := q.raw.Write(q.write)
	n, failed := q.out.n, q.out.err
	q.out = piece{}
	if err != nil {
		return n, err
	}
	return n, failed
}
