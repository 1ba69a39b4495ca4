package supervision_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

func TestActorPanic_HurtsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bomb{}
		s := start(t, fake(), supervision.Options{Session: actors.Options{Clock: b.clock}})
		box := run(t, s, code("a", "set:x=1")).Session.Sandbox

		var followed bytes.Buffer
		request := code("a", "print:before;sleep:1s;print:during;sleep:10s;print:after")
		request.Follow = func(_ sandbox.Stream, data []byte) { followed.Write(data) }
		running := begin(t.Context(), s, request)
		synctest.Wait()
		queued := begin(t.Context(), s, code("a", "print:queued"))
		synctest.Wait()
		b.armed.Store(2)                                                        // once for the command, once for its second try
		crashing := begin(t.Context(), s, command("print:command", "sleep:5s")) // its start is the panic

		want := "before\nduring\nafter\n"
		if got := <-running; got.err != nil || string(got.result.Stdout) != want || followed.String() != want || got.result.Exit.Code != 0 {
			t.Errorf("running: %+v, followed %q", got, followed.String())
		}
		if got := <-queued; got.err != nil || string(got.result.Stdout) != "queued\n" {
			t.Errorf("queued: %+v", got)
		}
		if got := <-crashing; got.err != nil || string(got.result.Stdout) != "command\n" {
			t.Errorf("crashing: %+v", got)
		}
		after := run(t, s, code("a", "get:x"))
		if string(after.Stdout) != "1\n" || after.Session.Sandbox != box || after.Session.Restarts != 0 {
			t.Errorf("got %+v", after)
		}
		all := events(t, s)
		counts := map[string]int{}
		for _, e := range all {
			counts[string(e.Type)+" "+string(e.Data)]++
		}
		for _, text := range []string{"before\n", "during\n", "after\n", "queued\n", "command\n", "1\n"} {
			if counts["output "+text] != 1 {
				t.Errorf("%q was put out %d times", text, counts["output "+text])
			}
		}
		if counts["execution.started "] != 5 || counts["execution.finished "] != 5 || counts["session.ready "] != 1 {
			t.Errorf("got %v", counts)
		}
	})
}

func TestActorPanic_FloodLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bomb{}
		inside := sandboxtest.NewFaulty(fake())
		inside.Delay("Follow", 3, 40, 3*time.Millisecond)
		s := start(t, inside, supervision.Options{Session: actors.Options{Clock: b.clock}})
		var followed bytes.Buffer
		const size = 4<<20 - 1
		request := code("a", fmt.Sprintf("flood:%d", size))
		request.Follow = func(_ sandbox.Stream, data []byte) { followed.Write(data) }
		running := begin(t.Context(), s, request)
		for range 3 {
			time.Sleep(10 * time.Millisecond)
			b.armed.Store(1)
			run(t, s, command("print:x"))
		}
		got := <-running
		want := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		if got.err != nil || !bytes.Equal(got.result.Stdout, want) || !bytes.Equal(followed.Bytes(), want) {
			t.Errorf("got %v, %d bytes, followed %d", got.err, len(got.result.Stdout), followed.Len())
		}
	})
}

func TestActorPanic_TooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bomb{}
		s := start(t, fake(), supervision.Options{Session: actors.Options{Clock: b.clock}, MaxSessions: 1})
		run(t, s, code("a", "print:x"))
		running := begin(t.Context(), s, code("a", "sleep:1h"))
		synctest.Wait()
		b.armed.Store(1 << 40)
		poison := begin(t.Context(), s, command("print:x"))
		if got := <-poison; got.err == nil || wantKind(t, got.err, sandbox.Stopped).Cause != sandbox.CauseCrashed {
			t.Errorf("got %+v", got)
		}
		if got := <-running; got.err != nil || got.result.Exit.Cause != sandbox.CauseCrashed {
			t.Errorf("got %+v", got)
		}
		b.armed.Store(0)
		again := run(t, s, code("a", "print:y")) // its place is free
		if !again.Created || again.Session.Previous == nil || again.Session.Previous.Cause != sandbox.CauseCrashed {
			t.Errorf("got %+v", again.Session)
		}
	})
}

