package sandboxtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Clock is a clock of deadlines for tests in a bubble of synctest, where the
// machine's own clock does not stand still. Give it to the Fake and to what
// uses it.
func Clock() time.Duration { return time.Duration(time.Now().UnixNano()) }

// A Fake is a backend whose sandboxes are goroutines that run scripts. The zero
// value is ready; set the fields before the first use.
//
// A script is statements, separated by semicolons or lines:
//
//	print:TEXT      TEXT and a new line to stdout
//	write:TEXT      TEXT alone to stdout
//	error:TEXT      TEXT and a new line to stderr
//	flood:N         N bytes to stdout
//	show:MIME:TEXT  a rich result
//	sleep:5s        waits; an interrupt ends the script here
//	set:NAME=VALUE  a variable of the kernel
//	get:NAME        prints it; NameError when there is none
//	result:TEXT     the value of the last expression
//	fail:NAME:TEXT  ends with an uncaught error
//	exit:N          ends with that status
//	oom             the kernel is killed and loses its variables
//	die:CAUSE       the sandbox dies
//	stubborn        from here on interrupts are ignored
//	hang            never ends, whatever is sent
//
// A command's arguments are its statements. Files are in memory, without room
// that ends; scripts do not see them.
type Fake struct {
	Clock    func() time.Duration // of deadlines; nil is the machine's
	Unready  error                // what Ready returns
	Slow     time.Duration        // how long Create takes
	Ring     int                  // bytes that a sandbox keeps until they are acknowledged; 1 MiB
	Pressed  func() (used, limit int64)
	Forgets  atomic.Bool // what may have been begun by an earlier daemon, it does not know any more
	mu       sync.Mutex
	boxes    map[sandbox.ID]*fakeSandbox
	creating int
	most     int
}

// Name implements [sandbox.Backend].
func (f *Fake) Name() string { return "fake" }

// Ready implements [sandbox.Backend].
func (f *Fake) Ready() error { return f.Unready }

// Create implements [sandbox.Backend].
func (f *Fake) Create(ctx context.Context, id sandbox.ID, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if f.Unready != nil {
		return nil, f.Unready
	}
	f.count(1)
	timer := time.NewTimer(f.Slow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		f.count(-1)
		return nil, &sandbox.Error{Op: "create", ID: string(id), Kind: sandbox.KindOf(ctx.Err()), Err: context.Cause(ctx)}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.creating--
	if f.boxes == nil {
		f.boxes = map[sandbox.ID]*fakeSandbox{}
	}
	if f.boxes[id] != nil {
		return nil, &sandbox.Error{Op: "create", ID: string(id), Kind: sandbox.Invalid, Detail: "there is a sandbox of that id"}
	}
	box := newFakeSandbox(f, id, spec)
	f.boxes[id] = box
	return box, nil
}

func (f *Fake) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.creating += n
	f.most = max(f.most, f.creating+len(f.boxes))
}

// Most is how many sandboxes there were at once at most, those that were being
// made included.
func (f *Fake) Most() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// Kill lets a sandbox die, as if by itself.
func (f *Fake) Kill(id sandbox.ID, death sandbox.Death) error {
	f.mu.Lock()
	box := f.boxes[id]
	f.mu.Unlock()
	if box == nil {
		return &sandbox.Error{Op: "kill", ID: string(id), Kind: sandbox.NotFound}
	}
	box.die(death)
	return nil
}

// Adopt implements [sandbox.Backend].
func (f *Fake) Adopt(_ context.Context, id sandbox.ID) (sandbox.Sandbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if box := f.boxes[id]; box != nil {
		return box, nil
	}
	return nil, &sandbox.Error{Op: "adopt", ID: string(id), Kind: sandbox.NotFound}
}

// List implements [sandbox.Backend].
func (f *Fake) List(context.Context) ([]sandbox.ID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.boxes)), nil
}

// Capabilities implements [sandbox.Backend].
func (f *Fake) Capabilities() sandbox.Capabilities {
	all := sandbox.Capabilities{Isolation: "process", Enforced: []string{"memory"}, Unenforced: []string{"pids"}}
	for _, t := range sandbox.Templates() {
		all.Templates = append(all.Templates, sandbox.TemplateStatus{Template: t, Version: "fake"})
	}
	return all
}

