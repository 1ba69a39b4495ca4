package supervision_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/supervision"
)

func TestExecute_MakesTheSessionAndKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		first := run(t, s, code("a", "set:x=1;print:hello;result:42"))
		if string(first.Stdout) != "hello\n" || first.Exit.Result != "42" || !first.Created || first.Session.Name != "a" {
			t.Errorf("got %+v", first)
		}
		second := run(t, s, code("a", "get:x;error:oops"))
		if string(second.Stdout) != "1\n" || string(second.Stderr) != "oops\n" || second.Created {
			t.Errorf("got %+v", second)
		}
		if first.Session.Sandbox != second.Session.Sandbox || first.Exec == second.Exec {
			t.Errorf("got %v and %v", first.Session, second.Session)
		}
		failed := run(t, s, code("a", "fail:ValueError:no"))
		if failed.Exit.Code != 1 || failed.Exit.Failure.Name != "ValueError" {
			t.Errorf("got %+v", failed.Exit)
		}
		wantKinds(t, events(t, s), sandbox.SessionReady,
			sandbox.ExecutionStarted, sandbox.Output, sandbox.ExecutionFinished,
			sandbox.ExecutionStarted, sandbox.Output, sandbox.ExecutionFinished,
			sandbox.ExecutionStarted, sandbox.Output, sandbox.ExecutionFinished)
	})
}

func TestExecute_RefusesWhatCannotBe(t *testing.T) {
	cases := map[string]sandbox.ExecRequest{
		"neither code nor command":      code("a", ""),
		"both":                          {Code: "print:x", Argv: []string{"print:x"}},
		"a name that begins with a dot": code(".a", "print:x"),
		"a name with a slash":           code("a/b", "print:x"),
		"a name that is too long":       code(strings.Repeat("a", 129), "print:x"),
		"an unknown template":           {SessionRequest: sandbox.SessionRequest{Template: "cobol"}, Code: "print:x"},
		"an unknown flavor":             {SessionRequest: sandbox.SessionRequest{Flavor: "huge"}, Code: "print:x"},
		"a negative timeout":            {Code: "print:x", Timeout: -1},
		"an environment without =":      {SessionRequest: sandbox.SessionRequest{Env: []string{"A"}}, Code: "print:x"},
		"variables without =":           {Argv: []string{"print:x"}, Vars: []string{"A"}},
		"variables that are too large":  {Argv: []string{"print:x"}, Vars: []string{"A=" + strings.Repeat("a", 1<<20)}},
		"too many arguments":            {Argv: slices.Repeat([]string{"x"}, 65<<10)},
		"a directory that is too long":  {Argv: []string{"print:x"}, Dir: strings.Repeat("a", 5000)},
	}
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		for name, request := range cases {
			_, err := s.Execute(t.Context(), request)
			if e, ok := errors.AsType[*sandbox.Error](err); !ok || e.Kind != sandbox.Invalid || e.Detail == "" {
				t.Errorf("%s: got %v", name, err)
			}
		}
		wantNames(t, s)
		_, err := s.Execute(t.Context(), cases["an unknown flavor"])
		if e := wantKind(t, err, sandbox.Invalid); !strings.Contains(e.Detail, "small, medium, large") {
			t.Errorf("got %q", e.Detail)
		}
	})
}

func TestExecute_FollowsEverythingInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		const size = 4 << 20
		var followed bytes.Buffer
		request := code("a", fmt.Sprintf("flood:%d", size))
		request.Follow = func(stream sandbox.Stream, data []byte) {
			if stream != sandbox.Stdout {
				t.Errorf("got stream %q", stream)
			}
			followed.Write(data)
			time.Sleep(time.Millisecond) // slower than the sandbox
		}
		result := run(t, s, request)
		want := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		if !bytes.Equal(result.Stdout, want) || !bytes.Equal(followed.Bytes(), want) || result.Truncated() {
			t.Errorf("got %d bytes, %d followed, %d dropped", len(result.Stdout), followed.Len(), result.Omitted)
		}
		over := run(t, s, code("a", fmt.Sprintf("flood:%d", size+100)))
		if len(over.Stdout) != size || over.Omitted != 100 {
			t.Errorf("got %d bytes, %d dropped", len(over.Stdout), over.Omitted)
		}
	})
}

