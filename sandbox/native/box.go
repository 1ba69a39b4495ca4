//go:build linux

package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/native/cgroup"
)

// destroyLimit bounds one attempt to end a sandbox.
const destroyLimit = 20 * time.Second

// A box is one sandbox. It implements [sandbox.Sandbox].
type box struct {
	backend   *Backend
	id        sandbox.ID
	spec      sandbox.Spec
	cgroup    *cgroup.Session              // nil where there are none
	client    atomic.Pointer[agent.Client] // nil until connected
	direct    *direct                      // nil where there was an agent from the beginning
	pidfd     int                          // of PID 1; see process
	exited    chan struct{}                // closed when PID 1 has been reaped
	forgetful bool                         // its agent was started when it was adopted, and knows of no code before
	adopted   bool                         // an earlier daemon started it
	pooled    bool                         // it was made before its session was known
	env       []string                     // of the session
	dead      chan struct{}                // closed with the death known
	frost     frost

	mu      sync.Mutex
	process *os.File // of pidfd; nil before the start and after the end
	record  record
	ending  bool   // Destroy has begun
	fate    string // why we ended it, when it was not Destroy
	death   sandbox.Death
	kills   int           // killed for want of memory, as told already
	counter *cgroup.Kills // of them; nil while nothing has run for a moment
	reading reading       // see reading.go
	gone    bool          // all has been given back
	turn    chan struct{} // held by the one Destroy that goes on
}

// ID implements [sandbox.Sandbox].
func (x *box) ID() sandbox.ID { return x.id }

// Dead implements [sandbox.Sandbox].
func (x *box) Dead() <-chan struct{} { return x.dead }

// Death implements [sandbox.Sandbox].
func (x *box) Death() sandbox.Death {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.death
}

