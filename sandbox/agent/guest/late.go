//go:build linux

package guest

import (
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// late is what an agent has to do that was not there from the beginning: the daemon has
// spoken with the kernel by itself, until something else was to be done.
type late struct {
	once  sync.Once
	files []*os.File // our ends of the kernel's
	lost  bool       // there was a kernel, and it is gone; until the next run tells that
}

// take takes over the kernel from the daemon, once, and the run that goes on in it. before:
// it was there already.
func (g *Guest) take(r *wire.TakeRequest) (before bool) {
	before = true
	if !g.config.Late {
		return before
	}
	g.late.once.Do(func() {
		before = false
		g.out.begin(r.GetAfter(), r.GetUnknown())
		g.takeFrames(r)
		k := g.takeKernel(r)
		go g.reapChildren() // the kernel may have ended, and how it did is told once
		switch {
		case k == nil:
			g.late.lost = r.GetUnknown() || r.GetRuns() > 0
			g.startEarly(nil)
		case r.GetFresh():
			g.early = &early{settled: make(chan struct{}), interpreter: k}
			close(g.early.settled)
		default:
			g.interpreter = k
		}
		if r.GetRun() != nil {
			_ = g.start(r.GetRun()) // nothing else runs
		} else if k != nil { // whatever it prints from now on is for no run
			k.between.fill(betweenLimit)
			k.listen()
		}
	})
	return before
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

// takeKernel takes in the kernel, or returns nil when there is none. Then the end of our
// files tells it that nobody needs it.
func (g *Guest) takeKernel(r *wire.TakeRequest) *interpreter {
	group := g.groups.named(g.config.Group)
	pid := int(r.GetPid())
	if r.GetUnknown() {
		pid = group.leader()
	}
	var k *interpreter
	if pid > 1 && len(g.late.files) > 0 {
		k, _ = g.takeIn(g.late.files, pid, group, r.GetHeard()) // without it, the next run starts one
	}
	if k == nil {
		for _, f := range g.late.files {
			_ = f.Close()
		}
		return nil
	}
	k.group.before = 0 // all that was refused was refused to it
	k.runs, k.unsure = int(r.GetRuns()), r.GetUnknown()
	return k
}

// leader is the process that was in the group first, if it lives and leads its process
// group, as each child of ours does; else 0.
func (x *group) leader() int {
	if x == nil {
		return 0
	}
	pids := x.pids()
	if len(pids) == 0 {
		return 0
	}
	first := slices.Min(pids) // a sandbox does not come to an end of numbers
	if leads, err := unix.Getpgid(first); err != nil || leads != first {
		return 0
	}
	return first
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
