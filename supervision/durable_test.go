package supervision_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// A lineage is daemons, one after another on the same backend and directory.
type lineage struct {
	t       *testing.T
	backend sandbox.Backend
	dir     string
	opts    supervision.Options
	now     *supervision.Sessions
}

// dynasty starts the first daemon. The test ends the last.
func dynasty(t *testing.T, backend sandbox.Backend, opts supervision.Options) *lineage {
	t.Helper()
	l := &lineage{t: t, backend: backend, dir: t.TempDir(), opts: opts}
	if opts.Session.Clock == nil {
		l.opts.Session.Clock = sandboxtest.Clock
	}
	l.start()
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer stop()
		if err := l.now.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if left, _ := backend.List(ctx); len(left) > 0 {
			t.Errorf("sandboxes left: %v", left)
		}
		time.Sleep(time.Minute)
	})
	return l
}

func (l *lineage) start() {
	l.t.Helper()
	l.opts.Logger = slog.New(slog.NewTextHandler(l.t.Output(), nil))
	store, err := ledger.Open(l.dir, ledger.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(store.Close)
	if l.now, err = supervision.New(l.t.Context(), l.backend, store, l.opts); err != nil {
		l.t.Fatal(err)
	}
}

// restart leaves the sessions to the next daemon.
func (l *lineage) restart() {
	l.t.Helper()
	if err := l.now.Leave(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	l.start()
}

func keyed(session, script, key string) sandbox.ExecRequest {
	r := code(session, script)
	r.Key = key
	return r
}

func TestLeave_TheNextDaemonHasTheSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{})
		first := run(t, d.now, code("a", "set:x=1;print:one"))
		began, _, _, err := d.now.Start(t.Context(), code("a", "print:before;sleep:10s;print:after"))
		if err != nil {
			t.Fatal(err)
		}
		waits, _, _, err := d.now.Start(t.Context(), code("a", "print:waits"))
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := d.now.Execute(t.Context(), code("a", "print:never"))
			waiting <- err
		}()
		time.Sleep(time.Second)
		d.restart()
		if err := <-waiting; sandbox.KindOf(err) != sandbox.Stopped || !strings.Contains(err.Error(), "goes on") {
			t.Errorf("who waited was told %v", err)
		}
		for range 2 {
			all, err := d.now.List(t.Context(), sandbox.SessionQuery{})
			if err != nil || len(all) != 1 || all[0].Sandbox != first.Session.Sandbox || all[0].Name != "a" {
				t.Errorf("%+v, %v", all, err)
			}
		}
		x, err := d.now.Await(t.Context(), "", began.ID, sandbox.WaitQuery{After: -1, Wait: time.Minute})
		if err != nil || x.Status != sandbox.ExecFinished || x.Output.Total != int64(len("before\nafter\n")) {
			t.Errorf("%+v, %v", x, err)
		}
		if x, err = d.now.Await(t.Context(), "", waits.ID, sandbox.WaitQuery{After: -1, Wait: time.Minute}); err != nil || x.Status != sandbox.ExecFinished {
			t.Errorf("%+v, %v", x, err)
		}
		result, err := d.now.Result(t.Context(), "", began.ID)
		if err != nil || string(result.Stdout) != "before\nafter\n" || result.Session.Name != "a" {
			t.Errorf("%+v, %v", result, err)
		}
		if got := run(t, d.now, code("a", "get:x")); string(got.Stdout) != "1\n" || got.Created {
			t.Errorf("got %+v", got)
		}
		all, err := d.now.ListExecutions(t.Context(), sandbox.ExecQuery{Ref: sandbox.Ref{Name: "a"}})
		if err != nil || len(all) != 5 {
			t.Errorf("%d executions, %v", len(all), err)
		}
	})
}

func TestLeave_EventsGoOnWhereTheyWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{})
		run(t, d.now, code("a", "print:one"))
		read := func(after uint64) (string, uint64) {
			var text strings.Builder
			last := after
			log, err := d.now.Subscribe(t.Context(), sandbox.Ref{Name: "a"}, after)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithTimeout(t.Context(), time.Second)
			defer stop()
			for {
				events, err := log.Next(ctx)
				if err != nil {
					return text.String(), last
				}
				for _, e := range events {
					if e.Seq != last+1 || e.Session != "a" {
						t.Errorf("event %d of %q follows event %d", e.Seq, e.Session, last)
					}
					last = e.Seq
					text.WriteString(string(e.Type) + " " + string(e.Data))
				}
			}
		}
		before, last := read(0)
		d.restart()
		run(t, d.now, code("a", "print:two"))
		again, end := read(0)
		after, same := read(last)
		if again != before+after || end != same || !strings.Contains(after, "output two\n") {
			t.Errorf("got %q, then %q and %q", again, before, after)
		}
	})
}