// watch waits for the end of PID 1, reaps it and says why it ended. It costs
// no thread: the descriptor of a process can be polled.
func (x *box) watch(pid int) {
	defer close(x.dead)
	defer close(x.exited)
	x.mu.Lock()
	process := x.process
	x.mu.Unlock()
	waitFor(process)
	var status unix.WaitStatus
	for !x.adopted { // else it is not our child, and how it ended is not ours to know
		_, err := unix.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	_ = x.process.Close() // under the lock: nobody signals a number that is another's now
	x.process = nil
	x.death = x.causeOfDeath(status)
}

// causeOfDeath reads the counters while the cgroup is still there.
func (x *box) causeOfDeath(status unix.WaitStatus) sandbox.Death {
	if x.ending {
		return sandbox.Death{Cause: sandbox.CauseKilled, Evidence: "destroyed on request"}
	}
	if x.fate != "" {
		return sandbox.Death{Cause: sandbox.CauseAgentLost, Evidence: x.fate}
	}
	evidence := fmt.Sprintf("the agent ended with status %d", status.ExitStatus())
	switch {
	case x.adopted:
		evidence = "the agent ended"
	case status.Signaled():
		evidence = "the agent was ended by " + cmp.Or(unix.SignalName(status.Signal()), status.Signal().String())
	}
	if x.cgroup != nil {
		if kills, own, err := x.cgroup.OOM(); err == nil && kills > x.kills {
			return sandbox.Death{Cause: memoryCause(own), Evidence: fmt.Sprintf("%s; the kernel killed %d processes for want of memory", evidence, kills)}
		}
	}
	return sandbox.Death{Cause: sandbox.CauseAgentLost, Evidence: evidence}
}

// waitFor returns when the process has ended. The runtime's poller wakes it, so
// that no thread waits. It looks before it waits: the poller tells once only.
func waitFor(process *os.File) {
	raw, err := process.SyscallConn()
	if err != nil {
		return // then Wait4 waits, with a thread
	}
	_ = raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}

// alive says why there is nobody to ask.
func (x *box) alive(op string) error {
	select {
	case <-x.dead:
		death := x.Death()
		return &sandbox.Error{Op: op, ID: string(x.id), Kind: sandbox.Stopped, Cause: death.Cause, Detail: "the sandbox has died", Err: errors.New(death.Evidence)}
	default:
		return nil
	}
}

// Start implements [sandbox.Sandbox].
func (x *box) Start(ctx context.Context, e sandbox.Exec) error {
	if x.forgetful && e.Again && len(e.Argv) == 0 {
		return x.forgotten()
	}
	if err := x.awake("start"); err != nil {
		return err
	}
	if len(x.env) > 0 {
		e.Env = append(slices.Clip(x.env), e.Env...)
	}
	defer x.frost.leave()
	return x.doubt(x.startReading(ctx, e))
}

// forgotten says that code may have been run by a daemon that was killed meanwhile. To run it
// again would be worse than not to run it.
func (x *box) forgotten() error {
	return &sandbox.Error{
		Op: "start", ID: string(x.id), Kind: sandbox.NotFound, Cause: sandbox.CauseAgentLost,
		Detail: "the server was killed as it began to run this, and nobody knows how far it came",
		Remedy: "look at what it was to do, and run it again if it was not done",
	}
}

// Follow implements [sandbox.Sandbox]. It adds to an exit what only the host
// can know: that the kernel killed for want of memory.
func (x *box) Follow(ctx context.Context, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	if err := x.alive("follow"); err != nil {
		return nil, err
	}
	frames, err := x.follow(ctx, after, wait)
	if errors.Is(err, agent.ErrFrames) {
		x.condemn("the agent's output broke the protocol")
	}
	err = x.doubt(err)
	for i := range frames {
		if exit := frames[i].Exit; exit != nil {
			x.explain(exit)
		}
	}
	return frames, err
}

// explain names the cause of a failure during which the kernel killed. A kill
// that the code coped with is counted, so that no later failure is blamed on it.
func (x *box) explain(exit *sandbox.Exit) {
	if x.cgroup == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	more, own := x.moreKills()
	if more && exit.Code != 0 && exit.Cause != sandbox.CauseWallTimeout && exit.Cause != sandbox.CauseCPUTimeout {
		exit.Cause = memoryCause(own)
		exit.Evidence = fmt.Sprintf("the kernel killed a process: the sandbox may use %d MB", x.record.Memory)
		if !own {
			exit.Evidence = "the kernel killed a process: all sandboxes together used the memory that they may"
		}
	}
}

// moreKills tells whether the kernel has killed for want of memory since it was
// asked last, and whether that was the sandbox's own. A later daemon is told how
// far that was counted. It is called with the mutex held.
func (x *box) moreKills() (more, own bool) {
	if kills, err := x.countKills(); err != nil || kills <= x.kills {
		return false, false
	}
	kills, own, err := x.cgroup.OOM()
	if err != nil {
		return false, false
	}
	x.kills, x.record.Kills = kills, kills
	if err := x.backend.records.write(x.record); err != nil { // a later daemon may blame it again
		x.backend.opts.Logger.Warn("the record of a sandbox cannot be written", "sandbox", string(x.id), "err", err)
	}
	return true, own
}

// countKills asks only how many were killed, which is asked after each execution.
// It is called with the mutex held.
func (x *box) countKills() (int, error) {
	if x.counter == nil {
		var err error
		if x.counter, err = x.cgroup.Kills(); err != nil {
			return 0, err
		}
	}
	return x.counter.Read()
}

// stopCounting gives back what countKills holds.
func (x *box) stopCounting() {
	x.mu.Lock()
	defer x.mu.Unlock()
	_ = x.counter.Close() // it was read only
	x.counter = nil
}

func memoryCause(own bool) sandbox.Cause {
	if own {
		return sandbox.CauseOOM
	}
	return sandbox.CauseHostMemory
}

// Signal implements [sandbox.Sandbox].
func (x *box) Signal(ctx context.Context, e sandbox.ExecID, s sandbox.Signal) error {
	if err := x.awake("signal"); err != nil {
		return err
	}
	defer x.frost.leave()
	client, err := x.reach(ctx, "signal")
	if err != nil {
		return err
	}
	return client.Signal(ctx, e, s)
}

// WriteStdin implements [sandbox.Sandbox].
func (x *box) WriteStdin(ctx context.Context, e sandbox.ExecID, offset uint64, data []byte) (int, error) {
	if err := x.awake("stdin"); err != nil {
		return 0, err
	}
	defer x.frost.leave()
	client, err := x.reach(ctx, "stdin")
	if err != nil {
		return 0, err
	}
	return client.WriteStdin(ctx, e, offset, data)
}

// Executions implements [sandbox.Sandbox].
func (x *box) Executions(ctx context.Context) ([]sandbox.ExecState, error) {
	if err := x.alive("executions"); err != nil {
		return nil, err
	}
	return x.executions(ctx)
}

func (x *box) executions(ctx context.Context) ([]sandbox.ExecState, error) {
	if x.direct.isOver() {
		return x.client.Load().Executions(ctx)
	}
	return x.reading.executions(), nil
}

// Stats implements [sandbox.Sandbox].
func (x *box) Stats(context.Context) (sandbox.Stats, error) {
	if err := x.alive("stats"); err != nil {
		return sandbox.Stats{}, err
	}
	stats := sandbox.Stats{MemoryBytes: -1, DiskBytes: x.diskBytes()}
	if x.cgroup == nil {
		return stats, nil
	}
	var err error
	stats.MemoryBytes, stats.CPU, stats.Tasks, err = x.cgroup.Stats()
	return stats, err
}

// diskBytes is what the files of the sandbox take; -1 when it cannot be seen.
// The folder is the mount of a memory file system, which no tenant can move or
// make wait.
func (x *box) diskBytes() int64 {
	x.mu.Lock()
	defer x.mu.Unlock() // so that the number is not another process's
	if x.process == nil {
		return -1
	}
	var seen unix.Statfs_t
	if unix.Statfs(fmt.Sprintf("/proc/%d/root/work", x.record.PID), &seen) != nil {
		return -1
	}
	return int64(seen.Blocks-seen.Bfree) * seen.Bsize
}

// Destroy implements [sandbox.Sandbox]: it kills PID 1 and with it the
// namespace, waits until nothing is left, and gives back cgroup, socket,
// record and user id, in this order.
func (x *box) Destroy(ctx context.Context) error {
	if err := x.take(ctx); err != nil {
		return x.destroyError(err)
	}
	defer x.leave()
	if x.gone {
		return nil
	}
	x.mu.Lock()
	x.ending = true
	pid := x.record.PID
	x.mu.Unlock()
	x.frost.enter() // for good: whatever freezes it gives up
	x.hangUp()
	if pid > 0 {
		if err := x.kill(ctx); err != nil {
			return x.destroyError(err)
		}
	} else {
		x.neverStarted()
	}
	if err := x.release(ctx); err != nil {
		return x.destroyError(err)
	}
	x.gone = true
	return nil
}

// hangUp ends the conversation with the agent or the kernel, if there is one.
func (x *box) hangUp() {
	if x.direct != nil {
		_ = x.direct.control.Close()
	}
	if client := x.client.Load(); client != nil {
		_ = client.Close()
	}
}

// take waits for the turn to destroy.
func (x *box) take(ctx context.Context) error {
	select {
	case x.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (x *box) leave() { <-x.turn }

// settled waits until no Destroy goes on.
func (x *box) settled(ctx context.Context) error {
	if err := x.take(ctx); err != nil {
		return err
	}
	x.leave()
	return nil
}

func (x *box) destroyError(err error) error {
	return &sandbox.Error{Op: "destroy", ID: string(x.id), Kind: sandbox.KindOf(err), Err: err}
}

// quickEnd is how long PID 1 may take to end, and all of its namespace with it,
// before we look what else is there. To look for processes is most of what an end
// would cost.
const quickEnd = time.Second

// kill ends PID 1, and waits until it and all else is gone.
func (x *box) kill(ctx context.Context) error {
	if err := x.signalAgent(unix.SIGKILL); err != nil {
		return err
	}
	var err error
	if x.cgroup != nil && !x.exits(quickEnd) { // as when work is frozen: with version 1 it cannot die
		err = x.cgroup.Kill(ctx)
	}
	select {
	case <-x.exited:
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// isEnding reports whether Destroy has begun, or has been.
func (x *box) isEnding() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ending
}

// exits reports whether PID 1 ends within a time.
func (x *box) exits(within time.Duration) bool {
	if x.frost.frozen.Load() {
		return false
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-x.exited:
		return true
	case <-timer.C:
		return false
	}
}

// signalAgent signals PID 1. One that has ended is no error.
func (x *box) signalAgent(s unix.Signal) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.process == nil {
		return nil
	}
	err := unix.PidfdSendSignal(x.pidfd, s, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// reapTime is how long the end of a connection may precede the news that the
// agent has died.
const reapTime = time.Second

// disconnected is called at the end of the connection. An agent that lives on
// without it cannot be asked anything any more.
func (x *box) disconnected() {
	time.AfterFunc(reapTime, func() { x.condemn("the agent broke the connection") })
}

// doubt sees to it that an answer which says that the sandbox has died is true
// soon.
func (x *box) doubt(err error) error {
	if err != nil && sandbox.KindOf(err) == sandbox.Stopped {
		x.disconnected()
	}
	return err
}

// condemn ends a sandbox whose agent is not to be believed, or not to be
// reached, any more. One that is dead or being destroyed is left alone.
func (x *box) condemn(why string) {
	x.mu.Lock()
	if x.ending || x.process == nil {
		x.mu.Unlock()
		return
	}
	if x.fate == "" {
		x.fate = why
	}
	x.mu.Unlock()
	_ = x.signalAgent(unix.SIGKILL)
}

// neverStarted ends the life of a box whose agent was not started.
func (x *box) neverStarted() {
	select {
	case <-x.dead:
	default:
		close(x.dead)
	}
}

func (x *box) release(ctx context.Context) error {
	if err := x.direct.drop(ctx); err != nil {
		return err
	}
	if x.cgroup != nil {
		if err := x.cgroup.Clear(ctx); err != nil {
			return err
		}
	}
	if !x.record.Room {
		if err := os.Remove(x.socketPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := x.backend.records.remove(x.record); err != nil {
		return err
	}
	x.stopCounting() // now that the cgroup is gone, nobody can begin again
	x.backend.uids.give(x.record.UID)
	x.backend.mu.Lock()
	delete(x.backend.boxes, x.id)
	delete(x.backend.slots, x.record.Slot)
	x.backend.mu.Unlock()
	return nil
}
