//go:build linux

package native_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// A cold sandbox is one that can be frozen.
type cold interface {
	sandbox.Sandbox
	sandbox.Freezer
}

// freezable makes a sandbox on a host that can freeze.
func freezable(t *testing.T, id sandbox.ID) cold {
	t.Helper()
	b, err := native.New(t.Context(), native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	if !b.Capabilities().Freeze {
		sandboxtest.Skip(t, "sandboxes cannot be frozen here")
	}
	x, err := b.Create(t.Context(), id, spec())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Destroy(ctx); err != nil {
			t.Error(err)
		}
	})
	return x.(cold)
}

// A fromStart is a sandbox whose frames are read one after the other.
type fromStart struct {
	cold
	after uint64
}

// runs runs code or a command to its end and returns its output.
func (f *fromStart) runs(t *testing.T, e sandbox.Exec) string {
	t.Helper()
	e.OutputLimit = 1 << 20
	if err := f.Start(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	text, after, exit := frames(t, f.cold, f.after, e.ID)
	f.after = after
	if exit.Code != 0 {
		t.Errorf("%s: %q, %+v", e.ID, text, exit)
	}
	return text
}

func freeze(t *testing.T, x cold) {
	t.Helper()
	if err := x.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !x.Frozen() {
		t.Fatal("it says that it is not frozen")
	}
}

// worked is the processor time of a sandbox's work.
func worked(t *testing.T, x cold) time.Duration {
	t.Helper()
	stats, err := x.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.CPU
}

// Whatever is asked of a frozen sandbox thaws it, and finds all as it was.
func TestFreeze_EveryUseThaws(t *testing.T) {
	x := &fromStart{cold: freezable(t, "sb-thaws")}
	x.runs(t, sandbox.Exec{ID: "first", Code: "x = 41"})
	uses := map[string]func(t *testing.T){
		"code": func(t *testing.T) {
			t.Helper()
			if got := x.runs(t, sandbox.Exec{ID: "code", Code: "print(x + 1)"}); got != "42\n" {
				t.Errorf("got %q", got)
			}
		},
		"command": func(t *testing.T) {
			t.Helper()
			if got := x.runs(t, sandbox.Exec{ID: "command", Argv: []string{"echo", "hello"}}); got != "hello\n" {
				t.Errorf("got %q", got)
			}
		},
		"files": func(t *testing.T) {
			t.Helper()
			tr, err := x.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileList, Path: "/work"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(tr); err != nil {
				t.Error(err)
			}
			if err := x.Freeze(t.Context()); sandbox.KindOf(err) != sandbox.Exhausted { // until it is closed
				t.Errorf("frozen with a transfer open: %v", err)
			}
			if err := errors.Join(tr.Close(), tr.Close()); err != nil {
				t.Error(err)
			}
		},
		"signal": func(t *testing.T) {
			t.Helper()
			if err := x.Signal(t.Context(), "first", sandbox.Interrupt); err != nil {
				t.Error(err)
			}
		},
		"stdin": func(t *testing.T) {
			t.Helper()
			if _, err := x.WriteStdin(t.Context(), "first", 0, []byte("x")); sandbox.KindOf(err) == sandbox.Stopped {
				t.Error(err)
			}
		},
		"thaw": func(t *testing.T) {
			t.Helper()
			if err := errors.Join(x.Thaw(t.Context()), x.Thaw(t.Context())); err != nil {
				t.Error(err)
			}
		},
	}
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			freeze(t, x)
			use(t)
			if x.Frozen() {
				t.Error("it is frozen still")
			}
		})
	}
}

// A frozen sandbox uses no processor time, though a thread of its interpreter
// would, and goes on with it afterwards.
func TestFreeze_StandsStill(t *testing.T) {
	x := &fromStart{cold: freezable(t, "sb-still")}
	x.runs(t, sandbox.Exec{ID: "busy", Code: "import threading\nn = 0\ndef count():\n    global n\n    while True: n += 1\nthreading.Thread(target=count, daemon=True).start()"})
	freeze(t, x)
	before := worked(t, x)
	time.Sleep(100 * time.Millisecond)
	if after := worked(t, x); after != before {
		t.Errorf("it used %v", after-before)
	}
	got := x.runs(t, sandbox.Exec{ID: "look", Code: "a = n\nimport time\nwhile n == a: time.sleep(0.001)\nprint('goes on')"})
	if got != "goes on\n" {
		t.Errorf("got %q", got)
	}
}