func TestSandboxDeath_GivesAFreshOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake()
		s := start(t, backend, supervision.Options{})
		first := run(t, s, code("a", "set:x=1"))
		running := begin(t.Context(), s, code("a", "print:before;sleep:1h"))
		synctest.Wait()
		waits := begin(t.Context(), s, code("a", "print:waits"))
		synctest.Wait()
		if err := backend.Kill(first.Session.Sandbox, sandbox.Death{Cause: sandbox.CauseOOM, Evidence: "oom_kill 1"}); err != nil {
			t.Fatal(err)
		}
		got := <-running
		if exit := got.result.Exit; got.err != nil || exit.Cause != sandbox.CauseOOM || !exit.StateLost || exit.Evidence != "oom_kill 1" ||
			string(got.result.Stdout) != "before\n" {
			t.Errorf("running: %+v", got)
		}
		if got := <-waits; got.err != nil || string(got.result.Stdout) != "waits\n" {
			t.Errorf("waiting: %+v", got)
		}
		after := run(t, s, code("a", "get:x"))
		if after.Exit.Failure == nil || after.Session.Restarts != 1 || after.Session.Sandbox == first.Session.Sandbox || after.Created {
			t.Errorf("got %+v", after)
		}
		all := events(t, s)
		wantKinds(t, all, sandbox.SessionReady, sandbox.ExecutionStarted, sandbox.ExecutionFinished,
			sandbox.ExecutionStarted, sandbox.Output, sandbox.ExecutionFinished, sandbox.SessionRestarted,
			sandbox.ExecutionStarted, sandbox.Output, sandbox.ExecutionFinished,
			sandbox.ExecutionStarted, sandbox.ExecutionFinished)
		i := slices.IndexFunc(all, func(e sandbox.Event) bool { return e.Type == sandbox.SessionRestarted })
		if e := all[i]; e.Cause != sandbox.CauseOOM || !e.StateLost || !e.FilesLost || e.Evidence == "" {
			t.Errorf("got %+v", e)
		}
	})
}

func TestSandboxDeath_TooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxSessions: 1, NoEviction: true})
		run(t, s, code("a", "print:x"))
		all, err := s.SubscribeAll(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			result := run(t, s, code("a", "die:disk"))
			if result.Exit.Cause != sandbox.CauseDisk {
				t.Errorf("death %d: %+v", i, result.Exit)
			}
		}
		time.Sleep(time.Second)
		wantNames(t, s)
		_, err = s.Find(t.Context(), sandbox.Ref{Name: "a"})
		wantKind(t, err, sandbox.NotFound)
		got := readNow(t, all)
		if last := got[len(got)-1]; last.Type != sandbox.SessionStopped || last.Cause != sandbox.CauseDisk {
			t.Errorf("got %+v", last)
		}
		again := run(t, s, code("a", "print:y"))
		if !again.Created || again.Session.Previous.Cause != sandbox.CauseDisk {
			t.Errorf("got %+v", again.Session)
		}
	})
}

func TestSandboxDeath_TheNextOneCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := sandboxtest.NewFaulty(fake())
		s := start(t, backend, supervision.Options{})
		run(t, s, code("a", "print:x"))
		backend.Fail("Create", 1, 2, errors.New("no luck"))
		run(t, s, code("a", "die:oom"))
		if result := run(t, s, code("a", "print:y")); string(result.Stdout) != "y\n" {
			t.Errorf("got %+v", result)
		}
		backend.Fail("Create", 1, 100, errors.New("no luck"))
		run(t, s, code("a", "die:oom"))
		_, err := s.Execute(t.Context(), code("a", "print:z"))
		if e := wantKind(t, err, sandbox.Stopped); e.Cause == "" {
			t.Errorf("got %+v", e)
		}
		if backend.Calls("Create") > 10 {
			t.Errorf("%d tries", backend.Calls("Create"))
		}
	})
}

func TestStop_DuringBackoff(t *testing.T) {
	for name, what := range map[string]string{"of the actor": "actor", "of the sandbox": "sandbox"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bomb{}
				s := start(t, fake(), supervision.Options{Session: actors.Options{Clock: b.clock}, Backoff: time.Hour, MaxBackoff: time.Hour})
				run(t, s, code("a", "print:x"))
				var call <-chan outcome
				if what == "actor" {
					b.armed.Store(1)
					call = begin(t.Context(), s, code("a", "print:y"))
				} else {
					run(t, s, code("a", "die"))
					call = begin(t.Context(), s, code("a", "print:y"))
				}
				synctest.Wait()
				if err := s.Stop(t.Context(), sandbox.Ref{Name: "a"}); err != nil {
					t.Fatal(err)
				}
				if e := wantKind(t, (<-call).err, sandbox.Stopped); e.Cause != sandbox.CauseKilled {
					t.Errorf("got %+v", e)
				}
				wantNames(t, s)
			})
		})
	}
}

