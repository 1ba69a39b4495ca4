//go:build linux

package native_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// spec is that of a sandbox with a Python kernel.
func spec() sandbox.Spec {
	return sandbox.Spec{Session: "left", Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]}
}

// An heir is a backend and the one before it on the same directories.
type heir struct {
	opts       native.Options
	old, fresh *native.Backend
}

// bequeath makes a sandbox, lets its daemon go away, and starts another daemon
// that claims it.
func bequeath(t *testing.T, before func(sandbox.Sandbox)) *heir {
	t.Helper()
	h := &heir{opts: native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}}
	var err error
	if h.old, err = native.New(t.Context(), h.opts); err != nil {
		t.Fatal(err)
	}
	if err := h.old.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	if !h.old.Capabilities().Survives {
		sandboxtest.Skip(t, "sandboxes do not outlive their daemon here")
	}
	x, err := h.old.Create(t.Context(), "sb-left", spec())
	if err != nil {
		t.Fatal(err)
	}
	before(x)
	if err := native.Abandon(x); err != nil {
		t.Fatal(err)
	}
	h.opts.Claimed = []sandbox.ID{"sb-left"}
	if h.fresh, err = native.New(t.Context(), h.opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := x.Destroy(ctx); err != nil { // what the old daemon holds of it
			t.Error(err)
		}
		for _, b := range []*native.Backend{h.fresh, h.old} {
			if err := b.Close(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	return h
}

// frames follows until an execution has ended.
func frames(t *testing.T, x sandbox.Sandbox, after uint64, id sandbox.ExecID) (text string, last uint64, exit *sandbox.Exit) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		got, err := x.Follow(ctx, after, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got {
			after = f.Seq
			if f.Exec != id {
				continue
			}
			if f.Exit != nil {
				return text, after, f.Exit
			}
			text += string(f.Data)
		}
	}
}

func TestAdopt_GoesOnWhereItWas(t *testing.T) {
	var cursor uint64
	h := bequeath(t, func(x sandbox.Sandbox) {
		for _, e := range []sandbox.Exec{
			{ID: "code", Code: "x = 41", OutputLimit: 1 << 20},
			{ID: "command", Argv: []string{"sh", "-c", "echo one; while [ ! -e /work/go ]; do sleep 0.05; done; echo two"}, OutputLimit: 1 << 20},
		} {
			if err := x.Start(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		_, cursor, _ = frames(t, x, 0, "code")
	})
	x, err := h.fresh.Adopt(t.Context(), "sb-left")
	if err != nil {
		t.Fatal(err)
	}
	known, err := x.Executions(t.Context())
	if err != nil || len(known) == 0 {
		t.Errorf("it runs %v, %v", known, err)
	}
	again := sandbox.Exec{ID: "command", Argv: []string{"false"}} // a daemon that is not sure asks again
	if err := x.Start(t.Context(), again); err != nil {
		t.Error(err)
	}
	if err := x.Start(t.Context(), sandbox.Exec{ID: "more", Code: "print(x + 1)\nopen('/work/go', 'w')", OutputLimit: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	text, cursor, exit := frames(t, x, cursor, "command")
	if !strings.HasSuffix(text, "two\n") || exit.Code != 0 {
		t.Errorf("got %q and %+v", text, exit)
	}
	if stats, err := x.Stats(t.Context()); err != nil || stats.Tasks == 0 {
		t.Errorf("%+v, %v", stats, err)
	}
	if _, err := x.Follow(t.Context(), cursor, 0); err != nil {
		t.Error(err)
	}
	if err := x.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if death := x.Death(); death.Cause != sandbox.CauseKilled {
		t.Errorf("got %+v", death)
	}
}

func TestAdopt_OneThatDies(t *testing.T) {
	h := bequeath(t, func(sandbox.Sandbox) {})
	x, err := h.fresh.Adopt(t.Context(), "sb-left")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range agents(t) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-x.Dead():
	case <-time.After(time.Minute):
		t.Fatal("nobody tells that it is dead")
	}
	if death := x.Death(); death.Cause != sandbox.CauseAgentLost || death.Evidence == "" {
		t.Errorf("got %+v", death)
	}
	if err := x.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
}

// A record that is not of a sandbox that runs gives no sandbox, and what there
// was is gone after it; a process that it names by chance lives on.
func TestAdopt_BelievesNoRecord(t *testing.T) {
	for name, forge := range map[string]func(map[string]any){
		"another boot":    func(r map[string]any) { r["boot"] = "00000000-0000-0000-0000-000000000000" },
		"another start":   func(r map[string]any) { r["started"] = 1 },
		"another user":    func(r map[string]any) { r["uid"] = 12345 },
		"another process": func(r map[string]any) { r["pid"] = os.Getpid() },
		"another secret":  func(r map[string]any) { r["secret"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" },
		"half made":       func(r map[string]any) { r["state"] = "creating" },
	} {
		t.Run(name, func(t *testing.T) {
			h := bequeath(t, func(sandbox.Sandbox) {})
			path := filepath.Join(h.opts.StateDir, "sandboxes", "sb-left.json")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			record := map[string]any{}
			if err := json.Unmarshal(data, &record); err != nil {
				t.Fatal(err)
			}
			forge(record)
			if data, err = json.Marshal(record); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = h.fresh.Adopt(t.Context(), "sb-left")
			if e, ok := errors.AsType[*sandbox.Error](err); !ok || e.Kind != sandbox.Stopped || e.Cause != sandbox.CauseAgentLost || e.Detail == "" {
				t.Errorf("got %v", err)
			}
			if ids, err := h.fresh.List(t.Context()); err != nil || len(ids) > 0 {
				t.Errorf("records %v are left, %v", ids, err)
			}
		})
	}
}

func TestAdopt_Unknown(t *testing.T) {
	h := bequeath(t, func(sandbox.Sandbox) {})
	if _, err := h.fresh.Adopt(t.Context(), "sb-nobody"); sandbox.KindOf(err) != sandbox.NotFound {
		t.Errorf("got %v", err)
	}
	if x, err := h.fresh.Adopt(t.Context(), "sb-left"); err != nil {
		t.Error(err)
	} else if err := x.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
}

func BenchmarkAdopt(b *testing.B) {
	opts := native.Options{StateDir: b.TempDir(), RuntimeDir: b.TempDir()}
	old, err := native.New(b.Context(), opts)
	if err != nil || old.Ready() != nil {
		b.Skip(err, old.Ready())
	}
	x, err := old.Create(b.Context(), "sb-left", spec())
	if err != nil {
		b.Fatal(err)
	}
	opts.Claimed = []sandbox.ID{"sb-left"}
	fresh, err := native.New(b.Context(), opts)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		adopted, err := fresh.Adopt(b.Context(), "sb-left")
		if err != nil {
			b.Fatal(err)
		}
		if err := native.Abandon(adopted); err != nil {
			b.Fatal(err)
		}
	}
	for _, err := range []error{x.Destroy(b.Context()), fresh.Close(b.Context()), old.Close(b.Context())} {
		if err != nil {
			b.Error(err)
		}
	}
}
