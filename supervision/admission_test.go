package supervision_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

func create(t *testing.T, s *supervision.Sessions, name string) {
	t.Helper()
	if _, made, err := s.Create(t.Context(), sandbox.SessionRequest{Session: name}); err != nil || !made {
		t.Fatalf("create %s: made %v, %v", name, made, err)
	}
}

func TestCreate_ReturnsTheOneThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{HostCPUs: 2})
		request := sandbox.SessionRequest{Session: "a", Template: "node", Flavor: "large"}
		first, made, err := s.Create(t.Context(), request)
		if err != nil || !made || first.Template.Name != "node" || first.Status != sandbox.StatusReady {
			t.Fatalf("got %+v, %v, %v", first, made, err)
		}
		if first.Flavor.CPUs != 2 || first.Flavor.Capped == "" {
			t.Errorf("got %+v", first.Flavor)
		}
		second, made, err := s.Create(t.Context(), sandbox.SessionRequest{Session: "a"})
		if err != nil || made || second.Sandbox != first.Sandbox {
			t.Errorf("got %+v, %v, %v", second, made, err)
		}
		ours, made, err := s.Create(t.Context(), sandbox.SessionRequest{})
		if err != nil || !made || len(ours.Name) != 36 {
			t.Errorf("got %+v, %v, %v", ours, made, err)
		}
		wantNames(t, s, "a", ours.Name)
		found, err := s.Find(t.Context(), sandbox.Ref{Name: "a"})
		if err != nil || found.Sandbox != first.Sandbox {
			t.Errorf("got %+v, %v", found, err)
		}
		o, err := s.Overview(t.Context())
		if err != nil || o.Sessions != 2 || o.MemoryMB != 4096+1024 || o.Backend != "fake" {
			t.Errorf("got %+v, %v", o, err)
		}
	})
}

func TestCreate_OnceForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake()
		backend.Slow = time.Second
		s := start(t, backend, supervision.Options{})
		var calls []<-chan outcome
		for range 10 {
			calls = append(calls, begin(t.Context(), s, command("print:x")))
		}
		made := 0
		for _, call := range calls {
			got := <-call
			if got.err != nil {
				t.Fatal(got.err)
			}
			if got.result.Created {
				made++
			}
		}
		if made != 1 || backend.Most() != 1 {
			t.Errorf("made %d times, %d sandboxes", made, backend.Most())
		}
	})
}

func TestAdmission_ManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake()
		backend.Slow = 10 * time.Millisecond
		s := start(t, backend, supervision.Options{MaxSessions: 10})
		var calls []<-chan outcome
		for i := range 100 {
			calls = append(calls, begin(t.Context(), s, code(strconv.Itoa(i), "sleep:100ms;print:x")))
		}
		for i, call := range calls {
			if got := <-call; got.err != nil || string(got.result.Stdout) != "x\n" {
				t.Errorf("call %d: %+v", i, got)
			}
		}
		if backend.Most() > 10 {
			t.Errorf("%d sandboxes at once", backend.Most())
		}
		if got := len(names(t, s)); got > 10 {
			t.Errorf("%d sessions", got)
		}
	})
}

func TestAdmission_EvictsTheLeastRecentlyUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxSessions: 3})
		for _, name := range []string{"a", "b", "c"} {
			create(t, s, name)
			time.Sleep(time.Second)
		}
		busy := begin(t.Context(), s, code("a", "sleep:1m"))
		synctest.Wait()
		run(t, s, code("b", "print:x"))
		time.Sleep(time.Second)
		create(t, s, "d") // evicts c, though b was made before it and a before both
		wantNames(t, s, "a", "b", "d")
		create(t, s, "e")
		wantNames(t, s, "a", "d", "e")
		if got := <-busy; got.err != nil || got.result.Exit.Code != 0 {
			t.Errorf("got %+v", got)
		}
		session, made, err := s.Create(t.Context(), sandbox.SessionRequest{Session: "c"})
		if err != nil || !made || session.Previous == nil || session.Previous.Cause != sandbox.CauseEvicted {
			t.Errorf("got %+v, %v, %v", session, made, err)
		}
	})
}

