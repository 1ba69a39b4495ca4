//go:build linux

package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
	"github.com/sandwarden/sandwarden/sandbox/agent/setup"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// greetLimit is how long a new connection may take to show the secret.
const greetLimit = 10 * time.Second

// Run is PID 1 behind the walls: it serves until its daemon has stayed away
// for the grace. It returns only with the reason for which it ended; the end
// of PID 1 is the end of the sandbox.
func Run(ctx context.Context, c boot.Config) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err // exec has set it back; without it the tenant could trace us
	}
	if c.Late {
		if err := setup.InstallFilter(c.Filter, unix.SECCOMP_FILTER_FLAG_TSYNC); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(40 << 20)
	joins, folder, forked := inherited(c)
	g, err := newGuest(c, joins, folder)
	if err != nil {
		return err
	}
	if err := endure(); err != nil {
		return err
	}
	if c.Late {
		g.late.files = forked
	} else {
		go g.reapChildren()
		g.startEarly(forked)
	}
	return g.serve(ctx)
}

// inherited names the descriptors that the daemon passed.
func inherited(c boot.Config) (joins []*os.File, folder *os.File, forked []*os.File) {
	fd := uintptr(boot.FirstFD)
	for range c.JoinFiles {
		joins = append(joins, os.NewFile(fd, "join"))
		fd++
	}
	if c.WorkFolder {
		folder = os.NewFile(fd, "work")
		fd++
	}
	if c.Forked {
		for range boot.KernelFiles {
			forked = append(forked, os.NewFile(fd, "kernel")) // in the poller, since the daemon made them so
			fd++
		}
	}
	for f := uintptr(boot.SocketFD); f < fd; f++ {
		unix.CloseOnExec(int(f)) // no child gets them, but for SelfFD's path
	}
	if c.Late {
		_ = unix.Close(boot.AliveFD) // from now on the end of a connection tells of the daemon's
	}
	return joins, folder, forked
}

func (g *Guest) serve(ctx context.Context) error {
	l, err := listen()
	if err != nil {
		return err
	}
	watched := newWatched(l, g.config.Grace)
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(door(g.config.Secret)))
	if err != nil {
		return err
	}
	wire.RegisterAgentService(server, service{g})
	if !g.config.Late { // else it is in the daemon's call already
		ready := os.NewFile(boot.ReadyFD, "ready")
		if _, err := ready.WriteString(boot.ReadyWord); err != nil {
			return err
		}
		_ = ready.Close()
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ctx, watched) }()
	select {
	case err := <-failed:
		return err
	case <-watched.deserted:
		return errors.New("no daemon came back within the grace")
	}
}

// listen makes the daemon's bound socket a listening one. We do it, not the
// daemon, so that SO_PEERCRED at the other end names us. A
// later daemon looks for it where it is.
func listen() (net.Listener, error) {
	if err := unix.Listen(boot.SocketFD, boot.Backlog); err != nil {
		return nil, err
	}
	f := os.NewFile(boot.SocketFD, "socket")
	l, err := net.FileListener(f) // which has its own copy
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return kept{l, f}, nil
}

// kept is a listener whose first file stays open.
type kept struct {
	net.Listener
	file *os.File
}

// Close implements [net.Listener].
func (k kept) Close() error {
	return errors.Join(k.Listener.Close(), k.file.Close())
}

// door lets in who knows the secret.
func door(secret []byte) ttrpc.Handshaker { return handshaker{secret} }

type handshaker struct{ secret []byte }

func (h handshaker) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	if err := conn.SetDeadline(time.Now().Add(greetLimit)); err != nil {
		return nil, nil, err
	}
	if err := agent.Admit(conn, h.secret); err != nil {
		return nil, nil, err
	}
	return conn, nil, conn.SetDeadline(time.Time{})
}

// watched is a listener that notices when no daemon is connected for the
// grace.
type watched struct {
	net.Listener
	grace    time.Duration
	deserted chan struct{}

	mu    sync.Mutex
	conns int
	timer *time.Timer
}

func newWatched(l net.Listener, grace time.Duration) *watched {
	w := &watched{Listener: l, grace: grace, deserted: make(chan struct{})}
	w.timer = time.AfterFunc(grace, func() { close(w.deserted) })
	return w
}

// Accept implements [net.Listener].
func (w *watched) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	fast, err := quick.NewConn(conn.(*net.UnixConn)) //nolint:errcheck,forcetypeassert // the listener is of a unix socket
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns++
	w.timer.Stop()
	return &counted{Conn: fast, watched: w}, nil
}

type counted struct {
	net.Conn
	once    sync.Once
	watched *watched
}

// Close implements [net.Conn].
func (c *counted) Close() error {
	c.once.Do(func() {
		c.watched.mu.Lock()
		defer c.watched.mu.Unlock()
		if c.watched.conns--; c.watched.conns == 0 {
			c.watched.timer.Reset(c.watched.grace)
		}
	})
	return c.Conn.Close()
}
