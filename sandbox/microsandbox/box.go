package microsandbox

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/relay"
)

// Times of the calls to an agent.
const (
	stopWait  = 30 * time.Second      // of a sandbox's end, beside a usual call
	pollMost  = 20 * time.Second      // one call that waits for output
	pollPause = time.Second           // between two of them while the server is not there
	firstWait = 50 * time.Millisecond // of a start, for the end of what it starts
)

// A box is one sandbox. It implements [sandbox.Sandbox].
type box struct {
	backend *Backend
	id      sandbox.ID
	name    string // at the server
	spec    sandbox.Spec
	made    time.Time
	dir     string        // of the agent
	client  *agent.Client // nil until it was greeted
	dead    chan struct{} // closed with the death known

	mu      sync.Mutex
	death   sandbox.Death
	ending  bool                      // Destroy has begun
	missed  int                       // looks in a row that did not see it run
	open    map[sandbox.ExecID]bool   // executions whose end was not read
	read    uint64                    // the highest frame that was read
	acked   uint64                    // the highest frame that need not be kept; the agent may not know yet
	ended   map[sandbox.ExecID]uint64 // the last frames of executions, until the agent knows that they need not be kept
	catchUp bool                      // there may be frames of executions that an earlier daemon started
	early   early                     // nothing in it most of the time
	doubts  []sandbox.ExecID          // executions that may have begun
	stirred chan struct{}             // has one when an execution was started
	turn    chan struct{}             // held by the one Destroy that goes on
	gone    bool
}

func newBox(b *Backend, id sandbox.ID, spec sandbox.Spec) *box {
	return &box{
		backend: b, id: id, name: b.nameOf(id), spec: spec, made: time.Now(), dead: make(chan struct{}),
		open: map[sandbox.ExecID]bool{}, ended: map[sandbox.ExecID]uint64{}, stirred: make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}
}

// greet speaks with the agent for the first time.
func (x *box) greet(ctx context.Context, dir string) error {
	x.dir = dir
	x.client = agent.NewClientOver(x.id, relay.NewService(x.relay))
	_, err := x.client.Hello(ctx)
	return err
}

// relay implements [relay.Runner].
func (x *box) relay(ctx context.Context, wait time.Duration, args ...string) (string, error) {
	o, err := x.backend.server.command(ctx, x.name, wait, x.dir+"/agent", append([]string{agent.RelayWord, x.dir}, args...)...)
	switch {
	case err == nil && o.Exit == 0:
		return o.Stdout, nil
	case err == nil: // the program is not there, or not what it was
		return "", x.lost(errors.Join(relay.ErrGone, errors.New(oneLine(o.Stderr))))
	}
	if r, ok := errors.AsType[*refusal](err); ok && (r.code == codeNotFound || r.code == codeInternal) {
		return "", x.missingOr(ctx, err)
	}
	return "", x.fault("relay", err)
}

// missingOr tells a sandbox that runs no more, or whose tenant has removed the
// agent's program, from a call that failed: servers do not say which it is.
func (x *box) missingOr(ctx context.Context, err error) error {
	all, asked := x.backend.server.metrics(ctx, x.name)
	if asked != nil {
		return x.fault("relay", asked)
	}
	for _, m := range all {
		if m.Name != x.name || !m.Running {
			continue
		}
		o, asked := x.backend.server.command(ctx, x.name, 0, "sh", "-c", `[ -x "$1" ]`, "sh", x.dir+"/agent")
		if asked != nil || o.Exit == 0 {
			return x.fault("relay", err)
		}
	}
	return x.lost(err)
}

// lost is the error of an agent that is not there any more, whose sandbox is of
// no use.
func (x *box) lost(err error) error {
	x.die("the agent in the server's sandbox does not answer")
	return &sandbox.Error{Op: "relay", ID: string(x.id), Kind: sandbox.Stopped, Cause: sandbox.CauseAgentLost, Detail: "the sandbox has died", Err: err}
}

func (x *box) fault(op string, err error) error { return fault(op, x.id, err) }