// Pressure is what a backend may tell of the memory of all its sandboxes.
func (f *Fake) Pressure() (used, limit int64) {
	if f.Pressed == nil {
		return 0, 0
	}
	return f.Pressed()
}

// Close implements [sandbox.Backend].
func (f *Fake) Close(context.Context) error { return nil }

func (f *Fake) now() time.Duration {
	if f.Clock == nil {
		return Boottime()
	}
	return f.Clock()
}

func (f *Fake) forget(id sandbox.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.boxes, id)
}

// A fakeSandbox implements [sandbox.Sandbox].
type fakeSandbox struct {
	fake *Fake
	id   sandbox.ID
	ring int
	dead chan struct{}
	work sync.WaitGroup

	mu        sync.Mutex
	death     sandbox.Death
	frames    []sandbox.Frame // not acknowledged
	last      uint64
	kept      int
	runs      map[sandbox.ExecID]*fakeRun // those whose last frame is not acknowledged
	following bool
	kernel    *fakeRun // what the kernel runs
	variables map[string]string
	files     *fakeFiles
	transfers int           // open
	change    chan struct{} // closed and replaced at each change
}

func newFakeSandbox(f *Fake, id sandbox.ID, _ sandbox.Spec) *fakeSandbox {
	ring := f.Ring
	if ring <= 0 {
		ring = 1 << 20
	}
	return &fakeSandbox{
		fake: f, id: id, ring: ring, dead: make(chan struct{}), change: make(chan struct{}),
		runs: map[sandbox.ExecID]*fakeRun{}, variables: map[string]string{}, files: newFakeFiles(),
	}
}

// ID implements [sandbox.Sandbox].
func (b *fakeSandbox) ID() sandbox.ID { return b.id }

// Dead implements [sandbox.Sandbox].
func (b *fakeSandbox) Dead() <-chan struct{} { return b.dead }

// Death implements [sandbox.Sandbox].
func (b *fakeSandbox) Death() sandbox.Death {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.death
}

// Start implements [sandbox.Sandbox].
func (b *fakeSandbox) Start(ctx context.Context, x sandbox.Exec) error {
	if err := b.usable(ctx, "start"); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	code := len(x.Argv) == 0
	switch {
	case x.Again && b.fake.Forgets.Load():
		return &sandbox.Error{Op: "start", ID: string(b.id), Kind: sandbox.NotFound, Cause: sandbox.CauseAgentLost, Detail: "nobody knows how far it came"}
	case b.runs[x.ID] != nil:
		return nil
	case code == (x.Code == ""):
		return b.fault("start", sandbox.Invalid, "exactly one of code and arguments must be set")
	case code && b.kernel != nil:
		return b.fault("start", sandbox.Exhausted, "the kernel is busy")
	}
	run := &fakeRun{box: b, exec: x, interrupted: make(chan struct{}), killed: make(chan struct{})}
	b.runs[x.ID] = run
	if code {
		b.kernel = run
	}
	b.work.Go(run.run)
	return nil
}

func (b *fakeSandbox) fault(op string, kind sandbox.Kind, detail string) error {
	return &sandbox.Error{Op: op, ID: string(b.id), Kind: kind, Detail: detail}
}

// usable returns why a call cannot be served.
func (b *fakeSandbox) usable(ctx context.Context, op string) error {
	select {
	case <-b.dead:
		return b.fault(op, sandbox.Stopped, "the sandbox is dead")
	case <-ctx.Done():
		return &sandbox.Error{Op: op, ID: string(b.id), Kind: sandbox.KindOf(ctx.Err()), Err: context.Cause(ctx)}
	default:
		return nil
	}
}