func TestAdmission_RefusesWhatDoesNotFit(t *testing.T) {
	sessions, memory := supervision.Options{MaxSessions: 2}, supervision.Options{MaxMemoryMB: 2500}
	host := supervision.Options{HostMemory: func() (total, available int64) { return 16 << 30, 17 << 30 / 10 }}
	now := func(o supervision.Options) supervision.Options { o.NoEviction, o.AdmissionWait = true, -1; return o }
	cases := map[string]struct {
		opts    supervision.Options
		limit   sandbox.Limit
		free    bool // nothing is there before
		request sandbox.SessionRequest
		took    time.Duration
	}{
		"sessions, at once":      {now(sessions), sandbox.Limit{Resource: "sessions", Current: 2, Max: 2}, false, sandbox.SessionRequest{}, 0},
		"sessions, all busy":     {sessions, sandbox.Limit{Resource: "sessions", Current: 2, Max: 2}, false, sandbox.SessionRequest{}, 10 * time.Second},
		"memory, at once":        {now(memory), sandbox.Limit{Resource: "memory", Current: 3072, Max: 2500, Unit: "MB"}, false, sandbox.SessionRequest{}, 0},
		"memory, all busy":       {memory, sandbox.Limit{Resource: "memory", Current: 3072, Max: 2500, Unit: "MB"}, false, sandbox.SessionRequest{}, 10 * time.Second},
		"memory, never":          {memory, sandbox.Limit{Resource: "memory", Current: 4096, Max: 2500, Unit: "MB"}, true, sandbox.SessionRequest{Flavor: "large"}, 0},
		"the host's memory, now": {now(host), sandbox.Limit{Resource: "host_memory", Current: 14643, Max: 14745, Unit: "MB"}, true, sandbox.SessionRequest{}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if name == "the host's memory, now" {
					tc.opts.HostMemory = func() (total, available int64) { return 16 << 30, 16<<30/10 + 1<<20 }
				}
				s := start(t, fake(), tc.opts)
				if !tc.free {
					for _, name := range []string{"a", "b"} {
						busy := begin(t.Context(), s, code(name, "sleep:1m"))
						defer func() { <-busy }()
						synctest.Wait()
					}
				}
				began := time.Now()
				_, _, err := s.Create(t.Context(), tc.request)
				e := wantKind(t, err, sandbox.Exhausted)
				if e.Limit.Resource != tc.limit.Resource || e.Limit.Max != tc.limit.Max || e.Limit.Unit != tc.limit.Unit ||
					(e.Limit.Unit == "" || tc.limit.Resource == "memory") && e.Limit.Current != tc.limit.Current || e.Remedy == "" {
					t.Errorf("got %+v, want %+v", *e.Limit, tc.limit)
				}
				if took := time.Since(began); took != tc.took {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestAdmission_WaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxSessions: 1})
		busy := begin(t.Context(), s, code("a", "sleep:5s"))
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		gone := begin(ctx, s, code("gone", "print:x"))
		synctest.Wait()
		waits := begin(t.Context(), s, code("b", "print:x"))
		synctest.Wait()
		cancel()
		wantKind(t, (<-gone).err, sandbox.Canceled)
		if got := <-waits; got.err != nil || got.result.Waited.Round(time.Second) != 5*time.Second {
			t.Errorf("got %+v", got)
		}
		if took := time.Since(began).Round(time.Second); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		if got := <-busy; got.err != nil {
			t.Error(got.err)
		}
		wantNames(t, s, "b") // nothing was made for the one who left
	})
}

