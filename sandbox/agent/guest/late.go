//go:build linux

package guest

import (
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// late is what an agent has to do that was not there from the beginning: the daemon has
// spoken with the kernel by itself, until something else was to be done.
type late struct {
	once  sync.Once
	files []*os.File // our ends of the kernel's
}

// take takes over the kernel from the daemon, once.
func (g *Guest) take(r *wire.TakeRequest) {
	if !g.config.Late {
		return
	}
	g.late.once.Do(func() {
		g.out.begin(r.GetAfter(), r.GetUnknown())
		g.takeFrames(r)
		g.takeKernel(r)
		go g.reapChildren() // it may have ended, and how it did is told once
	})
}

// takeFrames keeps what the daemon has not put away, as what runs here.
func (g *Guest) takeFrames(r *wire.TakeRequest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = r.GetKnown()
	for _, f := range r.GetFrames() {
		if f.GetExit() != nil {
			g.executions[f.GetExec()] = &execution{id: f.GetExec(), out: g.out, ended: true}
		}
		g.out.pushEnd(f)
	}
}

// takeKernel takes in the kernel, if there is one. Else the end of our files tells it
// that nobody needs it.
func (g *Guest) takeKernel(r *wire.TakeRequest) {
	pid := int(r.GetPid())
	if r.GetUnknown() {
		pid = g.groups.named(g.config.Group).first()
	}
	var k *interpreter
	if pid > 1 && len(g.late.files) > 0 {
		k, _ = g.takeIn(g.late.files, pid, r.GetHeard()) // without it, the next run starts one
	}
	if k == nil {
		for _, f := range g.late.files {
			_ = f.Close()
		}
		g.startEarly(nil)
		return
	}
	k.runs, k.unsure = int(r.GetRuns()), r.GetUnknown()
	if !r.GetBegun() { // else what it prints is for the run that is told of next
		k.between.fill(betweenLimit)
		k.listen()
	}
	if !r.GetFresh() {
		g.interpreter = k
		return
	}
	g.early = &early{settled: make(chan struct{}), interpreter: k}
	close(g.early.settled)
}

// first is the process that was in the group first.
func (x *group) first() int {
	if x == nil {
		return 0
	}
	pids := x.pids()
	if len(pids) == 0 {
		return 0
	}
	return slices.Min(pids) // a sandbox does not come to an end of numbers
}

// sureLimit is how long a kernel may take to answer whose daemon is gone. No run that
// takes long was left to it without an agent.
const sureLimit = 5 * time.Second

// goesOn tells whether the interpreter is there for another run.
func (k *interpreter) goesOn(r *wire.StartRequest) bool {
	if !k.alive() {
		return false
	}
	if k.unsure {
		if !k.bind(r.GetDir(), r.GetEnv()) {
			k.kill()
			return false
		}
		k.unsure = false
	}
	return true
}
