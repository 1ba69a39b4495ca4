//go:build linux

package native

import (
	"context"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Most executions end soon, and the way to the agent and back costs more than
// they do. So what starts one also reads what comes of it, as long as nobody else
// reads; who follows gets it from here.

// beginWait is how long a start waits for the end of what it starts. Who wants to
// signal it waits as long.
const beginWait = 50 * time.Millisecond

// A reading is how far the frames of a sandbox were read, and by whom. It has a
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
	ours     bool                        // early came from no agent, which could be asked again
	stirred  chan struct{}               // closed when the start has read; nil when nobody waits for that
}

// startReading starts an execution, and reads with the same call what comes of it where
// nobody else reads and nobody may have to write to it.
func (x *box) startReading(ctx context.Context, e sandbox.Exec) error {
	r := &x.reading
	acked, read, reads := r.starts(&e)
	if !reads {
		client, err := x.reach(ctx, "start")
		if err == nil {
			err = client.Start(ctx, e)
		}
		if err != nil {
			r.over(e.ID)
		}
		return err
	}
	frames, ours, err := x.perform(ctx, e, acked, read)
	r.started(e.ID, frames, ours, err)
	return err
}

// starts notes an execution, and tells whether its start is to read: then nobody
// else does until it is done.
func (r *reading) starts(e *sandbox.Exec) (acked, read uint64, reads bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reads = len(r.open) == 0 && r.taken() && !r.unknown && !r.asking && !r.starting && !e.Stdin && !e.Background
	r.starting = r.starting || reads
	if r.open == nil {
		r.open = make(map[sandbox.ExecID]struct{}, 1)
	}
	r.open[e.ID] = struct{}{}
	return r.acked, r.read, reads
}

// taken tells whether a reader has had all that starts have read.
func (r *reading) taken() bool {
	return len(r.early) == 0 || r.early[len(r.early)-1].Seq <= r.read
}

// started notes what came of a start that reads. ours: no agent has it.
func (r *reading) started(id sandbox.ExecID, frames []sandbox.Frame, ours bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.open, id)
	}
	if !ours { // else they are kept already
		r.early, r.ours = frames, false
	}
	r.starting = false
	r.wake()
}

// keep keeps frames that no agent has, until they are acknowledged or others come.
func (r *reading) keep(frames []sandbox.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.early, r.ours = frames, true
}

// unacknowledged returns the frames that are kept, and that nobody may have put away.
func (r *reading) unacknowledged() []sandbox.Frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ours {
		return nil
	}
	kept := r.early
	for len(kept) > 0 && kept[0].Seq <= r.acked {
		kept = kept[1:]
	}
	return kept
}

// stir wakes a reader, as there is an agent to ask now.
func (r *reading) stir() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ours = false
	r.wake()
}

func (r *reading) wake() {
	if r.stirred != nil {
		close(r.stirred)
		r.stirred = nil
	}
}

// executions are those whose end was not read, while there is no agent to ask. Without one
// there is no more than one that runs, by a start that has not returned.
func (r *reading) executions() []sandbox.ExecState {
	r.mu.Lock()
	defer r.mu.Unlock()
	states := make([]sandbox.ExecState, 0, len(r.open))
	for id := range r.open {
		states = append(states, sandbox.ExecState{ID: id, Running: r.starting})
	}
	return states
}

// over notes that an execution has ended, or never began.
func (r *reading) over(id sandbox.ExecID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
}

// follow returns frames behind one, that a start has read or that the agent has.
func (x *box) follow(ctx context.Context, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	r := &x.reading
	until := time.Now().Add(wait)
	early, stirred := r.turn(after, x.direct)
	for stirred != nil {
		if done, err := x.await(ctx, stirred, time.Until(until)); !done {
			x.rest()
			return nil, err
		}
		early, stirred = r.turn(after, x.direct)
	}
	if len(early) > 0 {
		return early, nil
	}
	client := x.client.Load()
	frames, err := client.Follow(ctx, after, max(time.Until(until), 0))
	r.asked(after, frames)
	if len(frames) > 0 || err != nil {
		return frames, err
	}
	x.rest()
	if r.isUnknown() {
		if left, err := client.Executions(ctx); err == nil && len(left) == 0 {
			r.know()
		}
	}
	return nil, nil
}

// turn acknowledges what was read up to a frame, and says what its reader is to do:
// take what a start has read, or wait for one that reads, or for an agent, or else ask
// the agent.
func (r *reading) turn(after uint64, d *direct) (early []sandbox.Frame, stirred <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked = after
	early = r.takeEarly(after)
	switch {
	case len(early) > 0:
		r.took(early)
	case !r.starting && d.isOver():
		r.asking = true
	default:
		if r.stirred == nil {
			r.stirred = make(chan struct{})
		}
		return nil, r.stirred
	}
	return early, nil
}

// takeEarly returns what a start has read behind a frame; once, where an agent has it
// for who comes again.
func (r *reading) takeEarly(after uint64) []sandbox.Frame {
	early := r.early
	for len(early) > 0 && early[0].Seq <= after {
		early = early[1:]
	}
	r.early = nil
	if r.ours {
		r.early = early
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
		return false, x.alive("follow")
	case <-ctx.Done():
		return false, &sandbox.Error{Op: "follow", ID: string(x.id), Kind: sandbox.KindOf(ctx.Err()), Err: ctx.Err()}
	}
}

// rest gives back what is held while something runs.
func (x *box) rest() {
	x.stopCounting()
	x.direct.rest()
}