func TestExecute_ShowsOutputWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		began := time.Now()
		var first time.Duration
		var session string
		request := code("a", "print:now;sleep:1h;print:later")
		request.Timeout = 2 * time.Hour
		request.Accepted = func(accepted sandbox.Session, id sandbox.ExecID) { session = accepted.Name + "/" + string(id) }
		request.Follow = func(_ sandbox.Stream, data []byte) {
			if string(data) == "now\n" {
				first = time.Since(began)
			}
		}
		result := run(t, s, request)
		if first > time.Second || string(result.Stdout) != "now\nlater\n" {
			t.Errorf("first output after %v, got %q", first, result.Stdout)
		}
		if session != "a/"+string(result.Exec) {
			t.Errorf("accepted as %q", session)
		}
	})
}

func TestExecute_KeepsCharactersWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		request := code("a", "write:a\xe2;write:\x82;write:\xac!;error:\xff;write:end\xf0\x9f")
		var pieces []string
		request.Follow = func(stream sandbox.Stream, data []byte) {
			if stream == sandbox.Stdout {
				pieces = append(pieces, string(data))
			}
		}
		result := run(t, s, request)
		if string(result.Stdout) != "a€!end\xf0\x9f" || string(result.Stderr) != "\xff\n" {
			t.Errorf("got %q and %q", result.Stdout, result.Stderr)
		}
		if strings.Join(pieces, "") != string(result.Stdout) {
			t.Errorf("got pieces %q", pieces)
		}
		for _, e := range events(t, s) {
			if strings.Contains(string(e.Data), "\x82") && !strings.Contains(string(e.Data), "€") {
				t.Errorf("event %q splits a character", e.Data)
			}
		}
	})
}

func TestExecute_RichResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := supervision.Options{Session: actors.Options{Rich: 2}}
		s := start(t, fake(), opts)
		result := run(t, s, code("a", "show:image/png:one;show:text/html:two;show:text/html:three"))
		want := []string{"image/png one", "text/html two"}
		var got []string
		for _, r := range result.Rich {
			got = append(got, r.MIME+" "+string(r.Data))
		}
		if !slices.Equal(got, want) || result.Exit.Dropped != int64(len("three")) {
			t.Errorf("got %q, dropped %d", got, result.Exit.Dropped)
		}
	})
}

func TestExecute_CodeWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{Session: actors.Options{Queue: 3}})
		var calls []<-chan outcome
		for i := range 4 {
			request := code("a", fmt.Sprintf("sleep:10s;print:%d", i))
			request.Timeout = 11 * time.Second // counted from its start, not from the call
			calls = append(calls, begin(t.Context(), s, request))
			synctest.Wait()
		}
		_, err := s.Execute(t.Context(), code("a", "print:x"))
		if e := wantKind(t, err, sandbox.Exhausted); e.Limit.Resource != "queue" || e.Limit.Max != 3 {
			t.Errorf("got %+v", e.Limit)
		}
		began := time.Now()
		for i, call := range calls {
			got := <-call
			if got.err != nil || string(got.result.Stdout) != fmt.Sprintf("%d\n", i) || got.result.Exit.Code != 0 {
				t.Errorf("call %d: %+v", i, got)
			}
			if waited := time.Duration(i) * 10 * time.Second; got.result.Waited.Round(time.Second) != waited {
				t.Errorf("call %d waited %v, want %v", i, got.result.Waited, waited)
			}
		}
		if took := time.Since(began).Round(time.Second); took != 40*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestExecute_GivesUpWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		long := code("a", "sleep:1h")
		long.Timeout = 2 * time.Hour
		first := begin(t.Context(), s, long)
		synctest.Wait()
		_, err := s.Execute(t.Context(), code("a", "print:x"))
		if e := wantKind(t, err, sandbox.Timeout); !strings.Contains(e.Detail, "never ran") {
			t.Errorf("got %q", e.Detail)
		}
		if got := <-first; got.err != nil || got.result.Exit.Code != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestExecute_CommandsRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		run(t, s, code("a", "print:x"))
		began := time.Now()
		var calls []<-chan outcome
		for i := range 17 {
			calls = append(calls, begin(t.Context(), s, command("sleep:10s", fmt.Sprintf("print:%d", i))))
			synctest.Wait()
		}
		for i, call := range calls {
			if got := <-call; got.err != nil || string(got.result.Stdout) != fmt.Sprintf("%d\n", i) {
				t.Errorf("call %d: %+v", i, got)
			}
		}
		if took := time.Since(began).Round(time.Second); took != 30*time.Second { // 8, 8 and 1
			t.Errorf("took %v", took)
		}
	})
}