// die notes the death of a sandbox, once.
func (x *box) die(evidence string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case <-x.dead:
		return
	default:
	}
	x.death = sandbox.Death{Cause: sandbox.CauseAgentLost, Evidence: evidence}
	if x.ending {
		x.death = sandbox.Death{Cause: sandbox.CauseKilled, Evidence: "destroyed on request"}
	}
	close(x.dead)
}

// seen notes whether the server ran the sandbox at a time.
func (x *box) seen(running bool, at time.Time) {
	x.mu.Lock()
	x.missed++
	if running || x.client == nil || at.Before(x.made) {
		x.missed = 0
	}
	dies := x.missed >= missesToDie
	x.mu.Unlock()
	if dies {
		x.die("the microsandbox server does not run it any more")
	}
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

// alive returns why there is nobody to ask.
func (x *box) alive(op string) error {
	select {
	case <-x.dead:
		death := x.Death()
		return &sandbox.Error{
			Op: op, ID: string(x.id), Kind: sandbox.Stopped, Cause: death.Cause, Detail: "the sandbox has died", Err: errors.New(death.Evidence),
		}
	default:
		return nil
	}
}

// Start implements [sandbox.Sandbox].
func (x *box) Start(ctx context.Context, e sandbox.Exec) error {
	if err := x.alive("start"); err != nil {
		return err
	}
	if err := x.settleDoubts(ctx); err != nil {
		return err
	}
	early, err := x.launch(ctx, e)
	if err != nil {
		return x.doubted(e.ID, err)
	}
	x.mu.Lock()
	x.open[e.ID], x.early = true, early
	x.mu.Unlock()
	select {
	case x.stirred <- struct{}{}:
	default:
	}
	return nil
}

// early are frames that came with a start.
type early struct {
	after  uint64
	frames []sandbox.Frame
}

// launch starts an execution, and reads its output with the same call where
// nobody reads now and nobody may have to write.
func (x *box) launch(ctx context.Context, e sandbox.Exec) (early, error) {
	x.mu.Lock()
	after, alone := x.acked, len(x.open) == 0
	x.mu.Unlock()
	if !alone || e.Stdin || e.Background {
		return early{}, x.client.Start(ctx, e)
	}
	frames, err := x.client.Begin(ctx, e, after, after, firstWait)
	return early{after, frames}, err
}

// takeEarly takes the frames after a number that came with a start. That is
// done once: who comes again asks the agent.
func (x *box) takeEarly(after uint64) []sandbox.Frame {
	x.mu.Lock()
	e := x.early
	x.early = early{}
	x.mu.Unlock()
	if after < e.after || after-e.after >= uint64(len(e.frames)) {
		return nil
	}
	frames := e.frames[after-e.after:]
	x.took(e.after, frames)
	return frames
}

// Follow implements [sandbox.Sandbox]. The agent is asked only when there is
// something to come of it, and learns only then what need not be kept. While the
// server is not there it waits.
func (x *box) Follow(ctx context.Context, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	x.acknowledge(after)
	for until := time.Now().Add(wait); ; {
		if err := x.alive("follow"); err != nil {
			return nil, err
		}
		left := max(time.Until(until), 0)
		var frames []sandbox.Frame
		var err error
		if frames = x.takeEarly(after); len(frames) > 0 {
			return frames, nil
		}
		if x.expects(after) {
			frames, err = x.asked(ctx, after, min(left, pollMost))
		} else {
			err = x.rest(ctx, left)
		}
		switch {
		case err == nil:
		case sandbox.KindOf(err) == sandbox.Unavailable && left > 0:
			_ = sleep(ctx, min(left, pollPause)) // its end is seen next
			err = ctx.Err()
		case errors.Is(err, agent.ErrFrames):
			x.die("the agent's output broke the protocol")
		}
		if err != nil || len(frames) > 0 || time.Now().After(until) {
			return frames, x.followed(err)
		}
	}
}

// asked asks the agent for frames.
func (x *box) asked(ctx context.Context, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	frames, err := x.client.Follow(ctx, after, wait)
	if err == nil {
		x.took(after, frames)
	}
	return frames, err
}

// followed is the error of a Follow. That the server is not there is none: it
// will be back, or the sandbox is found dead.
func (x *box) followed(err error) error {
	if err == nil || sandbox.KindOf(err) == sandbox.Unavailable {
		return nil
	}
	return x.fault("follow", err)
}

// expects tells whether there are frames to come after a number.
func (x *box) expects(after uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.open) > 0 || x.catchUp || after < x.read
}

