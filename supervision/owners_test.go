package supervision_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/supervision"
)

// of is a request of an owner.
func of(owner sandbox.Principal, name string) sandbox.SessionRequest {
	return sandbox.SessionRequest{Owner: owner, Session: name}
}

func TestOwners_NamesDoNotMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		seen := map[sandbox.ID]bool{}
		for _, owner := range []sandbox.Principal{"", "alice", "bob"} {
			session, made, err := s.Create(t.Context(), of(owner, "a"))
			if err != nil || !made || session.Owner != owner || seen[session.Sandbox] {
				t.Fatalf("%q: %+v, %v, %v", owner, session, made, err)
			}
			seen[session.Sandbox] = true
		}
		if err := s.Stop(t.Context(), sandbox.Ref{Owner: "alice", Name: "a"}); err != nil {
			t.Fatal(err)
		}
		for owner, want := range map[sandbox.Principal]int{"": 1, "alice": 0, "bob": 1, "carol": 0} {
			all, err := s.List(t.Context(), sandbox.SessionQuery{Owner: owner, Usage: true})
			if err != nil || len(all) != want || want == 1 && (all[0].Owner != owner || all[0].Usage == nil) {
				t.Errorf("%q has %+v, %v", owner, all, err)
			}
		}
		wantKind(t, s.Stop(t.Context(), sandbox.Ref{Owner: "carol", Name: "a"}), sandbox.NotFound)
		again, _, err := s.Create(t.Context(), of("bob", "b"))
		if err != nil || again.Previous != nil {
			t.Errorf("%+v, %v", again, err)
		}
		// What alice's session came to is told to alice alone.
		hers, _, err := s.Create(t.Context(), of("alice", "a"))
		if err != nil || hers.Previous == nil {
			t.Errorf("%+v, %v", hers, err)
		}
	})
}

func TestOwners_EachHasEventsOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{})
		for _, owner := range []sandbox.Principal{"alice", "bob", "alice"} {
			if _, _, err := s.Create(t.Context(), of(owner, "")); err != nil {
				t.Fatal(err)
			}
		}
		log, err := s.SubscribeAll(t.Context(), "bob", 0)
		if err != nil {
			t.Fatal(err)
		}
		events, err := log.Next(t.Context())
		if err != nil || len(events) != 1 || events[0].Seq == 0 || events[0].Type != sandbox.SessionReady {
			t.Errorf("%+v, %v", events, err)
		}
	})
}

// One who asks for much waits his turn; the others do not wait for him.
func TestOwners_TheLineIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxSessions: 1, NoEviction: true, AdmissionWait: time.Hour})
		create(t, s, "first")
		type made struct {
			owner sandbox.Principal
			name  string
		}
		order := make(chan made, 4)
		for _, m := range []made{{"greedy", "1"}, {"greedy", "2"}, {"greedy", "3"}, {"modest", "1"}} {
			go func() {
				if _, _, err := s.Create(t.Context(), of(m.owner, m.name)); err == nil {
					order <- m
				}
			}()
			synctest.Wait()
		}
		last := sandbox.Ref{Name: "first"}
		for _, want := range []made{{"greedy", "1"}, {"modest", "1"}, {"greedy", "2"}, {"greedy", "3"}} {
			if err := s.Stop(t.Context(), last); err != nil {
				t.Fatal(err)
			}
			if got := <-order; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
			last = sandbox.Ref{Owner: want.owner, Name: want.name}
		}
	})
}

// A line that is full has a place for one who has none in it, and not for those
// who fill it.
func TestOwners_AFullLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxSessions: 1, NoEviction: true, AdmissionWait: time.Minute, AdmissionQueue: 3})
		create(t, s, "first")
		refused := make(chan error, 5)
		ask := func(owner sandbox.Principal, name string) {
			go func() {
				_, _, err := s.Create(t.Context(), of(owner, name))
				refused <- err
			}()
			synctest.Wait()
		}
		for i := range 4 {
			ask("greedy", strconv.Itoa(i))
		}
		wantKind(t, <-refused, sandbox.Exhausted) // the fourth, at once
		ask("modest", "1")
		wantKind(t, <-refused, sandbox.Exhausted) // the third of the greedy
		time.Sleep(2 * time.Minute)
		positions := 0
		for range 3 {
			err := <-refused
			wantKind(t, err, sandbox.Exhausted)
			if strings.Contains(err.Error(), "it waited 1m0s as number ") && strings.Contains(err.Error(), "in the line") {
				positions++
			}
		}
		if positions != 3 {
			t.Errorf("%d of 3 were told where they stood", positions)
		}
	})
}

func TestOwners_LimitOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxOwned: 1, NoEviction: true, AdmissionWait: -1})
		for _, owner := range []sandbox.Principal{"alice", "bob"} {
			if _, _, err := s.Create(t.Context(), of(owner, "1")); err != nil {
				t.Fatal(err)
			}
			_, _, err := s.Create(t.Context(), of(owner, "2"))
			wantKind(t, err, sandbox.Exhausted)
		}
	})
}

func TestAdmission_Processors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxCPUs: 3, AdmissionWait: -1})
		medium := func(name string) sandbox.SessionRequest {
			return sandbox.SessionRequest{Session: name, Flavor: "medium"}
		}
		if _, _, err := s.Create(t.Context(), medium("a")); err != nil {
			t.Fatal(err)
		}
		create(t, s, "b")
		_, _, err := s.Create(t.Context(), sandbox.SessionRequest{Flavor: "large"})
		wantKind(t, err, sandbox.Exhausted) // it alone is too much
		o, err := s.Overview(t.Context())
		if err != nil || o.CPUs != 3 || o.MaxCPUs != 3 {
			t.Errorf("%+v, %v", o, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxCPUs: 2})
		create(t, s, "a")
		create(t, s, "b")
		create(t, s, "c") // evicts a
		wantNames(t, s, "b", "c")
	})
}

func TestTune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, fake(), supervision.Options{MaxSessions: 1, NoEviction: true, AdmissionWait: time.Hour})
		create(t, s, "a")
		waiting := begin(t.Context(), s, code("b", "print:x"))
		synctest.Wait()
		if err := s.Tune(t.Context(), supervision.Options{MaxSessions: 2, NoEviction: true, IdleTimeout: time.Second, SweepInterval: time.Second}); err != nil {
			t.Fatal(err)
		}
		if got := <-waiting; got.err != nil { // there is room now
			t.Error(got.err)
		}
		time.Sleep(10 * time.Second)
		wantNames(t, s) // and little patience with the idle
	})
}
