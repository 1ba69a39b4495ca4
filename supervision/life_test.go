package supervision_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

func TestIdle_EndsWhatNobodyUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		create(t, s, "idle")
		long := code("long", "sleep:2h")
		long.Timeout = 3 * time.Hour
		busy := begin(t.Context(), s, long)
		synctest.Wait()
		run(t, s, code("used", "set:x=1"))
		for range 5 {
			time.Sleep(25 * time.Minute)
			run(t, s, code("used", "get:x"))
		}
		wantNames(t, s, "long", "used")
		if got := <-busy; got.err != nil || got.result.Exit.Code != 0 {
			t.Errorf("got %+v", got)
		}
		time.Sleep(20 * time.Minute) // its idle time begins at the end of the call
		if got := names(t, s); len(got) == 0 || got[0] != "long" {
			t.Errorf("got %v", got)
		}
		time.Sleep(15 * time.Minute)
		wantNames(t, s)
		again := run(t, s, code("used", "get:x"))
		if again.Session.Previous == nil || again.Session.Previous.Cause != sandbox.CauseIdle {
			t.Errorf("got %+v", again.Session)
		}
		time.Sleep(2 * time.Hour)
		if again := run(t, s, code("used", "get:x")); again.Session.Previous != nil {
			t.Errorf("remembers %+v", again.Session.Previous)
		}
	})
}

func TestPressure_EndsTheLeastRecentlyUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		backend := fake()
		backend.Pressed = func() (used1, limit int64) { return used.Load(), 1000 }
		s := start(t, backend, supervision.Options{})
		all, err := s.SubscribeAll(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		create(t, s, "a")
		time.Sleep(40 * time.Second)
		create(t, s, "b")
		used.Store(960)
		time.Sleep(10 * time.Second)
		wantNames(t, s, "a", "b")
		time.Sleep(15 * time.Second)
		wantNames(t, s, "b")
		used.Store(940)
		time.Sleep(2 * time.Minute)
		wantNames(t, s, "b")
		got := readNow(t, all)
		if last := got[len(got)-1]; last.Cause != sandbox.CauseHostMemory || last.Session != "a" {
			t.Errorf("got %+v", last)
		}
	})
}

func TestStop_EndsEverythingOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		run(t, s, code("a", "print:x"))
		log, err := s.Subscribe(t.Context(), sandbox.Ref{Name: "a"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		running := begin(t.Context(), s, code("a", "print:y;sleep:1h"))
		synctest.Wait()
		waits := begin(t.Context(), s, code("a", "print:z"))
		synctest.Wait()
		if err := s.Stop(t.Context(), sandbox.Ref{Name: "a"}); err != nil {
			t.Fatal(err)
		}
		if got := <-running; got.err != nil || got.result.Exit.Cause != sandbox.CauseKilled || string(got.result.Stdout) != "y\n" ||
			got.result.Session.Status != sandbox.StatusStopped {
			t.Errorf("running: %+v", got)
		}
		if e := wantKind(t, (<-waits).err, sandbox.Stopped); e.Cause != sandbox.CauseKilled {
			t.Errorf("waiting: %+v", e)
		}
		var all []sandbox.Event
		for {
			got, err := log.Next(t.Context())
			all = append(all, got...)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
		}
		wantKinds(t, all, sandbox.SessionReady, sandbox.ExecutionStarted, sandbox.Output, sandbox.ExecutionFinished,
			sandbox.ExecutionStarted, sandbox.Output, sandbox.ExecutionFinished, sandbox.SessionStopped)
		wantKind(t, s.Stop(t.Context(), sandbox.Ref{Name: "a"}), sandbox.NotFound)
		_, err = s.Subscribe(t.Context(), sandbox.Ref{Name: "a"}, 0)
		wantKind(t, err, sandbox.NotFound)
	})
}

