package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A manager is the service manager's side of the socket.
type manager struct {
	name string
	conn *net.UnixConn
}

// newManager opens a socket that everybody may write to, as that of systemd.
func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "nt") //nolint:usetesting // a short name, and one that another user may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for path, mode := range map[string]os.FileMode{dir: 0o755, name: 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return &manager{name, conn}
}

// next returns the next message that has the text in it; others are passed over.
func (m *manager) next(t *testing.T, text string) string {
	t.Helper()
	buf := make([]byte, 4096)
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			t.Fatalf("%q was not told: %v", text, err)
		}
		if got := string(buf[:n]); strings.Contains(got, text) {
			return got
		}
	}
}

// quiet checks that nothing is told for a while.
func (m *manager) quiet(t *testing.T, while time.Duration) {
	t.Helper()
	buf := make([]byte, 4096)
	if err := m.conn.SetReadDeadline(time.Now().Add(while)); err != nil {
		t.Fatal(err)
	}
	if n, err := m.conn.Read(buf); err == nil {
		t.Errorf("told: %q", buf[:n])
	}
}

func TestNotifier_Told(t *testing.T) {
	m := newManager(t)
	t.Setenv("NOTIFY_SOCKET", m.name)
	n := newNotifier(slog.New(slog.NewTextHandler(t.Output(), nil)))
	read := 0
	n.reload(func() { read++ })
	m.quiet(t, 50*time.Millisecond)
	n.ready("http://localhost:1", nil)
	if got := m.next(t, ""); got != "READY=1\nSTATUS=serving http://localhost:1/mcp" {
		t.Errorf("ready told %q", got)
	}
	n.reload(func() { read++ })
	if got := m.next(t, ""); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("reload told %q", got)
	}
	if got := m.next(t, ""); got != "READY=1" || read != 2 {
		t.Errorf("the end of reload told %q, after %d", got, read)
	}
	n.stopping()
	m.next(t, "STOPPING=1\nSTATUS=")
	n.ready("http://localhost:1", errors.New("x"))
	if got := m.next(t, "READY=1"); !strings.Contains(got, "no sandbox can be made here") {
		t.Errorf("ready told %q of a host without sandboxes", got)
	}
}

// Pings stop when the sessions do not answer in time, and go on when they do
// again.
func TestNotifier_FeedsWhileSessionsAnswer(t *testing.T) {
	m := newManager(t)
	t.Setenv("NOTIFY_SOCKET", m.name)
	t.Setenv("WATCHDOG_USEC", "400000")
	n := newNotifier(slog.New(slog.NewTextHandler(t.Output(), nil)))
	stuck := make(chan bool, 1)
	overview := func(ctx context.Context) (sandbox.Overview, error) {
		is := <-stuck
		stuck <- is
		if is {
			<-ctx.Done()
			return sandbox.Overview{}, ctx.Err()
		}
		return sandbox.Overview{Sessions: 3, MaxSessions: 40}, nil
	}
	stuck <- false
	stop := n.watch(t.Context(), overview)
	defer stop()
	for range 3 {
		if got := m.next(t, ""); got != "WATCHDOG=1\nSTATUS=3 sessions of 40" {
			t.Errorf("told %q", got)
		}
	}
	<-stuck
	stuck <- true
	time.Sleep(100 * time.Millisecond) // one may be under way
	for range 3 {
		if err := m.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err == nil {
			_, _ = m.conn.Read(make([]byte, 4096))
		}
	}
	m.quiet(t, 600*time.Millisecond)
	<-stuck
	stuck <- false
	m.next(t, "WATCHDOG=1")
}

func TestNotifier_WatchesNothingWhenNobodyAsks(t *testing.T) {
	for name, value := range map[string]string{"no interval": "", "nonsense": "soon"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("WATCHDOG_USEC", value)
			n := newNotifier(slog.New(slog.DiscardHandler))
			n.watch(t.Context(), func(context.Context) (sandbox.Overview, error) {
				t.Error("the sessions were asked")
				return sandbox.Overview{}, nil
			})()
			n.ready("", nil) // no socket, no harm
		})
	}
}

// The whole daemon, and what its sandboxes know of it.
func TestDaemon_TellsTheServiceManager(t *testing.T) {
	for name, somewhere := range map[string]func(*testing.T, ...string) *place{"as it is": newPlace, "as an ordinary user": poor} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			p := somewhere(t, "NOTIFY_SOCKET="+m.name, "WATCHDOG_USEC=1000000", "SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1")
			// As systemd does, it names the process that it started.
			p.program = shim(t, p, `export WATCHDOG_PID=$$; exec `+p.program+` "$@"`)
			s := p.serve(t)
			if got := m.next(t, ""); !strings.HasPrefix(got, "READY=1\nSTATUS=") {
				t.Errorf("first it tells %q", got)
			}
			m.next(t, "WATCHDOG=1\nSTATUS=0 sessions")
			if s.wayOut() != doctorTells {
				if got := s.run(t, "a", "import os\nprint([v for v in os.environ if 'NOTIFY' in v or 'WATCHDOG' in v])"); got != "[]" {
					t.Errorf("a sandbox sees %s", got)
				}
				for _, agent := range s.look() {
					pid, _, _ := strings.Cut(agent, " ")
					if environ, err := os.ReadFile("/proc/" + pid + "/environ"); err == nil && strings.Contains(string(environ), m.name) {
						t.Errorf("its agent has %q", environ)
					}
				}
				m.next(t, "WATCHDOG=1\nSTATUS=1 sessions")
			}
			if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			m.next(t, "RELOADING=1")
			m.next(t, "READY=1")
			if status := s.stop(t, syscall.SIGTERM); status != 0 {
				t.Errorf("status %d", status)
			}
			m.next(t, "STOPPING=1")
		})
	}
}

// shim writes a script into a place and returns its name.
func shim(t *testing.T, p *place, line string) string {
	t.Helper()
	name := filepath.Join(p.home, "shim")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+line+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}
