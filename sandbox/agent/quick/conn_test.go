//go:build linux

package quick_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// pair is two ends of a connection, the first of which is quick.
func pair(t *testing.T) (*quick.Conn, *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	theirs, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := quick.NewConn(accepted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return ours, theirs
}

// More than the kernel holds is carried whole, both ways at once.
func TestConn_CarriesAll(t *testing.T) {
	ours, theirs := pair(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	sent := make(chan error, 2)
	for _, w := range []net.Conn{ours, theirs} {
		go func() {
			n, err := w.Write(data)
			if n != len(data) {
				err = errors.Join(err, io.ErrShortWrite)
			}
			sent <- err
		}()
	}
	for _, r := range []net.Conn{theirs, ours} {
		got := make([]byte, len(data))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, equal %v, %v", len(got), bytes.Equal(got, data), err)
		}
	}
	for range 2 {
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

func TestConn_Ends(t *testing.T) {
	ours, theirs := pair(t)
	if err := ours.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := ours.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at its deadline: %d, %v", n, err)
	}
	if err := ours.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := ours.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	if _, err := theirs.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	if got, err := io.ReadAll(ours); string(got) != "last" || err != nil {
		t.Errorf("at the end: %q, %v", got, err)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("to nobody: %v", err)
	}
	_ = ours.Close()
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestCalls(t *testing.T) {
	clock, err := quick.Clock(unix.CLOCK_BOOTTIME)
	if err != nil || clock.Sec == 0 && clock.Nsec == 0 {
		t.Errorf("the clock says %v, %v", clock, err)
	}
	if _, err := quick.Clock(99); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a clock that is none: %v", err)
	}
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for range 2 { // the second time from the beginning too
		text := make([]byte, 10)
		if n, err := quick.ReadStart(f.Fd(), text); string(text[:n]) != "text" || err != nil {
			t.Errorf("read %q, %v", text[:n], err)
		}
	}
	var want unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &want); err != nil {
		t.Fatal(err)
	}
	if got, err := quick.Statfs(f.Fd()); err != nil || got.Type != want.Type || got.Blocks != want.Blocks {
		t.Errorf("the file system is %+v, %v", got, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	if _, err := w.WriteString("abc"); err != nil {
		t.Fatal(err)
	}
	if n, err := quick.Waiting(r.Fd()); n != 3 || err != nil {
		t.Errorf("%d bytes wait, %v", n, err)
	}
}
