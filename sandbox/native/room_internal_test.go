//go:build linux

package native

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What listens in a room is reached through a descriptor of it, and not by its name, which
// is one of no other namespace.
func TestRoom(t *testing.T) {
	r, err := newRoom()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
		if _, err := r.bind(); err == nil {
			t.Error("a closed room has a socket")
		}
	}()
	if r.space < 0 {
		t.Skip("this user gets no namespace that a thread comes back from")
	}
	f, err := r.bind()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Listen(int(f.Fd()), 1); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	var dialer net.Dialer
	if _, err := dialer.DialContext(t.Context(), "unix", name.(*unix.SockaddrUnix).Name); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("from outside: %v", err)
	}
	conn, err := r.dial(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
