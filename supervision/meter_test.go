package supervision_test

import (
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// A tally is a Meter that counts by what it was told, with times as such.
type tally struct {
	mu   sync.Mutex
	told map[string]int
}

func (m *tally) add(what string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told == nil {
		m.told = map[string]int{}
	}
	m.told[what] += n
}

func (m *tally) all() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.told)
}

func (m *tally) SessionAdmitted(template, flavor string, waited time.Duration) {
	m.add("admitted "+template+" "+flavor+" after "+waited.String(), 1)
}
func (m *tally) SessionRefused(reason string)     { m.add("refused "+reason, 1) }
func (m *tally) SessionEnded(cause sandbox.Cause) { m.add("ended "+string(cause), 1) }
func (m *tally) SandboxMade(template string, took time.Duration, err error) {
	if err != nil {
		m.add("not made "+template, 1)
		return
	}
	m.add("made "+template+" in "+took.String(), 1)
}
func (m *tally) SandboxLost(cause sandbox.Cause) { m.add("lost "+string(cause), 1) }
func (m *tally) ActorRestarted()                 { m.add("restarted", 1) }
func (m *tally) ExecutionEnded(kind sandbox.ExecKind, outcome string, took, waited time.Duration) {
	m.add(string(kind)+" "+outcome+" "+took.String()+" after "+waited.String(), 1)
}
func (m *tally) OutputBytes(n int) { m.add("bytes", n) }

func TestMeter_IsToldOfEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter, b := &tally{}, &bomb{}
		inside := sandboxtest.NewFaulty(&sandboxtest.Fake{Clock: sandboxtest.Clock, Slow: time.Second})
		inside.Fail("Create", 1, 1, &sandbox.Error{Kind: sandbox.Unavailable})
		s := start(t, inside, supervision.Options{Meter: meter, MaxSessions: 1, AdmissionWait: time.Second, Session: actors.Options{Clock: b.clock, QueueWait: 3 * time.Second}})
		if _, _, err := s.Create(t.Context(), sandbox.SessionRequest{Session: "a"}); err == nil {
			t.Error("the first one was made")
		}
		run(t, s, code("a", "print:1234"))
		run(t, s, code("a", "fail:Error:x"))
		run(t, s, command("exit:3"))
		long := begin(t.Context(), s, code("a", "sleep:5s"))
		synctest.Wait()
		tired := begin(t.Context(), s, code("a", "print:never"))
		synctest.Wait()
		if _, _, err := s.Create(t.Context(), sandbox.SessionRequest{Session: "b"}); sandbox.KindOf(err) != sandbox.Exhausted {
			t.Errorf("a session in use made room: %v", err)
		}
		if _, _, err := s.Create(t.Context(), sandbox.SessionRequest{Session: "..."}); err == nil {
			t.Error("that is no name")
		}
		<-tired
		<-long
		b.armed.Store(1)
		run(t, s, code("a", "print:x")) // its start is a panic
		run(t, s, code("a", "die:oom"))
		time.Sleep(10 * time.Second) // it gets a fresh one
		run(t, s, code("b", "print:y"))
		if err := s.Stop(t.Context(), sandbox.Ref{Name: "b"}); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{
			"not made python": 1, "refused unavailable": 1, "admitted python small after 0s": 3, "made python in 1s": 3,
			"code ok 0s after 0s": 2, "code ok 0s after 50ms": 1, "code failed 0s after 0s": 1, "command failed 0s after 0s": 1,
			"code ok 5s after 0s": 1, "code not_run 0s after 3s": 1, "refused sessions": 1, "refused invalid": 1,
			"restarted": 1, "code oom 0s after 0s": 1, "lost oom": 1, "ended evicted": 1, "ended killed_by_user": 1, "bytes": 18,
		}
		if diff := cmp.Diff(want, meter.all()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestOverview_CountsStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &sandboxtest.Fake{Clock: sandboxtest.Clock, Slow: time.Second, Pressed: func() (used, limit int64) { return 5, 9 }}
		s := start(t, backend, supervision.Options{
			MaxSessions: 3, NoEviction: true, HostMemory: func() (total, available int64) { return 64 << 30, 32 << 30 },
		})
		run(t, s, code("ready", "print:x"))
		run(t, s, code("running", "print:x"))
		running := begin(t.Context(), s, code("running", "sleep:1m"))
		creating := begin(t.Context(), s, code("creating", "print:x"))
		waiting := begin(t.Context(), s, code("waiting", "print:x"))
		synctest.Wait()
		time.Sleep(500 * time.Millisecond)
		o, err := s.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := map[sandbox.Status]int{ //nolint:exhaustive // no others
			sandbox.StatusReady: 1, sandbox.StatusRunning: 1, sandbox.StatusCreating: 1, sandbox.StatusWaiting: 1,
		}
		if diff := cmp.Diff(want, o.States); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		if o.HostTotal != 64<<30 || o.HostAvailable != 32<<30 || o.Used != 5 || o.UsedMax != 9 {
			t.Errorf("got %+v", o)
		}
		<-running
		<-creating
		<-waiting
	})
}
