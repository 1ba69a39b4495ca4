//go:build linux

package native_test

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
)

func openBench(b *testing.B, change ...func(*native.Options)) *native.Backend {
	b.Helper()
	opts := native.Options{StateDir: b.TempDir(), RuntimeDir: b.TempDir()}
	for _, f := range change {
		f(&opts)
	}
	backend, err := native.New(b.Context(), opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = backend.Close(context.WithoutCancel(b.Context())) })
	if err := backend.Ready(); err != nil {
		b.Skip(err)
	}
	native.AwaitZygotes(b.Context(), backend)
	return backend
}

func evaluate(b *testing.B, x sandbox.Sandbox, id sandbox.ExecID, after uint64) uint64 {
	b.Helper()
	if err := x.Start(b.Context(), sandbox.Exec{ID: id, Code: "1 + 1", OutputLimit: 1000}); err != nil {
		b.Fatal(err)
	}
	for {
		frames, err := x.Follow(b.Context(), after, time.Second)
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range frames {
			after = f.Seq
			if f.Exit != nil && f.Exec == id {
				return after
			}
		}
	}
}

// The baseline: a bare interpreter, without any wall.
func BenchmarkBarePython(b *testing.B) {
	for b.Loop() {
		if err := exec.CommandContext(b.Context(), "/usr/bin/python3", "-I", "-c", "print(1 + 1)").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateFirstResultDestroy(b *testing.B) {
	backend := openBench(b)
	n := 0
	for b.Loop() {
		n++
		cycle(b, backend, n)
	}
}

// A kernel that a zygote forks, and no ready sandbox.
func BenchmarkForkedFirstResultDestroy(b *testing.B) {
	backend := openBench(b, func(o *native.Options) { o.ZygoteForks = 10000 })
	n := 0
	for b.Loop() {
		n++
		cycle(b, backend, n)
	}
}

// What can be kept up with ready sandboxes, by as many askers as processors.
func BenchmarkReadyFirstResultDestroy(b *testing.B) {
	backend := openBench(b, func(o *native.Options) {
		o.ZygoteForks, o.PoolMin, o.PoolMax, o.PoolShare = 10000, 8, 64, 10
	})
	var n atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			cycle(b, backend, int(n.Add(1)))
		}
	})
}

// From a ready sandbox to the first result, alone.
func BenchmarkReadyFirstResult(b *testing.B) {
	backend := openBench(b, func(o *native.Options) {
		o.ZygoteForks, o.PoolMin, o.PoolMax, o.PoolShare = 10000, 8, 64, 10
	})
	n := 0
	for b.Loop() {
		b.StopTimer()
		for native.ReadySandboxes(backend, "python") < 8 {
			time.Sleep(time.Millisecond)
		}
		n++
		b.StartTimer()
		x, err := backend.Create(b.Context(), sandbox.ID(fmt.Sprintf("sb-bench-%d", n)), python("bench"))
		if err != nil {
			b.Fatal(err)
		}
		evaluate(b, x, "first", 0)
		b.StopTimer()
		if err := x.Destroy(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func cycle(b *testing.B, backend *native.Backend, n int) {
	b.Helper()
	x, err := backend.Create(b.Context(), sandbox.ID(fmt.Sprintf("sb-bench-%d", n)), python("bench"))
	if err != nil {
		b.Fatal(err)
	}
	evaluate(b, x, "first", 0)
	if err := x.Destroy(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkWarmCode(b *testing.B) {
	backend := openBench(b)
	x, err := backend.Create(b.Context(), "sb-warm", sandbox.Spec{Session: "bench", Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = x.Destroy(context.WithoutCancel(b.Context())) }()
	var after uint64
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		after = evaluate(b, x, sandbox.ExecID(strconv.Itoa(n)), after)
	}
}

// A small file, written and read again.
func BenchmarkWriteReadFile(b *testing.B) {
	x, err := openBench(b).Create(b.Context(), "sb-files", sandbox.Spec{Session: "bench", Template: sandbox.Templates()[2], Flavor: sandbox.Flavors()[0]})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = x.Destroy(context.WithoutCancel(b.Context())) }()
	data := make([]byte, 1<<10)
	for b.Loop() {
		transfer(b, x, sandbox.FileRequest{Op: sandbox.FileWrite, Path: "small"}, data)
		transfer(b, x, sandbox.FileRequest{Op: sandbox.FileRead, Path: "small"}, nil)
	}
}

func transfer(b *testing.B, x sandbox.Sandbox, r sandbox.FileRequest, in []byte) {
	b.Helper()
	t, err := x.Transfer(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	if r.Takes() {
		if _, err := t.Write(in); err != nil {
			b.Fatal(err)
		}
		if err := t.CloseWrite(); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, t); err != nil {
		b.Fatal(err)
	}
	if err := t.Close(); err != nil {
		b.Fatal(err)
	}
}