func TestSandboxDeath_WhileTheActorPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, backend := &bomb{}, fake()
		s := start(t, backend, supervision.Options{Session: actors.Options{Clock: b.clock}, Backoff: time.Second})
		box := run(t, s, code("a", "print:x")).Session.Sandbox
		running := begin(t.Context(), s, code("a", "sleep:1h"))
		synctest.Wait()
		b.armed.Store(1)
		pausing := begin(t.Context(), s, command("print:y"))
		synctest.Wait()
		if err := backend.Kill(box, sandbox.Death{Cause: sandbox.CauseAgentLost}); err != nil {
			t.Fatal(err)
		}
		if got := <-running; got.err != nil || got.result.Exit.Cause != sandbox.CauseAgentLost {
			t.Errorf("running: %+v", got)
		}
		// The new incarnation may begin the command before it hears of the death.
		if got := <-pausing; got.err != nil || string(got.result.Stdout) != "y\n" && got.result.Exit.Cause != sandbox.CauseAgentLost {
			t.Errorf("pausing: %+v", got)
		}
		if result := run(t, s, code("a", "print:z")); string(result.Stdout) != "z\n" || result.Session.Restarts != 1 {
			t.Errorf("got %+v", result)
		}
	})
}

func TestSupervisorPanic_CostsOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := false
		s := start(t, fake(), supervision.Options{HostMemory: func() (total, available int64) {
			if broken {
				panic("a bug")
			}
			return 16 << 30, 8 << 30
		}})
		run(t, s, code("a", "set:x=1"))
		broken = true
		time.Sleep(20 * time.Second) // until it is looked at again before an answer
		for range 20 {
			_, err := s.Execute(t.Context(), code("b", "print:x"))
			wantKind(t, err, sandbox.Other)
		}
		if result := run(t, s, code("a", "get:x")); string(result.Stdout) != "1\n" {
			t.Errorf("got %+v", result)
		}
		broken = false
		run(t, s, code("b", "print:x"))
		wantNames(t, s, "a", "b")
	})
}

func TestExecute_WhenStartFails(t *testing.T) {
	cases := map[string]struct {
		err  error
		kind sandbox.Kind // of the error; Other stands for none
		lost bool
	}{
		"refused":       {&sandbox.Error{Kind: sandbox.Exhausted, Detail: "too many"}, sandbox.Exhausted, false},
		"no answer":     {&sandbox.Error{Kind: sandbox.Timeout}, sandbox.Other, true},
		"nobody's idea": {errors.New("broken pipe"), sandbox.Other, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := sandboxtest.NewFaulty(fake())
				s := start(t, backend, supervision.Options{})
				run(t, s, code("a", "set:x=1"))
				backend.Fail("Start", 1, 1, tc.err)
				result, err := s.Execute(t.Context(), code("a", "get:x"))
				if tc.lost {
					if err != nil || result.Exit.Cause != sandbox.CauseAgentLost {
						t.Errorf("got %+v, %v", result, err)
					}
				} else {
					wantKind(t, err, tc.kind)
				}
				if kept := run(t, s, code("a", "get:x")).Exit.Code == 0; kept == tc.lost {
					t.Errorf("state kept: %v", kept)
				}
			})
		})
	}
}

func TestExecute_WhenFollowFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := sandboxtest.NewFaulty(fake())
		s := start(t, backend, supervision.Options{})
		backend.Fail("Follow", 1, 3, errors.New("hiccup"))
		if result := run(t, s, code("a", "print:x")); string(result.Stdout) != "x\n" {
			t.Errorf("got %+v", result)
		}
		time.Sleep(time.Minute) // until nobody follows
		backend.Fail("Follow", 1, 30, errors.New("broken pipe"))
		result := run(t, s, code("a", "print:x"))
		if result.Exit.Cause != sandbox.CauseAgentLost || !strings.Contains(result.Exit.Evidence, "does not answer") {
			t.Errorf("got %+v", result.Exit)
		}
	})
}
