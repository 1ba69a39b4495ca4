package actors

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/sandbox"
)

const (
	// pollWait is how long one call waits for frames.
	pollWait = 20 * time.Second
	// linger is how long a pump waits for another execution before it ends. A
	// next one finds it listening, which saves a round trip to the agent.
	linger = 2 * time.Second
	// handy is how long a pump waits in here for another execution to start, when
	// nothing runs. Then it waits at the agent, for what processes write that
	// outlived theirs.
	handy = 200 * time.Millisecond
	// pollFaults is how many failures in a row mean that the agent is lost.
	pollFaults = 6
	// What a pump waits at least and at most after a call that brought
	// nothing: a sandbox that answers at once shall not keep a processor busy.
	pauseFirst = 10 * time.Millisecond
	pauseMost  = time.Second
)

// A pump is the goroutine that carries frames from a sandbox into the journal
// while something runs. What a background process writes while nothing runs
// stays with the agent, whose ring is bounded, until the next execution.
type pump struct {
	cancel context.CancelFunc
	before *pump         // one that was stopped and may still be in a call
	done   chan struct{} // closed when the goroutine ends
	work   chan func()   // takes one piece of work at a time
	idle   bool          // it waits for work; guarded by the journal's mutex
}

// drain sees to it that a pump runs.
func (s *state) drain(c actor.Context) {
	ctx, cancel := context.WithCancel(s.life)
	p := &pump{cancel: cancel, done: make(chan struct{}), work: make(chan func(), 1)}
	box := s.journal.install(p)
	if box == nil {
		cancel()
		return
	}
	self, root := c.Self(), c.ActorSystem().Root
	f := &flow{journal: s.journal, box: box, tell: func(m message) { root.Send(self, m) }}
	go func() {
		defer close(p.done)
		defer cancel()
		if p.before != nil {
			<-p.before.done // its context has ended; Follow is for one caller at a time
			p.before = nil
		}
		logger := f.journal.opts.Logger
		if err := Caught(logger, func() error { return f.run(ctx, p) }); err != nil && ctx.Err() == nil {
			logger.Error("sandbox broken", "sandbox", string(box.ID()), "err", err)
			f.tell(&broken{box, "the agent " + evidenceOf(err)})
		}
		f.journal.retire(p)
	}()
}

// evidenceOf says what an agent did wrong, in words fit for a client.
func evidenceOf(err error) string {
	if sandbox.KindOf(err) == sandbox.Invalid {
		return "sent what it may not send: " + err.Error()
	}
	return "does not answer"
}

// A flow is what a pump works on.
type flow struct {
	journal *journal
	box     sandbox.Sandbox
	tell    func(message)
	pause   time.Duration
	faults  int
}

// run carries frames until nothing has run for a while, ctx ends or the sandbox
// is not the session's any more. The call that lingers acknowledges the last
// exit. An error means that the sandbox is of no use.
func (f *flow) run(ctx context.Context, p *pump) error {
	for {
		if work := f.lull(ctx, p); work != nil {
			work()
		}
		cursor, busy := f.journal.position()
		wait := pollWait
		if !busy {
			wait = linger
		}
		began := time.Now()
		frames, err := f.box.Follow(ctx, cursor, wait)
		if stop, fatal := f.judge(ctx, frames, err); stop || fatal != nil {
			return fatal
		}
		if !busy && len(frames) == 0 && f.journal.rests(p) {
			f.journal.shed()
			f.journal.ledger.Rest()
			return nil
		}
		f.idle(ctx, len(frames) > 0 || (err == nil && time.Since(began) > wait/2))
	}
}

// lull waits a moment for work while nothing runs: who starts an execution is then
// the one who reads what comes of it.
func (f *flow) lull(ctx context.Context, p *pump) func() {
	if !f.journal.idle(p) {
		return nil
	}
	timer := time.NewTimer(handy)
	defer timer.Stop()
	select {
	case work := <-p.work:
		return work
	case <-timer.C:
	case <-ctx.Done():
	}
	return f.journal.resume(p)
}

// judge deals with what a call brought. It tells whether that was the last one,
// with an error when the sandbox is of no use.
func (f *flow) judge(ctx context.Context, frames []sandbox.Frame, err error) (stop bool, fatal error) {
	switch {
	case ctx.Err() != nil:
		return true, nil //nolint:nilerr // that is how a pump is told to end
	case err == nil:
		f.faults = 0
		return f.take(frames)
	case sandbox.KindOf(err) == sandbox.Stopped:
		return true, nil // its death is told by Dead
	}
	if f.faults++; f.faults >= pollFaults {
		return true, err
	}
	return false, nil
}

// take puts frames into the journal and the ledger, and tells the actor of
// exits: first, so that a caller who comes back at once comes behind.
func (f *flow) take(frames []sandbox.Frame) (stop bool, err error) {
	if len(frames) == 0 {
		return false, nil
	}
	exits, err := f.journal.accept(f.box, frames, f.journal.ledger.Room() != nil)
	for _, x := range exits {
		f.tell(&ended{x})
	}
	f.journal.flush()
	if errors.Is(err, errStale) {
		return true, nil
	}
	if err != nil {
		return true, &sandbox.Error{Op: "follow", Kind: sandbox.Invalid, Err: err}
	}
	return false, nil
}

// idle waits a while, longer each time, unless the last call was of use.
func (f *flow) idle(ctx context.Context, useful bool) {
	if useful {
		f.pause = 0
		return
	}
	f.pause = min(max(2*f.pause, pauseFirst), pauseMost)
	timer := time.NewTimer(f.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// install makes p the pump and returns the sandbox to drain; nil when a pump
// runs already or there is no sandbox.
func (j *journal) install(p *pump) sandbox.Sandbox {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pump != nil || j.box == nil || j.ended {
		return nil
	}
	j.pump, p.before, j.stopping = p, j.stopping, nil
	return j.box
}

// stopPump tells the pump to end. It does not wait.
func (j *journal) stopPump() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pump != nil {
		j.pump.cancel()
		j.pump, j.stopping = nil, j.pump
	}
}

// rests lets p end when nothing runs. Whatever begins later makes another.
func (j *journal) rests(p *pump) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.runs() {
		return false
	}
	if j.pump == p {
		j.pump, j.stopping = nil, p
	}
	return true
}

// idle notes that p waits for work, unless something runs.
func (j *journal) idle(p *pump) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	p.idle = j.pump == p && !j.runs()
	return p.idle
}

// resume notes that p waits no longer, and returns the work that came just then.
func (j *journal) resume(p *pump) func() {
	j.mu.Lock()
	defer j.mu.Unlock()
	p.idle = false
	select {
	case work := <-p.work:
		return work
	default:
		return nil
	}
}

// employ gives work to a pump that waits for some, and tells whether there is one.
func (j *journal) employ(work func()) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pump == nil || !j.pump.idle {
		return false
	}
	j.pump.idle = false
	j.pump.work <- work
	return true
}

// retire forgets a pump that ended.
func (j *journal) retire(p *pump) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pump == p {
		j.pump = nil
	}
	if j.stopping == p {
		j.stopping = nil
	}
}

// position returns the last frame that was taken, and whether something runs.
func (j *journal) position() (cursor uint64, busy bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cursor, j.runs()
}

func (j *journal) runs() bool {
	for _, x := range j.executions {
		if x.phase == running {
			return true
		}
	}
	return false
}
