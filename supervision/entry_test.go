package supervision_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// A call takes a session that is there without a word to the supervisor, which
// meanwhile ends those that nobody uses to make room: no call finds one that is
// about to end.
func TestExecute_NeverInASessionThatIsEvicted(t *testing.T) {
	s, err := supervision.New(t.Context(), &sandboxtest.Fake{}, openStore(t), supervision.Options{MaxSessions: 2})
	if err != nil {
		t.Fatal(err)
	}
	const callers, names, calls = 8, 5, 40
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for n := range calls {
				name := fmt.Sprintf("s%d", (caller*3+n)%names)
				result, err := s.Execute(t.Context(), code(name, "print:"+name))
				if err != nil || string(result.Stdout) != name+"\n" || result.Session.Name != name {
					t.Errorf("%s: %q in %q, %v", name, result.Stdout, result.Session.Name, err)
				}
			}
		})
	}
	all.Wait()
	if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// Who stops a session and calls again gets a fresh one, and its snapshot is that
// of the session.
func TestExecute_AfterAStop(t *testing.T) {
	s, err := supervision.New(t.Context(), &sandboxtest.Fake{}, openStore(t), supervision.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		for n := range 3 {
			result, err := s.Execute(t.Context(), code("a", "print:x"))
			if err != nil || result.Created != (n == 0) {
				t.Fatalf("call %d: created %v, %v", n, result.Created, err)
			}
			found, err := s.Find(t.Context(), sandbox.Ref{Name: "a"})
			if err != nil || found.Sandbox != result.Session.Sandbox || !found.Created.Equal(result.Session.Created) {
				t.Errorf("call %d was in %+v, and there is %+v, %v", n, result.Session, found, err)
			}
		}
		_, err := s.Execute(t.Context(), code("a", "print:x"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context(), sandbox.Ref{Name: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}
