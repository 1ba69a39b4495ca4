//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// leftover is how long the output of processes that a command left behind is
// still read.
const leftover = time.Second

// A command is one running command.
type command struct {
	pid   int
	group *group
	ended <-chan ending
	taps  [2]*tap
}

// runCommand starts the command of r and sees to its end. It returns once the
// command runs, or when it cannot: a program that is not there is a result,
// as in a shell.
func (g *Guest) runCommand(x *execution, r *wire.StartRequest) error {
	path, err := lookPath(r.GetArgv()[0])
	if err != nil {
		code := 126
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			code = 127
		}
		g.refuse(x, r.GetArgv()[0], code, err)
		return nil
	}
	c, err := g.startCommand(x, r, path)
	if err != nil {
		if wantsRoom(err) {
			return errTooMany
		}
		g.refuse(x, r.GetArgv()[0], 126, err)
		return nil
	}
	x.arm(c.signal, r.GetDeadline())
	x.limitCPU(c.group)
	go g.seeOff(x, c, r.GetBackground())
	return nil
}

// wantsRoom reports whether starting a program failed for want of something
// that others hold now. Any other failure is the program's own.
func wantsRoom(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// refuse ends an execution whose program cannot be run.
func (g *Guest) refuse(x *execution, name string, code int, err error) {
	why := "cannot be executed: " + err.Error()
	if code == 127 {
		why = "command not found"
	}
	x.write(wire.Stream_STDERR, fmt.Appendf(nil, "%s: %s\n", name, why))
	x.finish(&wire.Exit{Code: int32(code)})
}

func (g *Guest) startCommand(x *execution, r *wire.StartRequest, path string) (*command, error) {
	c := &command{}
	files := []*os.File{g.null, nil, nil}
	defer func() { // the child has its own copies now
		for _, f := range files {
			if f != nil && f != g.null {
				_ = f.Close()
			}
		}
	}()
	for i, stream := range []wire.Stream{wire.Stream_STDOUT, wire.Stream_STDERR} {
		t, theirs, err := openTap(func(data []byte) { x.write(stream, data) })
		if err != nil {
			c.closeTaps()
			return nil, err
		}
		c.taps[i], files[1+i] = t, theirs
	}
	if r.GetStdin() {
		ours, theirs, err := openInput()
		if err != nil {
			c.closeTaps()
			return nil, err
		}
		x.takeInput(ours)
		files[0] = theirs
	}
	c.group = g.groups.make()
	pid, ended, err := g.children.start(program{
		path: path, argv: r.GetArgv(), env: environment(g.config.Env, r.GetEnv()),
		dir: workDir(r.GetDir()), files: files, group: c.group,
	})
	if err != nil {
		c.group.end()
		c.closeTaps()
		x.closeInput()
		return nil, err
	}
	c.pid, c.ended = pid, ended
	return c, nil
}

// seeOff waits for the end of a command, ends what it left behind, and tells.
func (g *Guest) seeOff(x *execution, c *command, background bool) {
	e := <-c.ended
	refusals := c.group.refusals()
	if !background {
		signalGroup(c.pid, syscall.SIGKILL)
		c.group.end()
	}
	for _, t := range c.taps {
		t.finish(leftover)
		t.close()
	}
	exit := exitOf(e)
	blameCall(exit)
	blameTasks(exit, refusals)
	x.finish(exit)
}

func (c *command) signal(s sandbox.Signal) {
	switch s {
	case sandbox.Interrupt:
		signalGroup(c.pid, syscall.SIGINT)
	case sandbox.Terminate:
		signalGroup(c.pid, syscall.SIGTERM)
	case sandbox.Kill:
		signalGroup(c.pid, syscall.SIGKILL)
	}
}

func (c *command) closeTaps() {
	for _, t := range c.taps {
		if t != nil {
			t.close()
		}
	}
}

func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		return path, nil
	}
	return path, err
}

// workDir is where a command starts; empty is the tenant's own folder.
func workDir(dir string) string {
	if dir == "" {
		return "/work"
	}
	return dir
}
