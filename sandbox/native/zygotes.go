//go:build linux

package native

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
)

// A nursery keeps one zygote of a template at work: it replaces one that has
// ended, or has forked enough. While there is none, sandboxes start their
// interpreters themselves.
type nursery struct {
	start  func(context.Context) (*zygote, error)
	forks  int // after which a zygote is replaced
	logger *slog.Logger
	worn   chan struct{} // has a token when the zygote is to be replaced
	tried  chan struct{} // closed when the first has started, or failed to

	ends    sync.WaitGroup // of zygotes that were given up
	mu      sync.Mutex     // held while one is asked for a kernel
	current *zygote        // nil when there is none
}

// openNurseries begins with zygotes for the templates that can have them.
func (b *Backend) openNurseries(ctx context.Context) {
	b.nurseries = map[string]*nursery{}
	if b.opts.ZygoteForks <= 0 || b.opts.NoZygote {
		return
	}
	for _, status := range b.templates {
		t := status.Template
		if _, _, ok := kernel.Zygote(t.Language); !ok || status.Err != nil {
			continue
		}
		start := func(ctx context.Context) (*zygote, error) { return b.startZygote(ctx, t) }
		n := newNursery(start, b.opts.ZygoteForks, b.opts.Logger)
		b.nurseries[t.Name] = n
		b.background(ctx, func(ctx context.Context) { n.run(ctx, t) })
	}
}

// background runs f, whose context ends when the backend is closed, which waits
// for f.
func (b *Backend) background(ctx context.Context, f func(context.Context)) {
	b.burials.Go(func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		go func() { // ends with ctx
			select {
			case <-b.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		f(ctx)
	})
}

// errNoZygote says that there is none now.
var errNoZygote = errors.New("there is no zygote")

func newNursery(start func(context.Context) (*zygote, error), forks int, logger *slog.Logger) *nursery {
	return &nursery{start: start, forks: forks, logger: logger, worn: make(chan struct{}, 1), tried: make(chan struct{})}
}

// ready reports whether there is a zygote. There may be none a moment later.
func (n *nursery) ready() bool {
	if n == nil {
		return false
	}
	if !n.mu.TryLock() {
		return true // it is asked for one, and who asks this does not wait for that
	}
	defer n.mu.Unlock()
	return n.current != nil
}

// await waits until the first zygote is ready, or was tried in vain.
func (n *nursery) await(ctx context.Context) {
	if n == nil {
		return
	}
	select {
	case <-n.tried:
	case <-ctx.Done():
	}
}

// fork forks a kernel and returns its number in its sandbox, or says why there is none.
// ask asks for it, see [zygote.fork]; there is closed when its sandbox is there, or given up.
func (n *nursery) fork(ctx context.Context, there <-chan struct{}, ask func(context.Context, *zygote) (*os.File, error)) (pid int, err error) {
	z, told, err := n.ask(ctx, ask)
	if err == nil {
		defer z.pending.Done()
		defer func() { _ = told.Close() }()
		<-there
		pid, err = z.locked(ctx, told)
	}
	if errors.Is(err, errZygote) {
		n.giveUp(z)
	}
	return pid, err
}

// ask asks the zygote of this moment, of which a kernel is pending when that is no error.
func (n *nursery) ask(ctx context.Context, ask func(context.Context, *zygote) (*os.File, error)) (*zygote, *os.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	z := n.current
	if z == nil {
		return nil, nil, errNoZygote
	}
	told, err := ask(ctx, z)
	if err != nil {
		return z, nil, err
	}
	z.pending.Add(1)
	if z.forks >= n.forks {
		n.replace()
	}
	return z, told, nil
}

// giveUp ends a zygote that is of no use, and asks for another.
func (n *nursery) giveUp(z *zygote) {
	n.mu.Lock()
	defer n.mu.Unlock()
	z.kill()
	if n.current == z {
		n.current = nil
		n.ends.Go(z.end)
		n.replace()
	}
}

// replace asks for another zygote; the one there is works on until then.
func (n *nursery) replace() {
	select {
	case n.worn <- struct{}{}:
	default:
	}
}

// run starts zygotes until ctx ends. After a failure it waits, longer each time.
func (n *nursery) run(ctx context.Context, t sandbox.Template) {
	const first, most = time.Second, time.Minute
	tried := sync.OnceFunc(func() { close(n.tried) })
	defer tried()
	kill := func() {} // the zygote of this moment
	for pause := first; ctx.Err() == nil; {
		began := time.Now()
		z, err := n.start(ctx)
		if err != nil {
			tried()
			if ctx.Err() == nil {
				n.logger.Warn("a zygote does not start; sandboxes start their interpreters without", "template", t.Name, "err", err, "retry", pause)
			}
			rest(ctx, pause)
			pause = min(2*pause, most)
			continue
		}
		for module, why := range z.missing {
			n.logger.Warn("a module cannot be loaded before sandboxes begin", "template", t.Name, "module", module, "err", why)
		}
		n.put(z)
		kill = z.kill
		tried()
		select {
		case <-n.worn:
		case <-z.gone:
		case <-ctx.Done():
		}
		if pause = first; time.Since(began) < first { // else one that dies of each fork would be all that we do
			rest(ctx, first)
		}
	}
	kill() // one that hangs in a fork would have the next line wait
	n.put(nil)
	n.ends.Wait()
}

// rest waits, but no longer than ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// put makes z the one that forks, and ends the one before. What was asked for until
// now is z.
func (n *nursery) put(z *zygote) {
	n.mu.Lock()
	old := n.current
	n.current = z
	select {
	case <-n.worn:
	default:
	}
	n.mu.Unlock()
	if old != nil {
		old.end()
	}
}
