//go:build linux

package native_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// One session after another gets a ready sandbox, whoever runs the daemon.
func TestReady_ServesOn(t *testing.T) {
	b := begin(t, warm)
	for i := range 3 {
		ready(t, b, "python")
		x, err := b.Create(t.Context(), sandbox.ID(fmt.Sprint("sb-on-", i)), python("on"))
		if err != nil {
			t.Fatal(err)
		}
		if !native.WasReady(x) {
			t.Errorf("sandbox %d was not a ready one", i)
		}
		if err := x.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A daemon that was killed between the two steps of a hand-over leaves two records
// of one sandbox. The next has one sandbox, if it is claimed, and none otherwise.
func TestReady_TwoRecords(t *testing.T) {
	if ordinary() {
		t.Skip("its sandboxes do not outlive their daemon")
	}
	for name, claimed := range map[string][]sandbox.ID{"claimed": {"sb-twofold"}, "nobody's": nil} {
		t.Run(name, func(t *testing.T) { twoRecords(t, claimed) })
	}
}

func twoRecords(t *testing.T, claimed []sandbox.ID) {
	t.Helper()
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	warm(&opts)
	old, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	ready(t, old, "python")
	before := recordsIn(t, opts.StateDir)
	x, err := old.Create(t.Context(), "sb-twofold", python("twofold"))
	if err != nil {
		t.Fatal(err)
	}
	if err := native.Abandon(x); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, data := range before { // of the one that was given, and of others, which have ended
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts.Claimed = claimed
	opts.PoolMin = 0
	fresh, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := fresh.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	if len(claimed) > 0 {
		if err := native.EndOrphans(t.Context(), fresh); err != nil {
			t.Error(err)
		}
		heir, err := fresh.Adopt(t.Context(), "sb-twofold")
		if err != nil {
			t.Fatal(err)
		}
		if err := native.EndOrphans(t.Context(), fresh); err != nil {
			t.Error(err)
		}
		if err := heir.Start(t.Context(), sandbox.Exec{ID: "a", Code: "6 * 7", OutputLimit: 1000}); err != nil {
			t.Error(err)
		}
		if err := heir.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if left := recordsIn(t, opts.StateDir); len(left) > 0 {
		t.Errorf("records are left: %v", left)
	}
	<-x.Dead()
	if err := x.Destroy(t.Context()); err != nil { // what the old daemon holds of it
		t.Error(err)
	}
}

func recordsIn(t *testing.T, state string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(state, "sandboxes", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = data
	}
	return all
}
