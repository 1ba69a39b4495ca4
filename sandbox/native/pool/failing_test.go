package pool_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/native/pool"
)

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (*lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *lines) WithGroup(string) slog.Handler          { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := r.Level.String()
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "retry" {
			line += " " + a.Value.String()
		}
		return true
	})
	l.all = append(l.all, line)
	return nil
}

func (l *lines) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func TestPool_BacksOffAndSaysSoOnceAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		f := &factory{took: time.Millisecond, fails: broken.Load}
		said := &lines{}
		o := f.options()
		o.Logger = slog.New(said)
		p := pool.New(t.Context(), o)
		defer f.check(t, p)
		after(time.Second)
		// Two at once, of which one is a step; then after 0.1, 0.2 and 0.4 s one each.
		equal(t, "tries in the first second", f.seen().tries, 5)
		equal(t, "said", said.told(), []string{"WARN 100ms", "WARN 200ms", "WARN 400ms", "WARN 800ms"})
		after(10 * time.Minute)
		before := f.seen().tries
		equal(t, "said in all", len(said.told()), 10)
		after(5 * time.Minute)
		equal(t, "tries in five more minutes", f.seen().tries-before, 10)
		equal(t, "said at the longest step", len(said.told()), 10)
		f.take(p, "warm") // does not hurry it
		synctest.Wait()
		equal(t, "tries after one asked", f.seen().tries-before, 10)
		broken.Store(false)
		after(31 * time.Second)
		equal(t, "ready", stat(t, p, "warm").Ready, 2)
		equal(t, "said at last", said.told()[10:], []string{"INFO"})
	})
}

func TestPool_OneFailingKeyDoesNotHinderOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: time.Millisecond}
		o := f.options()
		o.Parallel = 1
		o.Make = func(ctx context.Context, key string) (*thing, error) {
			if key == "warm" {
				return nil, errFailed
			}
			return f.make(ctx, key)
		}
		p := pool.New(t.Context(), o)
		defer f.check(t, p)
		f.take(p, "good")
		after(50 * time.Millisecond)
		equal(t, "ready", stat(t, p, "good").Ready, 2)
	})
}