func TestExecute_TimesOut(t *testing.T) {
	cases := map[string]struct {
		script    string
		took      time.Duration
		stateLost bool
	}{
		"heeds the interrupt": {"set:x=1;sleep:1h", 5 * time.Second, false},
		"is killed":           {"set:x=1;stubborn;sleep:1h", 7 * time.Second, true},
		"the agent does nothing": {
			"set:x=1;hang", 10 * time.Second, true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, fake(), supervision.Options{})
				began := time.Now()
				request := code("a", tc.script)
				request.Timeout = 5 * time.Second
				result := run(t, s, request)
				if result.Exit.Cause != sandbox.CauseWallTimeout || result.Exit.StateLost != tc.stateLost {
					t.Errorf("got %+v", result.Exit)
				}
				if took := time.Since(began).Round(time.Second); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				again := run(t, s, code("a", "get:x"))
				if kept := again.Exit.Code == 0; kept == tc.stateLost {
					t.Errorf("state kept: %v", kept)
				}
				restarted := slices.Contains(kinds(events(t, s)), sandbox.SessionRestarted)
				if restarted != tc.stateLost {
					t.Errorf("restarted: %v", restarted)
				}
			})
		})
	}
}

func TestExecute_IsCancelledWithItsCaller(t *testing.T) {
	for name, script := range map[string]string{"heeds": "print:a;sleep:1h", "ignores": "print:a;stubborn;sleep:1h"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, fake(), supervision.Options{})
				run(t, s, code("a", "print:x"))
				ctx, cancel := context.WithCancel(t.Context())
				running := begin(ctx, s, code("a", script))
				synctest.Wait()
				impatient, giveUp := context.WithCancel(t.Context())
				waits := begin(impatient, s, code("a", "print:never"))
				synctest.Wait()
				giveUp()
				wantKind(t, (<-waits).err, sandbox.Canceled)
				synctest.Wait()
				began := time.Now()
				cancel()
				wantKind(t, (<-running).err, sandbox.Canceled)
				if took := time.Since(began); took > time.Second {
					t.Errorf("took %v", took)
				}
				if result := run(t, s, code("a", "print:y")); result.Waited > 3*time.Second {
					t.Errorf("waited %v", result.Waited)
				}
				finished := 0
				for _, e := range events(t, s) {
					if e.Type == sandbox.ExecutionFinished && e.Cause == sandbox.CauseKilled {
						finished++
					}
					if strings.Contains(string(e.Data), "never") {
						t.Error("what was cancelled in the queue ran")
					}
				}
				if finished != 1 {
					t.Errorf("%d executions were cancelled, want 1", finished)
				}
			})
		})
	}
}

func TestExecute_CallerWithADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err := s.Execute(ctx, code("a", "sleep:1h"))
		wantKind(t, err, sandbox.Timeout)
	})
}
