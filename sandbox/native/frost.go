//go:build linux

package native

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A frost is whether the work of a sandbox stands still, and who needs it not
// to. Whoever uses the sandbox enters first and leaves afterwards. A freezing
// gives way to them: it begins only when nobody is in, and one who enters
// meanwhile breaks it off.
type frost struct {
	users  atomic.Int64
	breaks atomic.Pointer[context.CancelFunc] // of the freezing that goes on; nil when none does
	frozen atomic.Bool                        // set only while one goes on
	mu     sync.Mutex                         // held by a freezing, and by a thawing
}

// enter notes a user, and tells whether the sandbox may have to be thawed.
//
// A user counts itself before it looks for a freezing, and a freezing shows
// itself before it looks for users, so at least one of them sees the other.
func (f *frost) enter() (cold bool) {
	f.users.Add(1)
	if breaks := f.breaks.Load(); breaks != nil {
		(*breaks)()
		return true
	}
	return f.frozen.Load()
}

func (f *frost) leave() { f.users.Add(-1) }

// awake is alive for what needs the work to go on: when there is no error, it
// does until the caller leaves the frost.
func (x *box) awake(op string) error {
	if err := x.alive(op); err != nil {
		return err
	}
	if x.frost.enter() {
		if err := x.thaw(); err != nil {
			x.frost.leave()
			return &sandbox.Error{Op: op, ID: string(x.id), Kind: sandbox.KindOf(err), Detail: "the sandbox is frozen, and cannot be thawed", Err: err}
		}
	}
	return nil
}

// thaw lets the work go on, once a freezing that is being broken off has ended.
func (x *box) thaw() error {
	x.frost.mu.Lock()
	defer x.frost.mu.Unlock()
	if !x.frost.frozen.Load() {
		return nil
	}
	began := time.Now()
	if err := x.cgroup.Thaw(); err != nil {
		return err
	}
	x.frost.frozen.Store(false)
	x.backend.opts.Logger.Info("sandbox thawed", "sandbox", string(x.id), "took", time.Since(began))
	return nil
}

// Thaw implements [sandbox.Freezer].
func (x *box) Thaw(context.Context) error { return x.thaw() }

// Frozen implements [sandbox.Freezer].
func (x *box) Frozen() bool { return x.frost.frozen.Load() }

// Freeze implements [sandbox.Freezer]. Only what the tenant runs is paused, and
// only when that is an idle interpreter at most: what a command or some code has
// left running counts as running.
func (x *box) Freeze(ctx context.Context) error {
	if err := x.alive("freeze"); err != nil {
		return err
	}
	if x.cgroup == nil {
		return &sandbox.Error{Op: "freeze", ID: string(x.id), Kind: sandbox.Unsupported, Detail: "there are no control groups here"}
	}
	x.frost.mu.Lock()
	defer x.frost.mu.Unlock()
	if x.frost.frozen.Load() {
		return nil
	}
	ctx, breaks := context.WithCancel(ctx)
	defer breaks()
	x.frost.breaks.Store(&breaks)
	defer x.frost.breaks.Store(nil) // behind frozen: who enters sees one or the other
	if x.frost.users.Load() > 0 {
		return x.inUse("somebody uses the sandbox")
	}
	if err := x.still(ctx); err != nil {
		if ctx.Err() != nil {
			return x.inUse("somebody began to use the sandbox")
		}
		return err
	}
	x.frost.frozen.Store(true)
	return nil
}

// still stops the work of an idle sandbox. When it fails, the work goes on.
func (x *box) still(ctx context.Context) error {
	if err := x.idle(ctx); err != nil {
		return err
	}
	err := x.cgroup.Freeze(ctx)
	if err != nil && x.cgroup.Thaw() != nil {
		x.frost.frozen.Store(true) // so that the next user tries again
	}
	return err
}

func (x *box) inUse(why string) error {
	return &sandbox.Error{Op: "freeze", ID: string(x.id), Kind: sandbox.Exhausted, Detail: why, Remedy: "try again when it is idle"}
}

// idle returns nil when nothing of the tenant's runs but an interpreter between
// two runs. The agent, if there is one, is asked what runs, for it alone knows of an
// execution that was begun a moment ago or by an earlier daemon.
func (x *box) idle(ctx context.Context) error {
	known, err := x.executions(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(known, func(e sandbox.ExecState) bool { return e.Running }) {
		return x.inUse("an execution is under way")
	}
	pids, err := x.cgroup.WorkProcesses()
	if err != nil {
		return err
	}
	// In version 1 a thread of the agent is there too, which forks.
	pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == x.record.PID })
	if len(pids) > 1 || len(pids) == 1 && !interprets(pids[0]) {
		return x.inUse("a process that was left running goes on")
	}
	return nil
}

// interprets tells whether a process runs one of our drivers. The tenant can
// make it look otherwise, which is to the tenant's own cost.
func interprets(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && bytes.Contains(line, []byte("\x00/"+driverDir+"/"))
}

// Reclaim implements [sandbox.Freezer].
func (x *box) Reclaim(context.Context) (int64, error) {
	if err := x.alive("reclaim"); err != nil {
		return 0, err
	}
	if x.cgroup == nil {
		return 0, &sandbox.Error{Op: "reclaim", ID: string(x.id), Kind: sandbox.Unsupported, Detail: "there are no control groups here"}
	}
	return x.cgroup.Reclaim()
}