func TestKey_RunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{})
		first := run(t, d.now, keyed("a", "print:one;sleep:5s", "k"))
		if first.Replayed || string(first.Stdout) != "one\n" {
			t.Errorf("got %+v", first)
		}
		for range 2 {
			again := run(t, d.now, keyed("a", "print:one;sleep:5s", "k"))
			if !again.Replayed || again.Exec != first.Exec || string(again.Stdout) != "one\n" || again.Exit.Duration != first.Exit.Duration {
				t.Errorf("got %+v", again)
			}
			d.restart()
		}
		if _, err := d.now.Execute(t.Context(), keyed("a", "print:other", "k")); sandbox.KindOf(err) != sandbox.Conflict {
			t.Errorf("got %v", err)
		}
		if other := run(t, d.now, keyed("b", "print:other", "k")); other.Replayed {
			t.Error("a key of another session was taken for this one's")
		}
		running := make(chan sandbox.ExecResult, 4)
		for range 4 {
			go func() {
				result, err := d.now.Execute(t.Context(), keyed("a", "print:x;sleep:3s", "together"))
				if err != nil {
					t.Error(err)
				}
				running <- result
			}()
		}
		replayed := 0
		id := sandbox.ExecID("")
		for range 4 {
			r := <-running
			if r.Replayed {
				replayed++
			}
			if id == "" {
				id = r.Exec
			}
			if r.Exec != id || string(r.Stdout) != "x\n" {
				t.Errorf("got %+v", r)
			}
		}
		if replayed != 3 {
			t.Errorf("%d of 4 were replayed", replayed)
		}
	})
}

func TestKey_WhoComesBackAfterARestartJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{})
		ctx, giveUp := context.WithTimeout(t.Context(), time.Second)
		defer giveUp()
		if _, err := d.now.Execute(ctx, keyed("a", "print:before;sleep:10s;print:after", "k")); sandbox.KindOf(err) != sandbox.Timeout {
			t.Errorf("got %v", err)
		}
		d.restart()
		got := run(t, d.now, keyed("a", "print:before;sleep:10s;print:after", "k"))
		if !got.Replayed || string(got.Stdout) != "before\nafter\n" || got.Exit.Cause != "" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestRestore_SandboxThatDiedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := sandboxtest.NewFaulty(fake())
		d := dynasty(t, backend, supervision.Options{})
		first := run(t, d.now, code("a", "print:x"))
		run(t, d.now, code("b", "print:y"))
		started, _, _, err := d.now.Start(t.Context(), code("a", "print:text;sleep:1h"))
		if err != nil {
			t.Fatal(err)
		}
		queued, _, _, err := d.now.Start(t.Context(), code("a", "print:never"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := d.now.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		box, err := backend.Backend.Adopt(t.Context(), first.Session.Sandbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := box.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		backend.Delay("Adopt", 1, 2, time.Second) // who asks now waits
		d.start()
		if got := run(t, d.now, code("b", "print:y")); got.Created {
			t.Error("a session whose sandbox lives was not taken over")
		}
		next := run(t, d.now, code("a", "print:fresh"))
		if !next.Created || next.Session.Previous == nil || next.Session.Previous.Cause != sandbox.CauseAgentLost {
			t.Errorf("got %+v", next.Session)
		}
		x, err := d.now.Execution(t.Context(), "", started.ID)
		if err != nil || x.Status != sandbox.ExecLost || x.Exit == nil || x.Exit.Cause != sandbox.CauseAgentLost || x.Exit.Evidence == "" {
			t.Errorf("%+v, %v", x, err)
		}
		if result, err := d.now.Result(t.Context(), "", started.ID); err != nil || string(result.Stdout) != "text\n" {
			t.Errorf("%+v, %v", result, err)
		}
		if x, err = d.now.Execution(t.Context(), "", queued.ID); err != nil || x.Status != sandbox.ExecFailed || x.Refused == nil {
			t.Errorf("%+v, %v", x, err)
		}
		if _, err := d.now.Execution(t.Context(), "somebody else", started.ID); sandbox.KindOf(err) != sandbox.NotFound {
			t.Errorf("got %v", err)
		}
	})
}

