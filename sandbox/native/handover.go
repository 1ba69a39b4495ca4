//go:build linux

package native

import (
	"context"
	"errors"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
)

// reach returns whom to ask for whatever is not code: the agent, which is started when it
// was not needed until now.
func (x *box) reach(ctx context.Context, op string) (*agent.Client, error) {
	d := x.direct
	if d.isOver() {
		return x.client.Load(), nil
	}
	if err := d.take(ctx); err != nil {
		return nil, &sandbox.Error{Op: op, ID: string(x.id), Kind: sandbox.KindOf(err), Err: err}
	}
	defer d.leave()
	client, err := x.handOver(ctx, nil)
	if err != nil {
		return nil, x.doubt(x.lostError(op, err))
	}
	return client, nil
}

// lostError says that the sandbox's agent could not be started, or why it is not there.
func (x *box) lostError(op string, err error) error {
	if dead := x.alive(op); dead != nil {
		return dead
	}
	if isExhausted(err) { // which is not the sandbox's fault, nor its end
		return &sandbox.Error{
			Op: op, ID: string(x.id), Kind: sandbox.Exhausted, Err: err,
			Detail: "the server has run out of something that it takes to start the sandbox's agent", Remedy: "try again when less goes on",
		}
	}
	return &sandbox.Error{Op: op, ID: string(x.id), Kind: sandbox.Stopped, Cause: sandbox.CauseAgentLost, Detail: "the sandbox's agent cannot be reached", Err: err}
}

// handOver starts the agent and gives it the kernel, unless that was done, and the run that
// goes on in it, which may be nil. It is called in a turn, and goes on when ctx ends.
func (x *box) handOver(ctx context.Context, run *agent.Begun) (*agent.Client, error) {
	d := x.direct
	if d.isOver() {
		return x.client.Load(), nil
	}
	ctx = context.WithoutCancel(ctx)
	h := agent.Handover{After: d.last, Known: d.known, Frames: x.reading.unacknowledged(), Runs: d.runs, Run: run}
	if len(h.Frames) > 0 {
		h.After = h.Frames[0].Seq - 1
	}
	if x.isKernelThere() {
		h.PID, h.Fresh, h.Heard = d.inside, !d.bound, d.heard
	}
	ctx, cancel := context.WithTimeout(ctx, x.backend.opts.ConnectTimeout)
	defer cancel()
	if err := x.connect(ctx); err != nil {
		return nil, err
	}
	client := x.client.Load()
	if _, err := client.Take(ctx, h); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	d.heard = nil
	d.shed()
	_ = d.control.Close()
	close(d.over)
	x.reading.stir()
	return client, nil
}

// isKernelThere waits for the kernel, and tells whether there is one to go on with.
func (x *box) isKernelThere() bool {
	d := x.direct
	if d.greet(x, time.Now().Add(x.backend.opts.ConnectTimeout)) != nil || d.broken {
		return false
	}
	<-d.forked // it has said that it is locked down, so that is soon
	return d.inside > 1
}

// letGo leaves a sandbox to a later daemon, with all that was not put away. It may be called
// again.
func (x *box) letGo(ctx context.Context) error {
	d := x.direct
	if d.isOver() {
		return nil
	}
	if err := d.take(ctx); err != nil {
		return err
	}
	defer d.leave()
	d.left = true
	if len(x.reading.unacknowledged()) == 0 || x.isEnding() || x.alive("close") != nil {
		return nil
	}
	_, err := x.handOver(ctx, nil)
	return err
}

// needAgent has the agent take over, in the background, unless the backend is being closed.
func (x *box) needAgent(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // it has a limit of its own
	x.backend.beside(func() {
		_, _ = x.reach(ctx, "start") // who needs it next is told
	})
}

// beside runs something that Close waits for, or nothing when that has begun.
func (b *Backend) beside(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.closing:
	default:
		b.burials.Go(f)
	}
}
