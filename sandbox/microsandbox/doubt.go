package microsandbox

import (
	"context"
	"slices"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Times of the end of an execution that may have begun.
const (
	doubtPoll  = 20 * time.Millisecond
	doubtGrace = 3 * time.Second // of an interrupt, which an agent repeats
)

// doubted notes an execution whose start failed on its way, so that nobody knows
// whether it began. To the caller it did not: it can be asked for again. A server
// that does not answer in time is one that is not there: that the sandbox is of
// no use, it does not say.
func (x *box) doubted(e sandbox.ExecID, err error) error {
	switch sandbox.KindOf(err) {
	case sandbox.Unavailable, sandbox.Timeout, sandbox.Canceled:
	case sandbox.Other, sandbox.Invalid, sandbox.NotFound, sandbox.Exhausted, sandbox.Stopped, sandbox.Unsupported, sandbox.Conflict, sandbox.NoSpace:
		return err
	}
	x.mu.Lock()
	x.doubts = append(x.doubts, e)
	x.mu.Unlock()
	if sandbox.KindOf(err) == sandbox.Timeout {
		return x.fault("start", &unreachable{cause: context.DeadlineExceeded})
	}
	return err
}

// settleDoubts ends what may have begun, before anything else begins. The
// kernel keeps its state where it heeds an interrupt.
func (x *box) settleDoubts(ctx context.Context) error {
	for {
		x.mu.Lock()
		if len(x.doubts) == 0 {
			x.mu.Unlock()
			return nil
		}
		e := x.doubts[0]
		x.mu.Unlock()
		if err := x.end(ctx, e); err != nil {
			return err
		}
		x.mu.Lock()
		x.doubts = slices.DeleteFunc(x.doubts, func(other sandbox.ExecID) bool { return other == e })
		x.mu.Unlock()
	}
}

// end ends an execution that may have begun, and waits for that.
func (x *box) end(ctx context.Context, e sandbox.ExecID) error {
	signal := sandbox.Interrupt
	for began := time.Now(); ; {
		if err := x.client.Signal(ctx, e, signal); err != nil {
			return err
		}
		for {
			states, err := x.client.Executions(ctx)
			if err != nil || !slices.Contains(states, sandbox.ExecState{ID: e, Running: true}) {
				return err
			}
			if signal == sandbox.Interrupt && time.Since(began) > doubtGrace {
				signal = sandbox.Kill
				break
			}
			if err := sleep(ctx, doubtPoll); err != nil {
				return err
			}
		}
	}
}
