package microsandbox_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox/msbtest"
)

// BenchmarkWarm tells what an execution costs beside a command of the server,
// which is run before each: how many times as long, and how many commands.
func BenchmarkWarm(b *testing.B) {
	for name, x := range map[string]sandbox.Exec{
		"code":    {Code: "1 + 1", OutputLimit: 1000},
		"command": {Argv: []string{"echo", "2"}, OutputLimit: 1000},
	} {
		b.Run(name, func(b *testing.B) { benchWarm(b, x) })
	}
}

func benchWarm(b *testing.B, x sandbox.Exec) {
	b.Helper()
	s := serve(b, msbtest.Options{})
	backend := open(b, s, microsandbox.Options{WatchInterval: time.Hour})
	box, err := backend.Create(b.Context(), "sb-1", spec())
	if err != nil {
		b.Fatal(err)
	}
	after := finish(b, box, sandbox.Exec{ID: "first", Code: "0", OutputLimit: 1000}, 0)
	var bare, warm time.Duration
	s.Calls()
	n := 0
	for b.Loop() {
		began := time.Now()
		if err := backend.RunBare(b.Context(), "sb-1", "echo", "2"); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		x.ID = sandbox.ExecID(strconv.Itoa(n))
		after = finish(b, box, x, after)
		bare, warm = bare+middle.Sub(began), warm+time.Since(middle)
		n++
	}
	b.ReportMetric(float64(bare.Microseconds())/float64(n), "bare-us")
	b.ReportMetric(float64(warm)/float64(bare), "times-bare")
	b.ReportMetric(float64(len(s.Calls())-n)/float64(n), "commands")
}

// BenchmarkCreate tells what a sandbox costs beside one that the server starts
// alone, just before it: how many times as long, and how many calls.
func BenchmarkCreate(b *testing.B) {
	s := serve(b, msbtest.Options{})
	backend := open(b, s, microsandbox.Options{WatchInterval: time.Hour})
	var bare, whole time.Duration
	s.Calls()
	n, calls := 0, 0
	for b.Loop() {
		id := strconv.Itoa(n)
		began := time.Now()
		if err := microsandbox.StartNamed(b.Context(), s.URL, "bare-"+id); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		s.Calls()
		box, err := backend.Create(b.Context(), sandbox.ID("sb-"+id), spec())
		if err != nil {
			b.Fatal(err)
		}
		bare, whole = bare+middle.Sub(began), whole+time.Since(middle)
		calls += len(s.Calls())
		n++
		if err := errors.Join(box.Destroy(b.Context()), s.Kill("bare-"+id)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bare.Microseconds())/float64(n), "bare-us")
	b.ReportMetric(float64(whole)/float64(bare), "times-bare")
	b.ReportMetric(float64(calls)/float64(n), "calls")
}

// finish runs an execution to its end, whose number it returns.
func finish(b *testing.B, box sandbox.Sandbox, x sandbox.Exec, after uint64) uint64 {
	b.Helper()
	if err := box.Start(b.Context(), x); err != nil {
		b.Fatal(err)
	}
	for {
		frames, err := box.Follow(b.Context(), after, time.Second)
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range frames {
			after = f.Seq
			if f.Exit != nil && f.Exec == x.ID {
				return after
			}
		}
	}
}
