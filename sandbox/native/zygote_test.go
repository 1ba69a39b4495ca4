//go:build linux

package native_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
)

func TestTmpZygote(t *testing.T) {
	b, err := native.New(t.Context(), native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir(), ZygoteForks: 100, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.WithoutCancel(t.Context()))
	time.Sleep(3*time.Second)
	x, err := b.Create(t.Context(), "sb-z", sandbox.Spec{Session: "bench", Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Destroy(context.WithoutCancel(t.Context()))
	if err := x.Start(t.Context(), sandbox.Exec{ID: "a", Code: "import os,sys\nprint(open('/proc/self/status').read(), os.listdir('/proc/self/fd'), os.getppid(), open('/proc/self/cgroup').read(), len(sys.modules))", OutputLimit: 10000}); err != nil {
		t.Fatal(err)
	}
	var after uint64
	for {
		frames, err := x.Follow(t.Context(), after, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			after = f.Seq
			t.Logf("%s", f.Data)
			if f.Exit != nil {
				t.Logf("%+v", f.Exit)
				return
			}
		}
	}
}
