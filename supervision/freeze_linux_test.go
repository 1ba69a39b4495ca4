package supervision_test

import (
	"context"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// soon is how long a session is idle before it is frozen in these tests.
const soon = 50 * time.Millisecond

// startCold is startReal for idle sessions that are frozen soon.
func startCold(t *testing.T) *host {
	t.Helper()
	h := startReal(t, supervision.Options{FreezeAfter: soon, FreezeReclaim: true})
	if !h.backend.Capabilities().Freeze {
		sandboxtest.Skip(t, "sandboxes cannot be frozen here")
	}
	return h
}

// frozen waits until a session is frozen, or is not any more.
func (h *host) frozen(t *testing.T, session string, want bool) sandbox.Session {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		got, err := h.Find(ctx, sandbox.Ref{Name: session})
		if err != nil {
			t.Fatal(err)
		}
		if got.Frozen == want {
			return got
		}
		<-ticker.C
	}
}

// An idle session is frozen, tells so, and goes on where it was when it is used:
// as if nothing had been.
func TestFreeze_IdleSession(t *testing.T) {
	h := startCold(t)
	first := run(t, h.Sessions, code("a", "x = 41"))
	session := h.frozen(t, "a", true)
	if session.Status != sandbox.StatusReady || session.Usage == nil || session.Usage.MemoryBytes == 0 {
		t.Errorf("got %+v", session)
	}
	if all, err := h.Overview(t.Context()); err != nil || all.Frozen != 1 || all.States[sandbox.StatusReady] != 1 {
		t.Errorf("got %+v, %v", all, err)
	}
	got := run(t, h.Sessions, code("a", "x += 1\nprint(x)"))
	if string(got.Stdout) != "42\n" || got.Session.Frozen || got.Session.Sandbox != first.Session.Sandbox || got.Session.Restarts != 0 {
		t.Errorf("got %+v", got)
	}
	h.frozen(t, "a", true)
	got = run(t, h.Sessions, command("echo", "hello"))
	if string(got.Stdout) != "hello\n" {
		t.Errorf("got %+v", got)
	}
	h.frozen(t, "a", true)
	if err := h.Stop(t.Context(), sandbox.Ref{Name: "a"}); err != nil {
		t.Error(err)
	}
}

// A session in which something runs, also in the background, is not frozen,
// while another one is.
func TestFreeze_SparesWork(t *testing.T) {
	h := startCold(t)
	busy, _ := h.started(t, code("a", "print('before', flush=True)\n"+awaiting("on")+"print('after')"))
	left := command("sh", "-c", "sleep 600 &")
	left.Session, left.Background = "b", true
	run(t, h.Sessions, left)
	for range 2 { // ticks: the second is behind the tries of the first
		run(t, h.Sessions, code("c", "1"))
		h.frozen(t, "c", true)
	}
	for _, name := range []string{"a", "b"} {
		if got, err := h.Find(t.Context(), sandbox.Ref{Name: name}); err != nil || got.Frozen {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	run(t, h.Sessions, touch("on"))
	if got := <-busy; got.err != nil || string(got.result.Stdout) != "before\nafter\n" {
		t.Errorf("got %+v", got)
	}
	h.frozen(t, "a", true)
}

// Tune turns it off, and on again.
func TestFreeze_Tune(t *testing.T) {
	h := startCold(t)
	if err := h.Tune(t.Context(), supervision.Options{}); err != nil {
		t.Fatal(err)
	}
	run(t, h.Sessions, code("a", "x = 1"))
	if err := h.Tune(t.Context(), supervision.Options{FreezeAfter: soon}); err != nil {
		t.Fatal(err)
	}
	h.frozen(t, "a", true)
	if err := h.Tune(t.Context(), supervision.Options{}); err != nil {
		t.Fatal(err)
	}
	run(t, h.Sessions, code("a", "x"))
	h.frozen(t, "a", false)
}

// Whoever comes just when a session is frozen is served.
func TestFreeze_UsedAtAnyTime(t *testing.T) {
	h := startCold(t)
	run(t, h.Sessions, code("a", "n = 0"))
	const rounds = 30
	for i := range rounds {
		time.Sleep(time.Duration(i) * 7 * time.Millisecond)
		run(t, h.Sessions, code("a", "n += 1"))
	}
	if got := run(t, h.Sessions, code("a", "n")); string(got.Stdout) != "30\n" {
		t.Errorf("got %+v", got)
	}
}
