package supervision_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// BenchmarkIdle reports what an idle session costs the daemon, the fake sandbox
// included.
func BenchmarkIdle(b *testing.B) {
	const count = 5000
	for b.Loop() {
		s, err := supervision.New(b.Context(), &sandboxtest.Fake{}, openStore(b), supervision.Options{MaxSessions: count})
		if err != nil {
			b.Fatal(err)
		}
		before := inUse()
		for i := range count {
			if _, _, err := s.Create(b.Context(), sandbox.SessionRequest{Session: strconv.Itoa(i)}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(inUse()-before)/count, "B/session")
		if err := s.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Fatal(err)
		}
	}
}

// inUse is the memory of heap and stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkExecute is one call to a session that there is.
func BenchmarkExecute(b *testing.B) {
	s, err := supervision.New(b.Context(), &sandboxtest.Fake{}, openStore(b), supervision.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if result, err := s.Execute(b.Context(), code("a", "print:x")); err != nil || string(result.Stdout) != "x\n" {
			b.Fatal(result, err)
		}
	}
	if err := s.Close(context.WithoutCancel(b.Context())); err != nil {
		b.Fatal(err)
	}
}
