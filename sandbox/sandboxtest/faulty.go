package sandboxtest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Faulty is a backend that does what the one inside does, but for the calls
// that it is told to spoil. Methods are named as in the interfaces: "Create",
// "Start", "Follow", "Destroy", …; calls are counted over all sandboxes.
type Faulty struct {
	sandbox.Backend

	mu     sync.Mutex
	calls  map[string]int
	faults []fault
	boxes  map[sandbox.ID]*faultySandbox
}

// A fault is what becomes of some calls of a method.
type fault struct {
	method      string
	first, last int // by number, from 1
	wait        time.Duration
	err         error
}

// NewFaulty wraps a backend.
func NewFaulty(inside sandbox.Backend) *Faulty {
	return &Faulty{Backend: inside, calls: map[string]int{}, boxes: map[sandbox.ID]*faultySandbox{}}
}

// Fail lets some calls of a method fail: the n-th from now and those after it,
// so many in all. The call inside is not made.
func (f *Faulty) Fail(method string, n, count int, err error) {
	f.add(fault{method: method, first: n, last: n + count - 1, err: err})
}

// Delay lets some calls of a method wait before they are made.
func (f *Faulty) Delay(method string, n, count int, wait time.Duration) {
	f.add(fault{method: method, first: n, last: n + count - 1, wait: wait})
}

func (f *Faulty) add(spoil fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	spoil.first += f.calls[spoil.method]
	spoil.last += f.calls[spoil.method]
	f.faults = append(f.faults, spoil)
}

// Calls is how often a method was called.
func (f *Faulty) Calls(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

// Kill lets a sandbox die. What it holds inside stays until Destroy.
func (f *Faulty) Kill(id sandbox.ID, death sandbox.Death) error {
	f.mu.Lock()
	box := f.boxes[id]
	f.mu.Unlock()
	if box == nil {
		return &sandbox.Error{Op: "kill", ID: string(id), Kind: sandbox.NotFound}
	}
	box.die(death)
	return nil
}

// spoil counts a call, and does to it what is to be done.
func (f *Faulty) spoil(ctx context.Context, method string) error {
	f.mu.Lock()
	f.calls[method]++
	n := f.calls[method]
	var wait time.Duration
	var err error
	for _, spoil := range f.faults {
		if spoil.method == method && spoil.first <= n && n <= spoil.last {
			wait += spoil.wait
			if err == nil {
				err = spoil.err
			}
		}
	}
	f.mu.Unlock()
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return &sandbox.Error{Op: method, Kind: sandbox.KindOf(ctx.Err()), Err: context.Cause(ctx)}
		}
	}
	return err
}

// Create implements [sandbox.Backend].
func (f *Faulty) Create(ctx context.Context, id sandbox.ID, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := f.spoil(ctx, "Create"); err != nil {
		return nil, err
	}
	box, err := f.Backend.Create(ctx, id, spec)
	if err != nil {
		return nil, err
	}
	return f.wrap(box), nil
}