func TestAdmission_FailedCreationFreesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := sandboxtest.NewFaulty(fake())
		backend.Delay("Create", 1, 3, time.Second)
		backend.Fail("Create", 1, 3, &sandbox.Error{Kind: sandbox.Unavailable, Detail: "no namespaces", Remedy: "get some"})
		s := start(t, backend, supervision.Options{MaxSessions: 1, NoEviction: true})
		for range 3 {
			_, err := s.Execute(t.Context(), code("a", "print:x"))
			if e := wantKind(t, err, sandbox.Unavailable); e.Remedy != "get some" {
				t.Errorf("got %+v", e)
			}
		}
		wantNames(t, s)
		run(t, s, code("a", "print:x"))
	})
}

func TestAdmission_PlaceIsFreeWhenTheSandboxIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inside := fake()
		backend := sandboxtest.NewFaulty(inside)
		s := start(t, backend, supervision.Options{MaxSessions: 1, AdmissionWait: time.Minute})
		create(t, s, "a")
		backend.Fail("Destroy", 1, 3, errors.New("busy"))
		backend.Delay("Destroy", 4, 1, 20*time.Second)
		stopping := make(chan error, 1)
		go func() { stopping <- s.Stop(t.Context(), sandbox.Ref{Name: "a"}) }()
		synctest.Wait()
		began := time.Now()
		run(t, s, code("a", "print:x")) // another of that name
		if took := time.Since(began); took < 20*time.Second {
			t.Errorf("took %v", took)
		}
		if err := <-stopping; err != nil {
			t.Error(err)
		}
		if inside.Most() != 1 {
			t.Errorf("%d sandboxes at once", inside.Most())
		}
	})
}

func TestAdmission_StopWhileItIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake()
		backend.Slow = time.Minute
		s := start(t, backend, supervision.Options{MaxSessions: 1, AdmissionWait: time.Hour})
		making := begin(t.Context(), s, code("a", "print:x"))
		synctest.Wait()
		waits := begin(t.Context(), s, code("b", "print:x"))
		synctest.Wait()
		wantNames(t, s, "a")
		if err := s.Stop(t.Context(), sandbox.Ref{Name: "b"}); err != nil {
			t.Error(err)
		}
		wantKind(t, (<-waits).err, sandbox.Stopped)
		if err := s.Stop(t.Context(), sandbox.Ref{Name: "a"}); err != nil {
			t.Error(err)
		}
		wantKind(t, (<-making).err, sandbox.Stopped)
		wantKind(t, s.Stop(t.Context(), sandbox.Ref{Name: "a"}), sandbox.NotFound)
	})
}

// Who asks soon after the last look does not wait for the next, and who asks after it
// gets what that has seen.
func TestAdmission_HostIsSeenBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(8 << 30)
		slow := make(chan struct{})
		s := start(t, fake(), supervision.Options{AdmissionWait: -1, NoEviction: true, HostMemory: func() (total, available int64) {
			if free.Load() == 0 {
				<-slow
			}
			return 16 << 30, free.Load()
		}})
		create(t, s, "a")
		free.Store(0)
		time.Sleep(2 * time.Second)
		create(t, s, "b")
		create(t, s, "c") // one look at a time
		close(slow)
		synctest.Wait()
		_, err := s.Execute(t.Context(), code("d", "print:x"))
		wantKind(t, err, sandbox.Exhausted)
		wantNames(t, s, "a", "b", "c")
	})
}

func TestAdmission_HostMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(8 << 30)
		backend := fake()
		s := start(t, backend, supervision.Options{HostMemory: func() (total, available int64) { return 16 << 30, free.Load() }})
		create(t, s, "a")
		time.Sleep(time.Second)
		create(t, s, "b")
		free.Store(1 << 30)
		time.Sleep(20 * time.Second) // until it is looked at again before an answer
		waits := begin(t.Context(), s, code("c", "print:x"))
		synctest.Wait()
		wantNames(t, s, "b") // a was evicted, which did not help yet
		free.Store(8 << 30)
		if got := <-waits; got.err != nil {
			t.Error(got.err)
		}
		got := names(t, s)
		if !slices.Contains(got, "c") {
			t.Errorf("got %v", got)
		}
	})
}
