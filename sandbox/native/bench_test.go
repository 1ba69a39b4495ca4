//go:build linux

package native_test

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
)

func openBench(b *testing.B) *native.Backend {
	b.Helper()
	backend, err := native.New(b.Context(), native.Options{StateDir: b.TempDir(), RuntimeDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = backend.Close(context.WithoutCancel(b.Context())) })
	if err := backend.Ready(); err != nil {
		b.Skip(err)
	}
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
	spec := sandbox.Spec{Session: "bench", Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]}
	n := 0
	for b.Loop() {
		n++
		x, err := backend.Create(b.Context(), sandbox.ID(fmt.Sprintf("sb-bench-%d", n)), spec)
		if err != nil {
			b.Fatal(err)
		}
		evaluate(b, x, "first", 0)
		if err := x.Destroy(b.Context()); err != nil {
			b.Fatal(err)
		}
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
