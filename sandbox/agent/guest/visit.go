//go:build linux

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// Visit starts an agent in a sandbox that others made, as a process that
// outlives its caller, and returns when it serves. Where one serves in that
// directory already it does nothing.
func Visit(ctx context.Context, dir, visit string, environ []string) error {
	if conn, err := new(net.Dialer).DialContext(ctx, "unix", agent.VisitSocket(dir)); err == nil {
		return conn.Close()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	process, err := os.StartProcess(self, []string{"sandwarden-agent", agent.ServeWord, dir, visit}, &os.ProcAttr{
		Dir: "/", Env: withoutMark(environ), Files: []*os.File{null, null, null, theirs}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	_ = theirs.Close() // now its end is seen here
	if err != nil {
		return err
	}
	_ = process.Release()
	_ = ready.SetReadDeadline(time.Now().Add(startLimit))
	const long = 4096
	word, err := io.ReadAll(io.LimitReader(ready, long))
	if string(word) == boot.ReadyWord {
		return nil
	}
	return errors.Join(fmt.Errorf("the agent did not get ready: %s", bytes.TrimSpace(word)), err)
}

// readyFD is the descriptor on which an agent that visits says how it began.
const readyFD = 3

// Serve is the agent that Visit starts. It returns only with the reason for
// which it ended.
func Serve(ctx context.Context, dir, visit string, environ []string) error {
	ready := os.NewFile(readyFD, "ready")
	l, server, err := prepareVisit(ctx, dir, visit, environ)
	if err != nil {
		_, _ = io.WriteString(ready, err.Error())
		return err
	}
	if _, err := ready.WriteString(boot.ReadyWord); err != nil {
		return err
	}
	_ = ready.Close()
	return server.Serve(ctx, l)
}

func prepareVisit(ctx context.Context, dir, visit string, environ []string) (net.Listener, *ttrpc.Server, error) {
	unix.CloseOnExec(readyFD)
	v, err := agent.DecodeVisit(visit)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil { // what its children leave behind is still theirs
		return nil, nil, err
	}
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(40 << 20)
	c, err := visitConfig(dir, v, environ)
	if err != nil {
		return nil, nil, err
	}
	g, err := newGuest(c, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	g.visits = true
	g.groups.prefix = "v" + strconv.Itoa(os.Getpid()) + "."
	server, err := ttrpc.NewServer()
	if err != nil {
		return nil, nil, err
	}
	wire.RegisterAgentService(server, service{g})
	l, err := visitListener(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	if err := endure(); err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	go g.reapChildren()
	return l, server, nil
}

// visitConfig makes do with what the sandbox has: its interpreter, its
// environment, and a driver of ours in the directory.
func visitConfig(dir string, v agent.Visit, environ []string) (boot.Config, error) {
	name, source, ok := kernel.Driver(v.Language)
	if !ok {
		return boot.Config{}, fmt.Errorf("there is no kernel for %q", v.Language)
	}
	driver := filepath.Join(dir, name)
	if err := os.WriteFile(driver, source, 0o600); err != nil {
		return boot.Config{}, err
	}
	interpreter, err := findInterpreter(v.Language)
	if err != nil {
		return boot.Config{}, err
	}
	return boot.Config{
		Env: append(withoutMark(environ), v.Env...), RingBytes: v.RingBytes,
		Kernel: boot.Kernel{Language: v.Language, Interpreter: interpreter, Driver: driver},
	}, nil
}

// findInterpreter finds what runs a language, by the names that it goes by.
func findInterpreter(l sandbox.Language) (string, error) {
	var names []string
	switch l {
	case sandbox.Python:
		names = []string{"python3", "python"}
	case sandbox.Node:
		names = []string{"node", "nodejs"}
	case sandbox.Bash:
		names = []string{"bash"}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s in the sandbox", strings.Join(names, " and no "))
}

// visitListener listens in place of one that died. That none lives there, Visit
// has seen.
func visitListener(ctx context.Context, dir string) (net.Listener, error) {
	path := agent.VisitSocket(dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return new(net.ListenConfig).Listen(ctx, "unix", path)
}

// withoutMark is an environment without the mark of an execution: one in which
// this agent itself was started, and whose name may be that of one of ours.
func withoutMark(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(pair string) bool { return strings.HasPrefix(pair, mark) })
}
