//go:build linux

package native_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// The backend may be closed again.
func TestClose_Twice(t *testing.T) {
	b := begin(t, warm) // which closes it, too
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A backend that makes nothing is closed also when there is no time left for it.
func TestClose_ContextHasEnded(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 100 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

// Who asks for a sandbox while the backend is closed gets one, or is told why not.
// What is there afterwards is the next daemon's to end.
func TestClose_AmidCreations(t *testing.T) {
	if ordinary() {
		t.Skip("its sandboxes do not outlive their daemon")
	}
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	warm(&opts)
	b, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	const askers, most = 3, 50
	made := make(chan sandbox.Sandbox, askers*most)
	var asking sync.WaitGroup
	for asker := range askers {
		asking.Go(func() {
			for n := range most {
				x, err := b.Create(t.Context(), sandbox.ID(fmt.Sprint("sb-amid-", asker, "-", n)), python("amid"))
				if err != nil {
					if sandbox.KindOf(err) != sandbox.Unavailable {
						t.Errorf("while it is closed: %v", err)
					}
					return
				}
				made <- x
			}
		})
	}
	first := <-made
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	asking.Wait()
	if _, err := b.Create(t.Context(), "sb-late", python("late")); sandbox.KindOf(err) != sandbox.Unavailable {
		t.Errorf("afterwards: %v", err)
	}
	opts.PoolMin = 0
	next, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	close(made)
	<-first.Dead()
	for x := range made {
		<-x.Dead()
	}
	if left := recordsIn(t, opts.StateDir); len(left) > 0 {
		t.Errorf("records are left: %d", len(left))
	}
	if err := next.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// Who names a sandbox while the backend is closed is told so.
func TestNamer_Closed(t *testing.T) {
	if err := native.NameWhenClosed(); err == nil {
		t.Error("a host name was given")
	}
}