// What may have been run, and of which nobody knows, is lost, and not run again; the
// session goes on.
func TestRestore_WhatNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake()
		d := dynasty(t, backend, supervision.Options{})
		run(t, d.now, code("a", "set:x=1"))
		started, _, _, err := d.now.Start(t.Context(), code("a", "sleep:1s;set:x=2"))
		if err != nil {
			t.Fatal(err)
		}
		queued, _, _, err := d.now.Start(t.Context(), code("a", "get:x"))
		if err != nil {
			t.Fatal(err)
		}
		backend.Forgets.Store(true)
		d.restart()
		x, err := d.now.Await(t.Context(), "", started.ID, sandbox.WaitQuery{After: -1, Wait: time.Minute})
		if err != nil || x.Status != sandbox.ExecLost || x.Exit == nil || x.Exit.Cause != sandbox.CauseAgentLost || x.Exit.Evidence == "" {
			t.Errorf("%+v, %v", x, err)
		}
		time.Sleep(time.Minute) // the kernel of a fake goes on with it
		if x, err := d.now.Await(t.Context(), "", queued.ID, sandbox.WaitQuery{After: -1, Wait: time.Minute}); err != nil || x.Status == sandbox.ExecLost {
			t.Errorf("%+v, %v", x, err)
		}
		if got := run(t, d.now, code("a", "get:x")); got.Created {
			t.Errorf("got %+v", got)
		}
	})
}

func TestLeave_WhileASandboxIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inside := fake()
		d := dynasty(t, inside, supervision.Options{})
		first := run(t, d.now, code("a", "print:x"))
		inside.Slow = time.Minute
		if err := inside.Kill(first.Session.Sandbox, sandbox.Death{Cause: sandbox.CauseOOM}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // another is being made now
		d.restart()
		inside.Slow = 0
		if result, err := d.now.Result(t.Context(), "", first.Exec); err != nil || string(result.Stdout) != "x\n" {
			t.Errorf("%+v, %v", result, err)
		}
		if got := run(t, d.now, code("a", "print:y")); !got.Created || got.Session.Previous == nil {
			t.Errorf("got %+v", got.Session)
		}
	})
}

func TestPatience_AnswersEarlyAndWorkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{})
		request := code("a", "print:before;sleep:10s;print:after")
		request.Patience, request.Detached = 2*time.Second, true
		began := time.Now()
		early := run(t, d.now, request)
		if early.Over() || early.Status != sandbox.ExecRunning || string(early.Stdout) != "before\n" || early.Cursor != int64(len("before\n")) {
			t.Errorf("got %+v", early)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it answered after %s", took)
		}
		x, err := d.now.Await(t.Context(), "", early.Exec, sandbox.WaitQuery{After: early.Cursor, Wait: time.Second})
		if err != nil || x.Status != sandbox.ExecRunning || x.Output.Total != early.Cursor {
			t.Errorf("%+v, %v", x, err)
		}
		if x, err = d.now.Await(t.Context(), "", early.Exec, sandbox.WaitQuery{After: early.Cursor, Wait: time.Minute}); err != nil || x.Output.Total <= early.Cursor {
			t.Errorf("%+v, %v", x, err)
		}
		page, err := d.now.ReadOutput(t.Context(), "", early.Exec, sandbox.OutputQuery{From: early.Cursor})
		if err != nil || len(page.Chunks) != 1 || string(page.Chunks[0].Data) != "after\n" {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

func TestSignal_EndsWhatRunsAndWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{})
		var ids []sandbox.ExecID
		for range 2 {
			x, _, _, err := d.now.Start(t.Context(), code("a", "print:x;sleep:1h"))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, x.ID)
		}
		for i, want := range []sandbox.ExecStatus{1: sandbox.ExecCancelled, 0: sandbox.ExecCancelled} {
			if err := d.now.Signal(t.Context(), "", ids[1-i], sandbox.Interrupt); err != nil {
				t.Fatal(err)
			}
			x, err := d.now.Await(t.Context(), "", ids[1-i], sandbox.WaitQuery{After: -1, Wait: time.Minute})
			if err != nil || x.Status != want {
				t.Errorf("%+v, %v", x, err)
			}
		}
		if err := d.now.Signal(t.Context(), "", ids[0], sandbox.Kill); err != nil {
			t.Errorf("one that is over: %v", err)
		}
		if err := d.now.Signal(t.Context(), "", "0123456789abcdef0123456789abcdef", sandbox.Kill); sandbox.KindOf(err) != sandbox.NotFound {
			t.Errorf("got %v", err)
		}
	})
}

