//go:build linux

package guest

import (
	"os"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// An early interpreter is begun before code is run: in a sandbox that waits for
// its session, or by the daemon, which forks it.
type early struct {
	settled     chan struct{} // closed when it is ready, or will never be
	interpreter *interpreter  // set before; nil when there is none
}

// startEarly begins an interpreter if the configuration says so. forked are our
// ends of one that the daemon forks; where that fails, ours is the next best.
func (g *Guest) startEarly(forked []*os.File) {
	if len(forked) == 0 && !g.config.Prestart {
		return
	}
	e := &early{settled: make(chan struct{})}
	g.early = e
	go func() {
		if g.config.Prestart {
			defer rehearse() // once the interpreter is there
		}
		defer close(e.settled)
		if len(forked) > 0 {
			if k, err := g.adoptInterpreter(forked); err == nil {
				e.interpreter = k
				return
			}
		}
		if g.config.Prestart {
			if k, err := g.startInterpreter(nil, &wire.StartRequest{}); err == nil {
				e.interpreter = k
			}
		}
	}()
}

// takeEarly returns the interpreter that waits for the first code, with the
// directory and the variables of the run. It returns nil when there is none, or
// none that can have them.
func (g *Guest) takeEarly(r *wire.StartRequest) *interpreter {
	e := g.early
	g.early = nil
	if e == nil {
		return nil
	}
	if kernel.ReadAtStart(g.config.Kernel.Language, r.GetEnv()) || !e.settle(r.GetDeadline()) {
		go e.discard()
		return nil
	}
	k := e.interpreter
	if k != nil && (!k.alive() || !k.bind(r.GetDir(), r.GetEnv())) {
		k.discard()
		return nil
	}
	return k
}

// settle waits until the interpreter is ready or given up, at most until a time
// of CLOCK_BOOTTIME.
func (e *early) settle(deadline int64) bool {
	wait := startLimit
	if deadline > 0 {
		wait = time.Duration(deadline) - quick.Boottime()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-e.settled:
		return true
	case <-timer.C:
		return false
	}
}

func (e *early) discard() {
	<-e.settled // a start has its limit
	if e.interpreter != nil {
		e.interpreter.discard()
	}
}

// discard ends an interpreter that ran nothing.
func (k *interpreter) discard() {
	k.kill()
	k.close()
}

// bind gives an early interpreter what its session has.
func (k *interpreter) bind(dir string, env []string) bool {
	if k.marked {
		env = append(k.group.env(), env...)
	}
	if dir == "" && len(env) == 0 && !k.unsure {
		return true
	}
	limit := startLimit
	if k.unsure {
		limit = sureLimit
	}
	_ = k.file.SetReadDeadline(time.Now().Add(limit))
	defer func() { _ = k.file.SetReadDeadline(time.Time{}) }()
	if k.conn.SendBind(dir, env) != nil {
		return false
	}
	for range maxWrong { // of one whose last daemon is gone, answers to that come before
		m, err := k.conn.Next()
		if err != nil {
			return false
		}
		if m.Done != nil && m.Done.ID == kernel.BindID {
			return m.Done.OK
		}
		if !k.unsure {
			return false
		}
	}
	return false
}

// adoptInterpreter waits for a kernel that the daemon forks, our child, and takes
// it in. The control socket tells who is at its other end.
func (g *Guest) adoptInterpreter(files []*os.File) (k *interpreter, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
		}
	}()
	_ = files[0].SetReadDeadline(time.Now().Add(startLimit))
	pid, first, err := kernel.Hello(files[0])
	if err != nil {
		return nil, err
	}
	if k, err = g.takeIn(files, pid, g.groups.named(g.config.Group), first); err != nil {
		return nil, err
	}
	k.listen()
	return k, k.awaitReady()
}

// takeIn makes an interpreter of a kernel that others made, our child, in a group which may
// be nil, of which some words have been heard. What it prints is read once somebody listens.
func (g *Guest) takeIn(files []*os.File, pid int, group *group, heard []byte) (*interpreter, error) {
	k, err := g.newInterpreter(files[0], heard...)
	if err != nil {
		return nil, err
	}
	k.pid, k.marked = pid, true
	if k.group = group; k.group == nil {
		k.group = g.groups.make()
		if err := k.group.admit(pid); err != nil {
			k.kill()
			k.group.end()
			return nil, err
		}
	}
	k.ended = g.children.adopt(pid)
	for i, stream := range streams {
		k.taps[i] = newTap(files[1+i], func(data []byte) { k.write(g.out, stream, data) })
	}
	k.listening = sync.OnceFunc(func() {
		for _, t := range k.taps {
			go t.run()
		}
	})
	go k.watch()
	return k, nil
}
