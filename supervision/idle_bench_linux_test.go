package supervision_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/supervision"
)

// BenchmarkIdleNative reports what an idle session over a real sandbox costs the
// daemon, in bytes of heap and stacks and in goroutines, and what it holds of
// descriptors. Nothing was run in it, so its log has nothing but its beginning.
func BenchmarkIdleNative(b *testing.B) {
	home, err := os.MkdirTemp("", "sw") //nolint:usetesting // a short name: sockets are below it
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(home)
	backend, err := native.New(b.Context(), native.Options{StateDir: filepath.Join(home, "state"), RuntimeDir: filepath.Join(home, "run")})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.WithoutCancel(b.Context())
	defer backend.Close(ctx)
	if err := backend.Ready(); err != nil {
		b.Skipf("no sandbox can be made here: %v", err)
	}
	const count = 200
	for b.Loop() {
		s, err := supervision.New(b.Context(), backend, openStore(b), supervision.Options{MaxSessions: count + 1})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.Create(b.Context(), sandbox.SessionRequest{Session: "first"}); err != nil { // what all have in common
			b.Fatal(err)
		}
		before := now()
		for i := range count {
			if _, _, err := s.Create(b.Context(), sandbox.SessionRequest{Session: strconv.Itoa(i)}); err != nil {
				b.Fatal(err)
			}
		}
		now().reportSince(b, before, count)
		if err := s.Close(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// A cost is what this process uses.
type cost struct {
	heap, stacks, goroutines, descriptors int
}

// now is what it uses when nothing is on its way any more.
func now() cost {
	time.Sleep(100 * time.Millisecond) // what has just ended gives back its stack
	for range 4 {                      // each halves the stacks that had been larger
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, _ := os.ReadDir("/proc/self/fd")
	return cost{int(m.HeapAlloc), int(m.StackInuse), runtime.NumGoroutine(), len(open)}
}

func (c cost) reportSince(b *testing.B, before cost, sessions float64) {
	b.Helper()
	heap, stacks := float64(c.heap-before.heap)/sessions, float64(c.stacks-before.stacks)/sessions
	b.ReportMetric(heap+stacks, "B/session")
	b.ReportMetric(heap, "heap-B/session")
	b.ReportMetric(stacks, "stack-B/session")
	b.ReportMetric(float64(c.goroutines-before.goroutines)/sessions, "goroutines/session")
	b.ReportMetric(float64(c.descriptors-before.descriptors)/sessions, "descriptors/session")
}
