//go:build linux

package native_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
)

// next returns the daemon that comes after one, which claims a sandbox of it.
func next(t *testing.T, opts native.Options, x sandbox.Sandbox) *native.Backend {
	t.Helper()
	if err := native.Abandon(x); err != nil { // an agent speaks with one daemon
		t.Fatal(err)
	}
	opts.Claimed = []sandbox.ID{x.ID()}
	b, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// finish ends what a test of two daemons holds.
func finish(t *testing.T, x sandbox.Sandbox, backends ...*native.Backend) {
	t.Helper()
	awaitDeath(t, x)
	for _, b := range backends {
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// userOf is the user that a sandbox has by its record.
func userOf(t *testing.T, opts native.Options, id sandbox.ID) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(opts.StateDir, "sandboxes", string(id)+".json"))
	var rec struct {
		UID int `json:"uid"`
	}
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err != nil {
		t.Fatal(err)
	}
	return rec.UID
}

// A sandbox that is made before those of the earlier daemon are adopted gets the
// user of none of them.
func TestAdopt_UserIsKept(t *testing.T) {
	if ordinary() {
		t.Skip("an ordinary user may have one id for all")
	}
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	old, x := abandon(t, opts)
	b := next(t, opts, x)
	spec := sandbox.Spec{Session: "new", Template: sandbox.Templates()[2], Flavor: sandbox.Flavors()[0]}
	taken := userOf(t, opts, x.ID())
	for _, id := range []sandbox.ID{"sb-new1", "sb-new2", "sb-new3", "sb-new4", "sb-new5", "sb-new6"} {
		y, err := b.Create(t.Context(), id, spec)
		if err != nil {
			t.Fatal(err)
		}
		if user := userOf(t, opts, id); user == taken {
			t.Errorf("%s and the sandbox that is not adopted yet are both of user %d", id, user)
		}
		if err := y.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	adopted, err := b.Adopt(t.Context(), x.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := adopted.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	finish(t, x, b, old)
}

// A daemon that is told to end while it adopts leaves the sandbox to the next.
func TestAdopt_TheEndLeavesIt(t *testing.T) {
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir(), AllowUnenforced: ordinary()}
	old, x := abandon(t, opts)
	hasty := next(t, opts, x)
	ending, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hasty.Adopt(ending, x.ID()); sandbox.KindOf(err) != sandbox.Canceled {
		t.Errorf("Adopt at the end = %v", err)
	}
	if err := hasty.Close(t.Context()); err != nil {
		t.Error(err)
	}
	b := next(t, opts, x)
	adopted, err := b.Adopt(t.Context(), x.ID())
	if err != nil {
		t.Fatal(err)
	}
	if states, err := adopted.Executions(t.Context()); err != nil || len(states) != 1 || !states[0].Running {
		t.Errorf("what it ran: %v, %v", states, err)
	}
	if err := adopted.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	finish(t, x, b, old)
}
