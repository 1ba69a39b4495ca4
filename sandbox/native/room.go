//go:build linux

package native

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// A room is a network namespace in which no process is. What is listened to there by a
// name of the kernel's choice can be reached by who may enter, and by nobody else; and
// it is no file, which takes a disk longer to make and to remove than a socket.
//
// A room lives as long as its sockets, so a later daemon finds it by those of PID 1.
type room struct {
	home  *home
	space int // -1 where there can be none; those of earlier daemons may be reached
}

// newRoom makes one.
func newRoom() (*room, error) {
	h, err := openHome(unix.CLONE_NEWNET, "net")
	if err != nil {
		return nil, err
	}
	r := &room{home: h, space: -1}
	returns, err := h.abroad(func() (err error) {
		r.space, err = openSpace("net")
		return err
	})
	if (err != nil || !returns) && r.space >= 0 {
		_ = unix.Close(r.space)
		r.space = -1
	}
	return r, nil
}

// bind makes a socket with a name there.
func (r *room) bind() (*os.File, error) {
	fd, err := r.socket(r.space)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "agent")
	if err := unix.Bind(fd, &unix.SockaddrUnix{}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), f.Close())
	}
	return f, nil
}

// socket makes one without a name in a room.
func (r *room) socket(space int) (int, error) {
	fd := -1
	err := r.home.visit(space, func() (err error) {
		fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil && fd >= 0 {
		_ = unix.Close(fd)
	}
	return fd, err
}

// dial connects to a socket that somebody listens to in a room, whosever that is.
func (r *room) dial(listener int) (net.Conn, error) {
	name, err := unix.Getsockname(listener)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	fd, err := r.beside(listener)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "agent")
	defer func() { _ = f.Close() }() // FileConn has its own copy
	if err := unix.Connect(fd, name); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}

// beside makes a socket in the network namespace of another.
func (r *room) beside(socket int) (int, error) {
	space, err := unix.IoctlRetInt(socket, unix.SIOCGSKNS)
	if err != nil {
		return -1, os.NewSyscallError("ioctl", err)
	}
	defer func() { _ = unix.Close(space) }()
	return r.socket(space)
}

func (r *room) close() error {
	err := r.home.close()
	if r.space >= 0 {
		err = errors.Join(err, unix.Close(r.space))
	}
	return err
}

// dialSocket connects to the socket that PID 1 of the sandbox has.
func (x *box) dialSocket() (net.Conn, error) {
	listener, err := x.grab(boot.SocketFD)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(listener) }()
	return x.backend.room.dial(listener)
}