// Adopt implements [sandbox.Backend].
func (f *Faulty) Adopt(ctx context.Context, id sandbox.ID) (sandbox.Sandbox, error) {
	if err := f.spoil(ctx, "Adopt"); err != nil { // who cannot adopt leaves nothing, as is promised
		box, missing := f.Backend.Adopt(context.WithoutCancel(ctx), id)
		if missing == nil {
			err = errors.Join(err, box.Destroy(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	box, err := f.Backend.Adopt(ctx, id)
	if err != nil {
		return nil, err
	}
	return f.wrap(box), nil
}

// List implements [sandbox.Backend].
func (f *Faulty) List(ctx context.Context) ([]sandbox.ID, error) {
	if err := f.spoil(ctx, "List"); err != nil {
		return nil, err
	}
	return f.Backend.List(ctx)
}

// wrap watches over a sandbox. Its goroutine ends when the sandbox inside dies,
// which Destroy sees to.
func (f *Faulty) wrap(inside sandbox.Sandbox) *faultySandbox {
	box := &faultySandbox{Sandbox: inside, faulty: f, dead: make(chan struct{})}
	f.mu.Lock()
	f.boxes[inside.ID()] = box
	f.mu.Unlock()
	go func() {
		<-inside.Dead()
		box.die(inside.Death())
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.boxes, inside.ID())
	}()
	return box
}

// A faultySandbox is a sandbox of a [Faulty].
type faultySandbox struct {
	sandbox.Sandbox

	faulty *Faulty
	dead   chan struct{}

	mu    sync.Mutex
	death sandbox.Death
}

func (b *faultySandbox) die(death sandbox.Death) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.dead:
	default:
		b.death = death
		close(b.dead)
	}
}

// Dead implements [sandbox.Sandbox].
func (b *faultySandbox) Dead() <-chan struct{} { return b.dead }

// Death implements [sandbox.Sandbox].
func (b *faultySandbox) Death() sandbox.Death {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.death
}

// spoil does what is to be done to a call; a dead sandbox serves none.
func (b *faultySandbox) spoil(ctx context.Context, method string) error {
	if err := b.faulty.spoil(ctx, method); err != nil {
		return err
	}
	select {
	case <-b.dead:
		return &sandbox.Error{Op: method, ID: string(b.ID()), Kind: sandbox.Stopped, Detail: "the sandbox is dead"}
	default:
		return nil
	}
}

// Start implements [sandbox.Sandbox].
func (b *faultySandbox) Start(ctx context.Context, x sandbox.Exec) error {
	if err := b.spoil(ctx, "Start"); err != nil {
		return err
	}
	return b.Sandbox.Start(ctx, x)
}

// Follow implements [sandbox.Sandbox]. The death of the wrapper ends it too.
func (b *faultySandbox) Follow(ctx context.Context, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	if err := b.spoil(ctx, "Follow"); err != nil {
		return nil, err
	}
	call, stop := context.WithCancel(ctx)
	defer stop()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-b.dead:
			stop()
		case <-over:
		}
	}()
	frames, err := b.Sandbox.Follow(call, after, wait)
	if err != nil && ctx.Err() == nil && call.Err() != nil {
		return nil, &sandbox.Error{Op: "Follow", ID: string(b.ID()), Kind: sandbox.Stopped, Detail: "the sandbox is dead"}
	}
	return frames, err
}

// Signal implements [sandbox.Sandbox].
func (b *faultySandbox) Signal(ctx context.Context, x sandbox.ExecID, s sandbox.Signal) error {
	if err := b.spoil(ctx, "Signal"); err != nil {
		return err
	}
	return b.Sandbox.Signal(ctx, x, s)
}

// WriteStdin implements [sandbox.Sandbox].
func (b *faultySandbox) WriteStdin(ctx context.Context, x sandbox.ExecID, offset uint64, data []byte) (int, error) {
	if err := b.spoil(ctx, "WriteStdin"); err != nil {
		return 0, err
	}
	return b.Sandbox.WriteStdin(ctx, x, offset, data)
}

// Transfer implements [sandbox.Sandbox].
func (b *faultySandbox) Transfer(ctx context.Context, r sandbox.FileRequest) (sandbox.Transfer, error) {
	if err := b.spoil(ctx, "Transfer"); err != nil {
		return nil, err
	}
	return b.Sandbox.Transfer(ctx, r)
}

// Executions implements [sandbox.Sandbox].
func (b *faultySandbox) Executions(ctx context.Context) ([]sandbox.ExecState, error) {
	if err := b.spoil(ctx, "Executions"); err != nil {
		return nil, err
	}
	return b.Sandbox.Executions(ctx)
}

// Stats implements [sandbox.Sandbox].
func (b *faultySandbox) Stats(ctx context.Context) (sandbox.Stats, error) {
	if err := b.spoil(ctx, "Stats"); err != nil {
		return sandbox.Stats{}, err
	}
	return b.Sandbox.Stats(ctx)
}

// Destroy implements [sandbox.Sandbox]. It works on a dead sandbox.
func (b *faultySandbox) Destroy(ctx context.Context) error {
	if err := b.faulty.spoil(ctx, "Destroy"); err != nil {
		return err
	}
	return b.Sandbox.Destroy(ctx)
}
