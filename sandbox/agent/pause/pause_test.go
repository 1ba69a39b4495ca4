//go:build linux

package pause_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/agent/pause"
)

// A porter is a paused process, whose agent is the host's echo.
type porter struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	socket string
	alive  *os.File // its daemon, as long as it is open
	ended  chan error
}

func startPaused(t *testing.T, grace time.Duration) *porter {
	t.Helper()
	program, ok := pause.Program(grace)
	if !ok {
		t.Skip("there is no such program for this machine")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "pause")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	p := &porter{socket: filepath.Join(dir, "socket"), ended: make(chan error, 1)}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	l.SetUnlinkOnClose(false)
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	echo, err := os.Open("/bin/echo")
	if err != nil {
		t.Fatal(err)
	}
	p.alive = write
	p.cmd = exec.CommandContext(t.Context(), path, "-n", "it was needed")
	p.cmd.Stdout = &p.out
	p.cmd.ExtraFiles = []*os.File{echo, socket, echo, echo, echo, echo, read} // from 3 on: the socket is 4, the agent 6, the pipe 9
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = write.Close() })
	for _, f := range []*os.File{socket, read, echo} {
		_ = f.Close()
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p
}

// stays tells whether the process still waits after a moment.
func (p *porter) stays(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.ended:
		t.Fatalf("it ended: %v, %q", err, p.out.String())
	case <-time.After(100 * time.Millisecond):
	}
}

func (p *porter) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("it did not end")
		return nil
	}
}

func (p *porter) connect(t *testing.T) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
}

func TestProgram_BecomesTheAgentWhenSomebodyConnects(t *testing.T) {
	t.Parallel()
	p := startPaused(t, time.Hour)
	p.stays(t)
	p.connect(t)
	if err := p.end(t); err != nil || p.out.String() != "it was needed" {
		t.Errorf("it ended with %v and said %q", err, p.out.String())
	}
}

func TestProgram_BecomesItWithinTheGrace(t *testing.T) {
	t.Parallel()
	p := startPaused(t, time.Hour)
	_ = p.alive.Close()
	p.stays(t)
	p.connect(t)
	if err := p.end(t); err != nil || p.out.String() != "it was needed" {
		t.Errorf("it ended with %v and said %q", err, p.out.String())
	}
}

func TestProgram_EndsWhenNoDaemonCameBack(t *testing.T) {
	t.Parallel()
	const grace = 1300 * time.Millisecond
	p := startPaused(t, grace)
	p.stays(t)
	began := time.Now()
	_ = p.alive.Close()
	exit, ok := errors.AsType[*exec.ExitError](p.end(t))
	if !ok || exit.ExitCode() != 1 || p.out.Len() > 0 {
		t.Errorf("it ended with %v and said %q", exit, p.out.String())
	}
	if took := time.Since(began); took < grace {
		t.Errorf("it waited for %v of %v", took, grace)
	}
}
