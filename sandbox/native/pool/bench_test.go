package pool_test

import (
	"context"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/native/pool"
)

// What one pays who takes a thing that is ready, the waking of the controller
// included.
func BenchmarkTake(b *testing.B) {
	const most = 4096
	p := pool.New(b.Context(), pool.Options[string, int]{
		Make:    func(context.Context, string) (int, error) { return 1, nil },
		Discard: func(int) {}, Alive: func(int) bool { return true },
		Min: most, Max: most, Warm: []string{"key"},
	})
	defer func() {
		if err := p.Close(b.Context()); err != nil {
			b.Error(err)
		}
	}()
	filled := func() {
		b.StopTimer()
		for p.Stats()[0].Ready < most {
			time.Sleep(time.Millisecond)
		}
		b.StartTimer()
	}
	filled()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Take("key"); !ok {
			filled()
		}
	}
}

// What one pays who finds nothing.
func BenchmarkTake_Miss(b *testing.B) {
	p := pool.New(b.Context(), pool.Options[string, int]{
		Make:    func(ctx context.Context, _ string) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
		Discard: func(int) {}, Alive: func(int) bool { return true },
		Min: 4, Max: 64, Limit: time.Hour,
	})
	b.ReportAllocs()
	for b.Loop() {
		p.Take("key")
	}
	if err := p.Close(b.Context()); err != nil {
		b.Error(err)
	}
}
