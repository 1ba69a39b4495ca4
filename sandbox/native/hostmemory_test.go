//go:build linux

package native_test

import (
	"log/slog"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// Who is ended because all sandboxes together ran short is told so, not that it
// used too much, and its sandbox goes on.
func TestHostMemoryIsTheCause(t *testing.T) {
	if ordinary() {
		t.Skip("nobody counts memory")
	}
	b, err := native.New(t.Context(), native.Options{
		StateDir: t.TempDir(), RuntimeDir: t.TempDir(), Memory: 256 << 20,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	const eat = "x = bytearray(500 << 20)\nx[::4096] = b'1' * len(x[::4096])"
	for name, x := range map[string]sandbox.Exec{
		"code":      {Code: eat},
		"a command": {Argv: []string{"python3", "-c", eat}},
	} {
		t.Run(name, func(t *testing.T) {
			box := sandboxtest.NewBox(t, b, sandbox.Spec{Session: "short", Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]})
			o := box.Await(t, box.Begin(t, x))
			if o.Exit.Cause != sandbox.CauseHostMemory || o.Exit.Evidence == "" || o.Exit.StateLost != (x.Code != "") {
				t.Errorf("got %+v %s, want host_memory with evidence", o.Exit, o.Stderr)
			}
			if o := box.Code(t, "print('usable')"); string(o.Stdout) != "usable\n" {
				t.Errorf("afterwards: %q %q %+v", o.Stdout, o.Stderr, o.Exit)
			}
		})
	}
}
