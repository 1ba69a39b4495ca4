//go:build linux

package native

import (
	"context"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
)

// Most executions end soon, and the way to the agent and back costs more than
// they do. So what starts one also reads what comes of it, as long as nobody else
// reads; who follows gets it from here.

// beginWait is how long a start waits for the end of what it starts. Who wants to
// signal it waits as long.
const beginWait = 50 * time.Millisecond

// A reading is how far the frames of an agent were read, and by whom. It has a
// mutex of its own.
type reading struct {
	mu       sync.Mutex
	open     map[sandbox.ExecID]struct{} // started, and their end not read
	unknown  bool                        // an earlier daemon may have started others
	asking   bool                        // a reader is at the agent
	starting bool                        // a start is, and reads
	acked    uint64                      // up to where all is acknowledged
	read     uint64                      // and read
	early    []sandbox.Frame             // what a start has read
	stirred  chan struct{}               // closed when the start has read; nil when nobody waits for that
}

// startReading starts an execution, and reads with the same call what comes of it where
// nobody else reads and nobody may have to write to it.
func (x *box) startReading(ctx context.Context, client *agent.Client, e sandbox.Exec) error {
	r := &x.reading
	acked, read, reads := r.starts(&e)
	if !reads {
		err := client.Start(ctx, e)
		if err != nil {
			r.over(e.ID)
		}
		return err
	}
	frames, err := client.Begin(ctx, e, acked, read, beginWait)
	r.started(e.ID, frames, err)
	return err
}

// starts notes an execution, and tells whether its start is to read: then nobody
// else does until it is done.
func (r *reading) starts(e *sandbox.Exec) (acked, read uint64, reads bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reads = len(r.open) == 0 && len(r.early) == 0 && !r.unknown && !r.asking && !r.starting && !e.Stdin && !e.Background
	r.starting = r.starting || reads
	if r.open == nil {
		r.open = make(map[sandbox.ExecID]struct{}, 1)
	}
	r.open[e.ID] = struct{}{}
	return r.acked, r.read, reads
}

// started notes what came of a start that reads.
func (r *reading) started(id sandbox.ExecID, frames []sandbox.Frame, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.open, id)
	}
	r.early, r.starting = frames, false
	if r.stirred != nil {
		close(r.stirred)
		r.stirred = nil
	}
}

// over notes that an execution has ended, or never began.
func (r *reading) over(id sandbox.ExecID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
}

// follow returns frames behind one, that a start has read or that the agent has.
func (x *box) follow(ctx context.Context, client *agent.Client, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	r := &x.reading
	until := time.Now().Add(wait)
	early, stirred := r.turn(after)
	for stirred != nil {
		if done, err := x.await(ctx, stirred, time.Until(until)); !done {
			return nil, err
		}
		early, stirred = r.turn(after)
	}
	if len(early) > 0 {
		return early, nil
	}
	frames, err := client.Follow(ctx, after, max(time.Until(until), 0))
	r.asked(after, frames)
	if len(frames) > 0 || err != nil {
		return frames, err
	}
	x.stopCounting()
	if r.isUnknown() {
		if left, err := client.Executions(ctx); err == nil && len(left) == 0 {
			r.know()
		}
	}
	return nil, nil
}

// turn acknowledges what was read up to a frame, and says what its reader is to do:
// take what a start has read, or wait for one that reads, or else ask the agent.
func (r *reading) turn(after uint64) (early []sandbox.Frame, stirred <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked = after
	early = r.takeEarly(after)
	switch {
	case len(early) > 0:
		r.took(early)
	case !r.starting:
		r.asking = true
	default:
		if r.stirred == nil {
			r.stirred = make(chan struct{})
		}
		return nil, r.stirred
	}
	return early, nil
}

// takeEarly returns what a start has read behind a frame; once: who comes again
// asks the agent.
func (r *reading) takeEarly(after uint64) []sandbox.Frame {
	early := r.early
	r.early = nil
	for len(early) > 0 && early[0].Seq <= after {
		early = early[1:]
	}
	if len(early) > 0 && early[0].Seq != after+1 {
		return nil
	}
	return early
}

// took notes what a reader gets.
func (r *reading) took(frames []sandbox.Frame) {
	for i := range frames {
		r.read = frames[i].Seq
		if frames[i].Exit != nil {
			delete(r.open, frames[i].Exec)
		}
	}
}

// asked notes what the agent has answered a reader.
func (r *reading) asked(after uint64, frames []sandbox.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking, r.read = false, after
	r.took(frames)
}

func (r *reading) isUnknown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unknown
}

// know notes that an adopted sandbox has nothing left of its earlier daemon.
func (r *reading) know() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unknown = false
}

// await waits until a start has read. It is not done when the wait is over before,
// which is no error.
func (x *box) await(ctx context.Context, stirred <-chan struct{}, wait time.Duration) (done bool, err error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-stirred:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-x.dead:
		_, err := x.alive("follow")
		return false, err
	case <-ctx.Done():
		return false, &sandbox.Error{Op: "follow", ID: string(x.id), Kind: sandbox.KindOf(ctx.Err()), Err: ctx.Err()}
	}
}