func TestClose_AnswersAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake()
		s := start(t, backend, supervision.Options{MaxSessions: 40, AdmissionWait: time.Hour})
		var running, waits []<-chan outcome
		for i := range 40 {
			running = append(running, begin(t.Context(), s, code(strconv.Itoa(i), "sleep:1h")))
		}
		synctest.Wait()
		for i := range 10 {
			waits = append(waits, begin(t.Context(), s, code(fmt.Sprint("w", i), "print:x")))
		}
		synctest.Wait()
		all, err := s.SubscribeAll(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, call := range running {
			if got := <-call; got.err != nil || got.result.Exit.Cause != sandbox.CauseShutdown {
				t.Errorf("running: %+v", got)
			}
		}
		for _, call := range waits {
			if e := wantKind(t, (<-call).err, sandbox.Stopped); e.Cause != sandbox.CauseShutdown {
				t.Errorf("waiting: %+v", e)
			}
		}
		_, err = s.Execute(t.Context(), code("late", "print:x"))
		if e := wantKind(t, err, sandbox.Stopped); e.Cause != sandbox.CauseShutdown {
			t.Errorf("late: %+v", e)
		}
		ended := 0
		for {
			got, err := all.Next(t.Context())
			for _, e := range got {
				if e.Type == sandbox.SessionStopped && e.Cause == sandbox.CauseShutdown {
					ended++
				}
			}
			if err != nil {
				break
			}
		}
		if ended != 40 {
			t.Errorf("%d sessions were told to have stopped", ended)
		}
		if left, _ := backend.List(t.Context()); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestClose_NamesWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := sandboxtest.NewFaulty(fake())
		s, err := supervision.New(t.Context(), backend, openStore(t), supervision.Options{Session: optsWithClock()})
		if err != nil {
			t.Fatal(err)
		}
		result := run(t, s, code("stuck", "print:x"))
		backend.Fail("Destroy", 1, 1000, errors.New("busy"))
		ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
		defer stop()
		e := wantKind(t, s.Close(ctx), sandbox.Timeout)
		if want := "1 sessions are left: stuck (" + string(result.Session.Sandbox) + ")"; e.Detail != want {
			t.Errorf("got %q, want %q", e.Detail, want)
		}
		box, err := backend.Backend.Adopt(t.Context(), result.Session.Sandbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := box.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
	})
}

func TestClose_AfterTheLifeEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life, stop := context.WithCancel(t.Context())
		backend := fake()
		s, err := supervision.New(life, backend, openStore(t), supervision.Options{Session: optsWithClock(), Destroyers: 2})
		if err != nil {
			t.Fatal(err)
		}
		var calls []<-chan outcome
		for i := range 20 {
			calls = append(calls, begin(t.Context(), s, code(strconv.Itoa(i), "sleep:1h")))
		}
		synctest.Wait()
		stop()
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, call := range calls {
			if got := <-call; got.err != nil || got.result.Exit.Cause != sandbox.CauseShutdown {
				t.Errorf("got %+v", got)
			}
		}
		if left, _ := backend.List(t.Context()); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		time.Sleep(time.Minute)
	})
}

func TestNew_ChecksItsDefaults(t *testing.T) {
	_, err := supervision.New(t.Context(), fake(), openStore(t), supervision.Options{DefaultFlavor: "huge"})
	wantKind(t, err, sandbox.Invalid)
}

func TestExecute_WhenNothingCanBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake()
		backend.Unready = &sandbox.Error{Kind: sandbox.Unavailable, Detail: "no namespaces", Remedy: "get some"}
		s := start(t, backend, supervision.Options{})
		_, err := s.Execute(t.Context(), code("a", "print:x"))
		if e := wantKind(t, err, sandbox.Unavailable); e.Remedy == "" {
			t.Errorf("got %+v", e)
		}
		if o, err := s.Overview(t.Context()); err != nil || o.Ready == nil {
			t.Errorf("got %+v, %v", o, err)
		}
	})
}