// Follow implements [sandbox.Sandbox].
func (b *fakeSandbox) Follow(ctx context.Context, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	if err := b.enter(after); err != nil {
		return nil, err
	}
	defer b.leave()
	for over := wait <= 0; ; {
		if err := b.usable(ctx, "follow"); err != nil {
			return nil, err
		}
		frames, change := b.pending()
		if len(frames) > 0 || over {
			return frames, nil
		}
		select {
		case <-change:
		case <-b.dead:
		case <-ctx.Done():
		case <-timer.C:
			over = true
		}
	}
}

// enter acknowledges frames. Only one may follow at a time.
func (b *fakeSandbox) enter(after uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.following {
		return b.fault("follow", sandbox.Invalid, "somebody follows already")
	}
	if after > b.last {
		return b.fault("follow", sandbox.Invalid, "there is no such frame yet")
	}
	b.following = true
	n := 0
	for ; n < len(b.frames) && b.frames[n].Seq <= after; n++ {
		b.kept -= len(b.frames[n].Data)
		if b.frames[n].Exit != nil {
			delete(b.runs, b.frames[n].Exec)
		}
	}
	b.frames = slices.Clone(b.frames[n:])
	if n > 0 {
		b.stir()
	}
	return nil
}

func (b *fakeSandbox) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.following = false
}

// pending returns at most 256 KiB of frames.
func (b *fakeSandbox) pending() ([]sandbox.Frame, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for ; n < len(b.frames) && size < 256<<10; n++ {
		size += len(b.frames[n].Data)
	}
	return slices.Clone(b.frames[:n]), b.change
}

func (b *fakeSandbox) stir() {
	close(b.change)
	b.change = make(chan struct{})
}

// Signal implements [sandbox.Sandbox].
func (b *fakeSandbox) Signal(ctx context.Context, x sandbox.ExecID, s sandbox.Signal) error {
	if err := b.usable(ctx, "signal"); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if run := b.runs[x]; run != nil {
		run.signal(s)
	}
	return nil
}

// WriteStdin implements [sandbox.Sandbox]: a script reads nothing.
func (b *fakeSandbox) WriteStdin(context.Context, sandbox.ExecID, uint64, []byte) (int, error) {
	return 0, b.fault("write stdin", sandbox.Unsupported, "a fake has no stdin")
}

// Executions implements [sandbox.Sandbox].
func (b *fakeSandbox) Executions(ctx context.Context) ([]sandbox.ExecState, error) {
	if err := b.usable(ctx, "executions"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []sandbox.ExecState
	for id, run := range b.runs {
		all = append(all, sandbox.ExecState{ID: id, Running: !run.ended})
	}
	return all, nil
}

// Stats implements [sandbox.Sandbox].
func (b *fakeSandbox) Stats(ctx context.Context) (sandbox.Stats, error) {
	if err := b.usable(ctx, "stats"); err != nil {
		return sandbox.Stats{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return sandbox.Stats{MemoryBytes: int64(b.kept), Tasks: len(b.runs), DiskBytes: -1}, nil
}

// Destroy implements [sandbox.Sandbox].
func (b *fakeSandbox) Destroy(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &sandbox.Error{Op: "destroy", ID: string(b.id), Kind: sandbox.KindOf(err), Err: context.Cause(ctx)}
	}
	b.die(sandbox.Death{Cause: sandbox.CauseKilled})
	b.work.Wait()
	b.fake.forget(b.id)
	return nil
}

func (b *fakeSandbox) die(death sandbox.Death) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.dead:
	default:
		b.death = death
		close(b.dead)
	}
}

// put adds a frame, and waits while the ring is full. It tells whether the
// sandbox lives.
func (b *fakeSandbox) put(f sandbox.Frame) bool {
	for {
		b.mu.Lock()
		if b.kept == 0 || b.kept+len(f.Data) <= b.ring {
			b.last++
			f.Seq = b.last
			b.frames = append(b.frames, f)
			b.kept += len(f.Data)
			b.stir()
			b.mu.Unlock()
			return true
		}
		change := b.change
		b.mu.Unlock()
		select {
		case <-change:
		case <-b.dead:
			return false
		}
	}
}

// String names the sandbox in the messages of a test.
func (b *fakeSandbox) String() string { return fmt.Sprintf("fake %s", b.id) }
