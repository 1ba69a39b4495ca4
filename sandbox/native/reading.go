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
const (
	// beginWait is how long a start waits for the end of what it starts. Who wants
	// to signal it waits as long.
	beginWait = 50 * time.Millisecond
	// handy is how long a reader leaves the agent to the next start when nothing
	// runs. Then it waits there, for what processes write that outlived their
	// execution.
	handy = 200 * time.Millisecond
)

// A reading is how far the frames of an agent were read, and by whom. It has a
// mutex of its own.
type reading struct {
	mu       sync.Mutex
	open     map[sandbox.ExecID]struct{} // started, and their end not read
	unknown  bool                        // an earlier daemon may have started others
	asking   bool                        // a reader is at the agent
	starting bool                        // a start is, and reads
	stray    bool                        // what came last was of no execution
	acked    uint64                      // up to where all is acknowledged
	read     uint64                      // and read
	early    []sandbox.Frame             // what a start has read
	stirred  chan struct{}               // closed when a reader should look again; nil when none waits
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
	if !reads { // else there is nothing to be read until it is done
		r.stir()
	}
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
	r.stir()
}

// over notes that an execution has ended, or never began.
func (r *reading) over(id sandbox.ExecID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
}

// stir makes a reader look again. It is called with the mutex held.
func (r *reading) stir() {
	if r.stirred != nil {
		close(r.stirred)
		r.stirred = nil
	}
}

// follow returns frames behind one, that a start has read or that the agent has.
func (x *box) follow(ctx context.Context, client *agent.Client, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	r := &x.reading
	until := time.Now().Add(wait)
	for rested := false; ; {
		early, stirred, most := r.turn(after, rested)
		if len(early) > 0 {
			return early, nil
		}
		if stirred == nil {
			break
		}
		left := time.Until(until)
		if rested && left <= 0 { // a start reads, and is at it for long
			return nil, nil
		}
		var err error
		if rested, err = x.rest(ctx, stirred, min(most, left)); err != nil {
			return nil, err
		}
		if rested {
			x.stopCounting()
		}
	}
	frames, err := client.Follow(ctx, after, max(time.Until(until), 0))
	r.asked(after, frames)
	if len(frames) == 0 && err == nil && r.isUnknown() {
		if left, err := client.Executions(ctx); err == nil && len(left) == 0 {
			r.know()
		}
	}
	return frames, err
}

// turn acknowledges what was read up to a frame, and says what its reader is to do:
// take what a start has read, or wait that long at most, or, without anything to
// wait for, ask the agent.
func (r *reading) turn(after uint64, rested bool) (early []sandbox.Frame, stirred <-chan struct{}, most time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked = after
	early = r.takeEarly(after)
	idle := len(r.open) == 0 && !r.unknown && !r.stray
	switch {
	case len(early) > 0:
		r.took(early)
		return early, nil, 0
	case r.starting:
		most = beginWait
	case idle && !rested:
		most = handy
	default:
		r.asking = true
		return nil, nil, 0
	}
	if r.stirred == nil {
		r.stirred = make(chan struct{})
	}
	return nil, r.stirred, most
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
	r.stray = false
	for i := range frames {
		f := &frames[i]
		r.read, r.stray = f.Seq, f.Exec == ""
		if f.Exit != nil {
			delete(r.open, f.Exec)
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

// know notes that an adopted sandbox had nothing left of its earlier daemon, or
// has no more.
func (r *reading) know() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unknown = false
}

// rest waits until there may be something to read, and tells whether it did so in
// vain.
func (x *box) rest(ctx context.Context, stirred <-chan struct{}, most time.Duration) (vain bool, err error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-stirred:
		return false, nil
	case <-timer.C:
		return true, nil
	case <-x.dead:
		_, err := x.alive("follow")
		return false, err
	case <-ctx.Done():
		return false, &sandbox.Error{Op: "follow", ID: string(x.id), Kind: sandbox.KindOf(ctx.Err()), Err: ctx.Err()}
	}
}