// What runs, or was left running, keeps a sandbox from being frozen.
func TestFreeze_NeverWhatRuns(t *testing.T) {
	x := &fromStart{cold: freezable(t, "sb-runs")}
	refused := func(t *testing.T, while string) {
		t.Helper()
		if err := x.Freeze(t.Context()); sandbox.KindOf(err) != sandbox.Exhausted || x.Frozen() {
			t.Errorf("frozen while %s: %v", while, err)
		}
	}
	if err := x.Start(t.Context(), sandbox.Exec{ID: "code", Code: "import os, time\nwhile not os.path.exists('/work/go'): time.sleep(0.01)", OutputLimit: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	refused(t, "code runs")
	if err := x.Start(t.Context(), sandbox.Exec{ID: "go", Argv: []string{"touch", "/work/go"}, OutputLimit: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	_, x.after, _ = frames(t, x.cold, x.after, "code")
	if known, err := x.Executions(t.Context()); err != nil { // the command may have ended first, or not
		t.Fatal(known, err)
	}
	x.runs(t, sandbox.Exec{ID: "background", Argv: []string{"sh", "-c", "sleep 600 & echo $! > /work/pid"}, Background: true})
	refused(t, "a command has left a process running")
	x.runs(t, sandbox.Exec{ID: "kill", Argv: []string{"sh", "-c", "kill -9 $(cat /work/pid)"}})
	x.runs(t, sandbox.Exec{ID: "popen", Code: "import subprocess\np = subprocess.Popen(['sleep', '600'])"})
	refused(t, "code has left a process running")
	x.runs(t, sandbox.Exec{ID: "reap", Code: "p.kill(); p.wait()"})
	freeze(t, x)
}

// Nothing is left of a sandbox that was frozen when it was destroyed.
func TestFreeze_Destroy(t *testing.T) {
	x := &fromStart{cold: freezable(t, "sb-gone")}
	x.runs(t, sandbox.Exec{ID: "first", Code: "x = 1"})
	freeze(t, x)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := x.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	if err := x.Freeze(t.Context()); sandbox.KindOf(err) != sandbox.Stopped {
		t.Errorf("freeze of what is gone: %v", err)
	}
	left, err := filepath.Glob("/sys/fs/cgroup/*/sandwarden/*/sb-gone")
	if more, _ := filepath.Glob("/sys/fs/cgroup/sandwarden/*/sb-gone"); err != nil || len(left)+len(more) > 0 {
		t.Errorf("left: %v %v %v", left, more, err)
	}
}

// The agent of a frozen sandbox dies, and the sandbox is given back all the same.
func TestFreeze_AgentKilled(t *testing.T) {
	x := &fromStart{cold: freezable(t, "sb-killed")}
	x.runs(t, sandbox.Exec{ID: "first", Code: "x = 1"})
	freeze(t, x)
	if err := x.cold.(sandboxtest.AgentKiller).KillAgent(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := x.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
}

// Users and freezings come together as they like: no user ever finds the sandbox
// frozen for longer than its own thawing takes, and none of its work is lost.
func TestFreeze_RacesWithUse(t *testing.T) {
	x := &fromStart{cold: freezable(t, "sb-races")}
	x.runs(t, sandbox.Exec{ID: "first", Code: "n = 0"})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var froze atomic.Int64
	wg.Go(func() {
		for ctx.Err() == nil {
			err := x.Freeze(ctx)
			switch {
			case err == nil:
				froze.Add(1)
			case sandbox.KindOf(err) != sandbox.Exhausted && ctx.Err() == nil:
				t.Errorf("freeze: %v", err)
			}
		}
	})
	const fewest, most = 50, 5000
	rounds := 0
	for ; rounds < fewest || froze.Load() == 0 && rounds < most; rounds++ {
		x.runs(t, sandbox.Exec{ID: sandbox.ExecID("n" + time.Now().Format("150405.000000000")), Code: "n += 1"})
	}
	stop()
	wg.Wait()
	if got := strings.TrimSpace(x.runs(t, sandbox.Exec{ID: "last", Code: "print(n)"})); got != strconv.Itoa(rounds) {
		t.Errorf("n is %s after %d rounds", got, rounds)
	}
	if froze.Load() == 0 {
		t.Error("it was never frozen")
	}
}

// A sandbox that an earlier daemon left frozen goes on with the next.
func TestFreeze_Adopt(t *testing.T) {
	var cursor uint64
	h := bequeath(t, func(x sandbox.Sandbox) {
		f := &fromStart{cold: x.(cold)}
		f.runs(t, sandbox.Exec{ID: "first", Code: "x = 41"})
		freeze(t, f)
		cursor = f.after
	})
	x, err := h.fresh.Adopt(t.Context(), "sb-left")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	f := &fromStart{cold: x.(cold), after: cursor}
	if f.Frozen() {
		t.Error("it says that it is frozen")
	}
	if got := f.runs(t, sandbox.Exec{ID: "next", Code: "print(x + 1)"}); got != "42\n" {
		t.Errorf("got %q", got)
	}
	freeze(t, f) // by what the agent tells, though this daemon began nothing
}

// Pages of files are given back, and read again when they are used.
func TestReclaim_TakesPagesOfFiles(t *testing.T) {
	x := &fromStart{cold: freezable(t, "sb-reclaim")}
	x.runs(t, sandbox.Exec{ID: "first", Code: "import json, decimal, email.message, asyncio"})
	freeze(t, x)
	before, err := x.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	freed, err := x.Reclaim(t.Context())
	if sandbox.KindOf(err) == sandbox.Unsupported || errors.Is(err, os.ErrNotExist) {
		sandboxtest.Skip(t, "memory cannot be reclaimed here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	after, err := x.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d bytes freed, %d are left", freed, before.MemoryBytes, after.MemoryBytes)
	if freed < 0 || after.MemoryBytes > before.MemoryBytes {
		t.Errorf("freed %d: from %d to %d", freed, before.MemoryBytes, after.MemoryBytes)
	}
	if got := x.runs(t, sandbox.Exec{ID: "next", Code: "print(json.dumps(decimal.Decimal(1) == 1))"}); got != "true\n" {
		t.Errorf("got %q", got)
	}
}