func TestSubscribeExecution_HasItsOwnEventsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{})
		run(t, d.now, code("a", "print:other"))
		x, _, _, err := d.now.Start(t.Context(), code("a", "print:one;sleep:2s;print:two"))
		if err != nil {
			t.Fatal(err)
		}
		all := func(after uint64) (string, uint64) {
			var text strings.Builder
			var first uint64
			log, err := d.now.SubscribeExecution(t.Context(), "", x.ID, after)
			for err == nil {
				var events []sandbox.Event
				events, err = log.Next(t.Context())
				for _, e := range events {
					if first == 0 {
						first = e.Seq
					}
					fmt.Fprintf(&text, "%s %s|", e.Type, e.Data)
				}
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			return text.String(), first
		}
		const want = "execution.started |output one\n|output two\n|execution.finished |"
		live, first := all(0)
		rest, _ := all(first)
		if live != want || rest != strings.TrimPrefix(want, "execution.started |") {
			t.Errorf("got %q and %q", live, rest)
		}
		d.restart()
		if got, _ := all(0); got != want {
			t.Errorf("after a restart: %q", got)
		}
		if err := d.now.Stop(t.Context(), sandbox.Ref{Name: "a"}); err != nil {
			t.Fatal(err)
		}
		if got, _ := all(0); got != want {
			t.Errorf("after the end of the session: %q", got)
		}
	})
}

func TestSession_OwnTimesAndLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{SweepInterval: time.Second})
		for name, request := range map[string]sandbox.SessionRequest{
			"idle":  {IdleTimeout: 10 * time.Second, Labels: map[string]string{"team": "x", "n": "1"}},
			"old":   {MaxAge: 20 * time.Second, Labels: map[string]string{"team": "x"}},
			"usual": {Dir: "/tmp"},
		} {
			request.Session = name
			if _, _, err := d.now.Create(t.Context(), request); err != nil {
				t.Fatal(err)
			}
		}
		names := func(q sandbox.SessionQuery) string {
			var names strings.Builder
			all, err := d.now.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				names.WriteString(all[i].Name + " ")
			}
			return names.String()
		}
		d.restart()
		if got := names(sandbox.SessionQuery{Labels: map[string]string{"team": "x", "n": "1"}}); got != "idle " {
			t.Errorf("got %q", got)
		}
		time.Sleep(8 * time.Second)
		if _, err := d.now.Touch(t.Context(), sandbox.Ref{Name: "idle"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		if got := names(sandbox.SessionQuery{Labels: map[string]string{"team": "x"}}); !strings.Contains(got, "idle ") {
			t.Errorf("a session that was touched is gone; there are %q", got)
		}
		time.Sleep(15 * time.Second)
		if got := names(sandbox.SessionQuery{}); got != "usual " {
			t.Errorf("got %q", got)
		}
		if got := run(t, d.now, code("old", "print:x")); got.Session.Previous == nil || got.Session.Previous.Cause != sandbox.CauseExpired {
			t.Errorf("got %+v", got.Session.Previous)
		}
	})
}

func TestStream_KeepsASessionInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynasty(t, fake(), supervision.Options{SweepInterval: time.Second, IdleTimeout: 10 * time.Second})
		run(t, d.now, code("a", "print:x"))
		log, err := d.now.Subscribe(t.Context(), sandbox.Ref{Name: "a"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		for err == nil {
			_, err = log.Next(ctx)
		}
		if _, err := d.now.Find(t.Context(), sandbox.Ref{Name: "a"}); err != nil {
			t.Errorf("a session with a reader ended: %v", err)
		}
		time.Sleep(15 * time.Second)
		if _, err := d.now.Find(t.Context(), sandbox.Ref{Name: "a"}); sandbox.KindOf(err) != sandbox.NotFound {
			t.Errorf("got %v", err)
		}
	})
}

// While the record of one session is read, which may be large, all others have
// their answers.
func TestRestore_NobodyWaitsForTheRecordOfAnother(t *testing.T) {
	dir, backend, opts := t.TempDir(), fake(), supervision.Options{}
	opts.Session.Clock = sandboxtest.Clock
	next := func() *supervision.Sessions {
		store, err := ledger.Open(dir, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		if _, err := store.Left(); err != nil { // what follows is read after it
			t.Fatal(err)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "live", "*", "*.log"))
		for _, name := range names { // a disk that does not answer
			if err := errors.Join(os.Rename(name, name+".kept"), syscall.Mkfifo(name, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		s, err := supervision.New(t.Context(), backend, store, opts)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := next()
	x, _, _, err := s.Start(t.Context(), code("a", "print:x;sleep:1h"))
	if err == nil {
		_, err = s.Await(t.Context(), "", x.ID, sandbox.WaitQuery{After: 0, Wait: time.Minute})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = next()
	for range 20 {
		time.Sleep(10 * time.Millisecond) // it comes to be read meanwhile
		patient, stop := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := s.List(patient, sandbox.SessionQuery{})
		stop()
		if err != nil {
			t.Errorf("List: %v", err)
			break
		}
	}
	names, _ := filepath.Glob(filepath.Join(dir, "live", "*", "*.log"))
	if err := errors.Join(os.Rename(names[0], names[0]+".pipe"), os.Rename(names[0]+".kept", names[0])); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(names[0]+".pipe", os.O_RDWR, 0) // the disk answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
