package supervision_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// Each call to the backend fails once, at each place in a life of three daemons:
// everybody is answered, and nothing is left.
func TestFaults_AtEachStep(t *testing.T) {
	for _, method := range []string{"Create", "Adopt", "Destroy", "Start", "Follow", "Executions", "Signal", "Transfer"} {
		for n := 1; n <= 4; n++ {
			for _, delayed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", method, n, delayed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { threeLives(t, method, n, delayed) })
				})
			}
		}
	}
}

func threeLives(t *testing.T, method string, n int, delayed bool) {
	t.Helper()
	backend := sandboxtest.NewFaulty(fake())
	d := dynasty(t, backend, supervision.Options{CreateLimit: 10 * time.Second})
	if delayed {
		backend.Delay(method, n, 1, 5*time.Second)
	} else {
		backend.Fail(method, n, 1, &sandbox.Error{Op: method, Kind: sandbox.Other, Err: errors.New("no luck")})
	}
	for life := range 3 {
		for _, name := range []string{"a", "b"} {
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
			_, err := d.now.Execute(ctx, code(name, "print:x"))
			if ctx.Err() != nil {
				t.Errorf("life %d of %s: nobody answered: %v", life, name, err)
			}
			stop()
			if _, _, _, err := d.now.Start(t.Context(), code(name, "print:y;sleep:20s;print:z")); err != nil {
				t.Logf("start: %v", err)
			}
			if transfer, err := d.now.Transfer(t.Context(), sandbox.Ref{Name: name}, sandbox.FileRequest{Op: sandbox.FileStat, Path: "/work"}); err == nil {
				if err := transfer.Close(); err != nil {
					t.Logf("close: %v", err)
				}
			}
		}
		all, err := d.now.ListExecutions(t.Context(), sandbox.ExecQuery{Ref: sandbox.Ref{Name: "b"}})
		if err == nil && len(all) > 0 {
			if err := d.now.Signal(t.Context(), "", all[0].ID, sandbox.Interrupt); err != nil {
				t.Logf("signal: %v", err)
			}
		}
		if life < 2 {
			d.restart()
		}
	}
	for _, name := range []string{"a", "b"} {
		if err := d.now.Stop(t.Context(), sandbox.Ref{Name: name}); err != nil && sandbox.KindOf(err) != sandbox.NotFound {
			t.Errorf("stop: %v", err)
		}
	}
	synctest.Wait()
	if left, err := backend.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("sandboxes %v are left, %v", left, err)
	}
	if left, err := os.ReadDir(filepath.Join(d.dir, "live")); err != nil || len(left) > 0 {
		t.Errorf("records %v are left, %v", left, err)
	}
}