// acknowledge notes up to where frames need not be kept.
func (x *box) acknowledge(after uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.acked = max(x.acked, after)
}

// took notes what was read, and that the agent knows what was acknowledged.
func (x *box) took(after uint64, frames []sandbox.Frame) {
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.ended, func(_ sandbox.ExecID, last uint64) bool { return last <= after })
	if len(frames) == 0 && after >= x.read {
		x.catchUp = false
	}
	for _, f := range frames {
		x.read = max(x.read, f.Seq)
		if f.Exit != nil {
			delete(x.open, f.Exec)
			x.ended[f.Exec] = f.Seq
		}
	}
}

// rest waits until something is started.
func (x *box) rest(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-x.stirred:
	case <-x.dead:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Signal implements [sandbox.Sandbox].
func (x *box) Signal(ctx context.Context, e sandbox.ExecID, s sandbox.Signal) error {
	if err := x.alive("signal"); err != nil {
		return err
	}
	return x.client.Signal(ctx, e, s)
}

// WriteStdin implements [sandbox.Sandbox].
func (x *box) WriteStdin(ctx context.Context, e sandbox.ExecID, offset uint64, data []byte) (int, error) {
	if err := x.alive("stdin"); err != nil {
		return 0, err
	}
	return x.client.WriteStdin(ctx, e, offset, data)
}

// Transfer implements [sandbox.Sandbox].
func (x *box) Transfer(ctx context.Context, r sandbox.FileRequest) (sandbox.Transfer, error) {
	if err := x.alive(string(r.Op)); err != nil {
		return nil, err
	}
	return x.client.Transfer(ctx, r)
}

// Executions implements [sandbox.Sandbox]. Those whose end is acknowledged are
// left out, also where the agent does not know yet.
func (x *box) Executions(ctx context.Context) ([]sandbox.ExecState, error) {
	if err := x.alive("executions"); err != nil {
		return nil, err
	}
	states, err := x.client.Executions(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.DeleteFunc(states, func(s sandbox.ExecState) bool {
		last, ended := x.ended[s.ID]
		return ended && last <= x.acked
	}), err
}

// Stats implements [sandbox.Sandbox], as far as the server knows.
func (x *box) Stats(ctx context.Context) (sandbox.Stats, error) {
	if err := x.alive("stats"); err != nil {
		return sandbox.Stats{}, err
	}
	all, err := x.backend.server.metrics(ctx, x.name)
	if err != nil {
		return sandbox.Stats{}, x.fault("stats", err)
	}
	s := sandbox.Stats{MemoryBytes: -1, DiskBytes: -1}
	for _, m := range all {
		if m.Name != x.name {
			continue
		}
		if m.Memory != nil {
			s.MemoryBytes = int64(min(*m.Memory, 1<<40)) << 20
		}
		if m.Disk != nil {
			s.DiskBytes = int64(min(*m.Disk, 1<<62))
		}
	}
	return s, nil
}

// Destroy implements [sandbox.Sandbox]. A server that does not know the sandbox
// any more has nothing left of it.
func (x *box) Destroy(ctx context.Context) error {
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return x.fault("destroy", ctx.Err())
	}
	defer func() { <-x.turn }()
	if x.gone {
		return nil
	}
	x.mu.Lock()
	x.ending = true
	x.mu.Unlock()
	if err := x.backend.server.stop(ctx, x.name); err != nil && !x.unknown(ctx, err) {
		return x.fault("destroy", err)
	}
	x.gone = true
	x.die("destroyed on request")
	x.backend.leave(x)
	return nil
}

// unknown tells whether a stop failed because nothing runs.
func (x *box) unknown(ctx context.Context, err error) bool {
	if _, ok := errors.AsType[*refusal](err); !ok {
		return false
	}
	all, err := x.backend.server.metrics(ctx, x.name)
	if err != nil {
		return false
	}
	for _, m := range all {
		if m.Name == x.name && m.Running {
			return false
		}
	}
	return true
}
