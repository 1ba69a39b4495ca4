//go:build linux

package quick

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A File reads and writes a descriptor that is in the runtime's poller. One
// goroutine may read while another writes. Its deadlines are set on what it was
// made of.
type File struct {
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

// NewFile reads and writes the descriptor of c, which stays the caller's.
func NewFile(c syscall.Conn) (*File, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	f := &File{raw: raw}
	f.read, f.write = f.readNow, f.writeNow
	return f, nil
}

// readNow is not done when there is nothing to read yet.
func (f *File) readNow(fd uintptr) (done bool) {
	f.in.n, f.in.err = Read(fd, f.in.data)
	return !errors.Is(f.in.err, unix.EAGAIN)
}

// writeNow is not done when there is no room yet.
func (f *File) writeNow(fd uintptr) (done bool) {
	for f.out.n < len(f.out.data) {
		n, err := Write(fd, f.out.data[f.out.n:])
		f.out.n, f.out.err = f.out.n+n, err
		if err != nil {
			return !errors.Is(err, unix.EAGAIN)
		}
	}
	return true
}

// Read implements [io.Reader].
func (f *File) Read(p []byte) (int, error) {
	f.in = piece{data: p}
	err := f.raw.Read(f.read)
	n, failed := f.in.n, f.in.err
	f.in = piece{}
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
func (f *File) Write(p []byte) (int, error) {
	f.out = piece{data: p}
	err := f.raw.Write(f.write)
	n, failed := f.out.n, f.out.err
	f.out = piece{}
	if err != nil {
		return n, err
	}
	return n, failed
}

// A Conn is a connection that is read and written so, by any goroutine.
type Conn struct {
	net.Conn
	file             *File
	reading, writing sync.Mutex
}

// NewConn takes over a connection that has a descriptor.
func NewConn(c interface {
	net.Conn
	syscall.Conn
},
) (*Conn, error) {
	file, err := NewFile(c)
	return &Conn{Conn: c, file: file}, err
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	return c.file.Read(p)
}

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.file.Write(p)
}
