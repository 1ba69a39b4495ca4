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

func TestTmpPool(t *testing.T) {
	b, err := native.New(t.Context(), native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir(), ZygoteForks: 100, PoolMin: 4, PoolMax: 8, PoolShare: 10, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.WithoutCancel(t.Context()))
	time.Sleep(2 * time.Second)
	for i, tmpl := range sandbox.Templates() {
		f := sandbox.Flavors()[i]
		began := time.Now()
		x, err := b.Create(t.Context(), sandbox.ID("sb-"+tmpl.Name), sandbox.Spec{Session: "hello-" + tmpl.Name, Template: tmpl, Flavor: f, Env: []string{"FOO=it's", "BAR="}})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(tmpl.Name, time.Since(began))
		code := map[string]string{"python": "import os;os.environ['FOO']+open('/proc/sys/kernel/hostname').read()+str(os.statvfs('/work').f_blocks*4096>>20)", "node": "process.env.FOO+fs.readFileSync('/proc/sys/kernel/hostname')", "bash": "echo $FOO; hostname; df /work"}[tmpl.Name]
		if err := x.Start(t.Context(), sandbox.Exec{ID: "a", Code: code, OutputLimit: 10000}); err != nil {
			t.Fatal(err)
		}
		var after uint64
		for done := false; !done; {
			frames, err := x.Follow(t.Context(), after, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range frames {
				after = f.Seq
				t.Logf("%s", f.Data)
				if f.Exit != nil {
					t.Logf("%+v", f.Exit)
					done = true
				}
			}
		}
		t.Log(tmpl.Name, time.Since(began))
		if err := x.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
