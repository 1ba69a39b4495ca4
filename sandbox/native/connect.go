//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent"
)

// awaitWord waits for a word on the ready pipe. Anything else is why it failed.
func awaitWord(ctx context.Context, ready *os.File, word string) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	const longest = 4096
	said := make([]byte, len(word))
	n, err := io.ReadFull(ready, said)
	if err == nil && string(said) == word {
		return nil
	}
	rest, _ := io.ReadAll(io.LimitReader(ready, longest)) // what there is
	switch said = append(said[:n], rest...); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case len(said) == 0:
		return fmt.Errorf("the agent did not get ready: %w", err)
	}
	return fmt.Errorf("the agent could not be set up: %s", said)
}

// connect speaks with the agent for the first time, and makes sure that it is
// the process that we started.
func (x *box) connect(ctx context.Context) error {
	conn, err := x.dial(ctx)
	if err != nil {
		return err
	}
	if err := admit(ctx, conn, x.record); err != nil {
		return errors.Join(err, conn.Close())
	}
	client := agent.NewClient(x.id, conn, x.disconnected)
	if _, err := client.Hello(ctx); err != nil {
		return errors.Join(err, client.Close())
	}
	x.client.Store(client)
	return nil
}

// dial connects to the agent, wherever it listens.
func (x *box) dial(ctx context.Context) (net.Conn, error) {
	if x.record.Room {
		return x.dialSocket()
	}
	path := x.socketPath()
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", short(folder, path))
}

// admit checks who listens, and that both know the secret of a record.
func admit(ctx context.Context, conn net.Conn, rec record) error {
	if err := checkPeer(conn, rec); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline() // none is no limit; begin has one
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := agent.Greet(conn, rec.Secret); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// checkPeer asks the kernel who called listen on the other end.
func checkPeer(conn net.Conn, rec record) error {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("not a unix socket")
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if int(peer.Pid) != rec.PID || int(peer.Uid) != rec.UID {
		return fmt.Errorf("process %d of user %d listens, not the agent", peer.Pid, peer.Uid)
	}
	return nil
}

// bindSocket makes the agent's socket without listening: the agent does that.
func (x *box) bindSocket() (*os.File, error) {
	if x.record.Room {
		return x.backend.room.bind()
	}
	return bindSocket(x.socketPath())
}

// bindSocket makes one that is a file.
func bindSocket(path string) (*os.File, error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "agent")
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: short(folder, path)}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), f.Close())
	}
	return f, nil
}

// short names a socket by its folder's descriptor: the full path may be longer
// than the 107 bytes that an address takes.
func short(folder *os.File, path string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path))
}

func (x *box) socketPath() string { return filepath.Join(x.backend.socketDir(), x.record.slot()) }
