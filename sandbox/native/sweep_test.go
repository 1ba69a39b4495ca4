//go:build linux

package native_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// abandon makes a sandbox in which something runs.
func abandon(t *testing.T, opts native.Options) (*native.Backend, sandbox.Sandbox) {
	t.Helper()
	b, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	x, err := b.Create(t.Context(), "sb-abandoned", sandbox.Spec{Session: "left", Template: sandbox.Templates()[2], Flavor: sandbox.Flavors()[0]})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Start(t.Context(), sandbox.Exec{ID: "x", Argv: []string{"sleep", "600"}}); err != nil {
		t.Fatal(err)
	}
	return b, x
}

func awaitDeath(t *testing.T, x sandbox.Sandbox) {
	t.Helper()
	select {
	case <-x.Dead():
	case <-time.After(time.Minute):
		t.Fatal("it lives on")
	}
	if err := x.Destroy(t.Context()); err != nil { // what the test's own process holds
		t.Error(err)
	}
}

// A new daemon on the same state directory ends what the old one left.
func TestNewEndsLeftovers(t *testing.T) {
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	old, x := abandon(t, opts)
	b, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := b.List(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("List = %v, %v; want none", ids, err)
	}
	awaitDeath(t, x)
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := old.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Purge does it without a daemon, and touches nothing of another's.
func TestPurge(t *testing.T) {
	mine := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	others := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	old, x := abandon(t, mine)
	other, y := abandon(t, others)
	if n, err := native.Purge(t.Context(), mine); n != 1 || err != nil {
		t.Errorf("Purge = %d, %v; want 1", n, err)
	}
	awaitDeath(t, x)
	select {
	case <-y.Dead():
		t.Error("another daemon's sandbox was ended")
	default:
	}
	if err := y.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	for _, b := range []*native.Backend{old, other} {
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A daemon that was killed while it destroyed a sandbox leaves it frozen.
func TestPurgeEndsFrozen(t *testing.T) {
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	old, x := abandon(t, opts)
	if !old.Capabilities().Freeze {
		if err := errors.Join(x.Destroy(t.Context()), old.Close(t.Context())); err != nil {
			t.Error(err)
		}
		sandboxtest.Skip(t, "sandboxes cannot be frozen here")
	}
	if err := native.FreezeAnyway(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if n, err := native.Purge(t.Context(), opts); n != 1 || err != nil {
		t.Errorf("Purge = %d, %v; want 1", n, err)
	}
	awaitDeath(t, x)
	if err := old.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A record that names a process of another kind is not believed, and one that
// cannot be read is set aside.
func TestSweepBelievesNoRecord(t *testing.T) {
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	dir := filepath.Join(opts.StateDir, "sandboxes")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	us := []byte(`{"id":"sb-us","pid":` + strconv.Itoa(os.Getpid()) + `,"started":1,"uid":0,"state":"ready","boot":"` + string(boot[:len(boot)-1]) + `"}`)
	for name, text := range map[string][]byte{"sb-us.json": us, "sb-half.json": []byte(`{"id":`)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := native.Purge(t.Context(), opts); err != nil { // we are still here to see it
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sb-half.broken")); err != nil {
		t.Errorf("the broken record was not set aside: %v", err)
	}
}

// A sandbox whose daemon stays away ends itself after the grace.
func TestOrphanGrace(t *testing.T) {
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir(), OrphanGrace: 300 * time.Millisecond}
	b, x := abandon(t, opts)
	if err := native.Hangup(x); err != nil {
		t.Fatal(err)
	}
	awaitDeath(t, x)
	if e := x.Death().Evidence; strings.Contains(e, "connection") {
		t.Errorf("it was ended by us, not by itself: %s", e)
	}
	if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}
