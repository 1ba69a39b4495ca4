package supervision_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// A host is sessions over real sandboxes.
type host struct {
	*supervision.Sessions
	backend *native.Backend
	records string // the folder of the backend's records
}

// startReal returns sessions over real sandboxes, which are gone at the end.
func startReal(t *testing.T, opts supervision.Options) *host {
	t.Helper()
	home, err := os.MkdirTemp("", "sw") //nolint:usetesting // a short name: sockets are below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	state := filepath.Join(home, "state")
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	backend, err := native.New(t.Context(), native.Options{StateDir: state, RuntimeDir: filepath.Join(home, "run"), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if err := backend.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := backend.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	opts.Logger = logger
	s, err := supervision.New(t.Context(), backend, openStore(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if left, _ := backend.List(ctx); len(left) > 0 {
			t.Errorf("sandboxes left: %v", left)
		}
	})
	return &host{Sessions: s, backend: backend, records: filepath.Join(state, "sandboxes")}
}

// killAgent ends the agent of a sandbox.
func (h *host) killAgent(t *testing.T, id sandbox.ID) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(h.records, string(id)+".json"))
	var record struct{ PID int }
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil || record.PID <= 1 {
		t.Fatalf("the record of %s: %+v, %v", id, record, err)
	}
	if err := unix.Kill(record.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// A follower sees the output of a call while it runs.
type follower struct {
	mu    sync.Mutex
	text  bytes.Buffer
	began chan struct{} // closed at the first output
}

// follow makes the request tell a follower.
func follow(request sandbox.ExecRequest) (sandbox.ExecRequest, *follower) {
	f := &follower{began: make(chan struct{})}
	request.Follow = func(_ sandbox.Stream, data []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.text.Len() == 0 {
			close(f.began)
		}
		f.text.Write(data)
	}
	return request, f
}

// started begins a call and returns when its first output is there.
func (h *host) started(t *testing.T, request sandbox.ExecRequest) (<-chan outcome, *follower) {
	t.Helper()
	request, f := follow(request)
	done := begin(t.Context(), h.Sessions, request)
	select {
	case <-f.began:
	case got := <-done:
		t.Fatalf("it ended early: %+v", got)
	}
	return done, f
}

// await reads events until one of a kind of a session.
func await(t *testing.T, from sandbox.Subscription, session string, kind sandbox.EventType) sandbox.Event {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		got, err := from.Next(ctx)
		if err != nil {
			t.Fatalf("no %s of %s: %v", kind, session, err)
		}
		i := slices.IndexFunc(got, func(e sandbox.Event) bool { return e.Type == kind && e.Session == session })
		if i >= 0 {
			return got[i]
		}
	}
}

// awaiting is Python code that goes on when there is a file.
func awaiting(name string) string {
	return "import os, time\nwhile not os.path.exists('/work/" + name + "'): time.sleep(0.005)\n"
}

func touch(name string) sandbox.ExecRequest { return command("touch", "/work/"+name) }

const endless = "print('before', flush=True)\nimport time\nwhile True: time.sleep(0.1)"

// A fuse is the clock of deadlines, which panics when it is lit. The session's
// actor reads it in the middle of a message.
type fuse struct{ lit, blown atomic.Int64 }

func (f *fuse) clock() time.Duration {
	if f.lit.Add(-1) >= 0 {
		f.blown.Add(1)
		panic("a bug")
	}
	f.lit.Store(0)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err)
	}
	return time.Duration(now.Nano())
}

// The actor of a session panics, twice, while code runs: the sandbox, what the
// kernel knows, the run and the log are as if nothing had been.
func TestReal_ActorPanicHurtsNobody(t *testing.T) {
	f := &fuse{}
	h := startReal(t, supervision.Options{Session: actors.Options{Clock: f.clock}})
	box := run(t, h.Sessions, code("a", "x = 41")).Session.Sandbox
	const lines = 5000
	running, follower := h.started(t, code("a", "print('before', flush=True)\n"+awaiting("go")+
		fmt.Sprintf("for i in range(%d): print('line', i)\nx += 1\nprint('after')", lines)))
	queued := begin(t.Context(), h.Sessions, code("a", "print('queued', x)"))
	f.lit.Store(2) // at the start of the command, and at its second try
	if got := run(t, h.Sessions, touch("go")); got.Exit.Code != 0 {
		t.Errorf("touch: %+v", got)
	}
	if f.blown.Load() != 2 {
		t.Fatalf("%d panics", f.blown.Load())
	}
	var want strings.Builder
	want.WriteString("before\n")
	for i := range lines {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	want.WriteString("after\n")
	got := <-running
	if got.err != nil || string(got.result.Stdout) != want.String() || follower.text.String() != want.String() || got.result.Exit.Code != 0 {
		t.Errorf("running: %v, %d bytes, %d followed, want %d", got.err, len(got.result.Stdout), follower.text.Len(), want.Len())
	}
	if got := <-queued; got.err != nil || string(got.result.Stdout) != "queued 42\n" {
		t.Errorf("queued: %+v", got)
	}
	after := run(t, h.Sessions, code("a", "print(x)"))
	if string(after.Stdout) != "42\n" || after.Session.Sandbox != box || after.Session.Restarts != 0 {
		t.Errorf("after: %+v", after)
	}
	var logged bytes.Buffer
	all := events(t, h.Sessions)
	for i, e := range all {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d is numbered %d", i+1, e.Seq)
		}
		if e.Type == sandbox.Output && e.Exec == got.result.Exec {
			logged.Write(e.Data)
		}
	}
	if logged.String() != want.String() {
		t.Errorf("the log has %d bytes of it, want %d", logged.Len(), want.Len())
	}
}

func TestReal_AgentKilled(t *testing.T) {
	h := startReal(t, supervision.Options{})
	all, err := h.SubscribeAll(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	first := run(t, h.Sessions, code("a", "x = 1"))
	running, _ := h.started(t, code("a", endless))
	waiting := begin(t.Context(), h.Sessions, code("a", "print('waited')"))
	h.killAgent(t, first.Session.Sandbox)
	got := <-running
	if exit := got.result.Exit; got.err != nil || exit.Cause != sandbox.CauseAgentLost || !exit.StateLost || exit.Evidence == "" ||
		string(got.result.Stdout) != "before\n" {
		t.Errorf("running: %+v", got)
	}
	if got := <-waiting; got.err != nil || string(got.result.Stdout) != "waited\n" {
		t.Errorf("waiting: %+v", got)
	}
	if e := await(t, all, "a", sandbox.SessionRestarted); e.Cause != sandbox.CauseAgentLost || !e.StateLost || !e.FilesLost || e.Evidence == "" {
		t.Errorf("got %+v", e)
	}
	next := run(t, h.Sessions, code("a", "x"))
	if next.Exit.Failure == nil || next.Exit.Failure.Name != "NameError" || next.Created || next.Session.Restarts != 1 ||
		next.Session.Name != "a" || next.Session.Sandbox == first.Session.Sandbox || next.Session.Flavor != first.Session.Flavor {
		t.Errorf("got %+v", next)
	}
}

func TestReal_OutOfMemory(t *testing.T) {
	h := startReal(t, supervision.Options{})
	if !slices.Contains(h.backend.Capabilities().Enforced, "memory") {
		sandboxtest.Skip(t, "memory is not limited here")
	}
	run(t, h.Sessions, code("a", "x = 1"))
	got := run(t, h.Sessions, code("a", "print('before', flush=True)\nb = b'x' * (2 << 30)"))
	if exit := got.Exit; exit.Cause != sandbox.CauseOOM || !exit.StateLost || exit.Evidence == "" || string(got.Stdout) != "before\n" {
		t.Errorf("got %+v", got)
	}
	if next := run(t, h.Sessions, code("a", "print(6 * 7)")); string(next.Stdout) != "42\n" || next.Created {
		t.Errorf("got %+v", next)
	}
}

// withRunning returns the session a once so many executions run or wait in it.
func (h *host) withRunning(t *testing.T, n int) sandbox.Session {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		session, err := h.Find(t.Context(), sandbox.Ref{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if session.Running == n {
			return session
		}
		<-ticker.C
	}
}

// Past the limit of restarts the session ends, everybody is answered, and its
// place is another's.
func TestReal_KilledTooOften(t *testing.T) {
	const restarts = 2
	h := startReal(t, supervision.Options{MaxSessions: 1, NoEviction: true, SandboxRestarts: restarts, Backoff: time.Millisecond})
	all, err := h.SubscribeAll(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range restarts + 1 {
		running, _ := h.started(t, code("a", endless))
		waiting := begin(t.Context(), h.Sessions, code("a", "print('waited')"))
		h.killAgent(t, h.withRunning(t, 2).Sandbox)
		if got := <-running; got.err != nil || got.result.Exit.Cause != sandbox.CauseAgentLost {
			t.Errorf("death %d: running: %+v", i, got)
		}
		got := <-waiting // it runs in the next sandbox, or is told that there is none
		if i < restarts && (got.err != nil || string(got.result.Stdout) != "waited\n") {
			t.Errorf("death %d: waiting: %+v", i, got)
		}
		if i == restarts {
			if e := wantKind(t, got.err, sandbox.Stopped); e.Cause != sandbox.CauseAgentLost {
				t.Errorf("the last one: waiting: %+v", e)
			}
		}
	}
	if e := await(t, all, "a", sandbox.SessionStopped); e.Cause != sandbox.CauseAgentLost {
		t.Errorf("got %+v", e)
	}
	if got := run(t, h.Sessions, code("b", "print(1)")); !got.Created { // there is one place
		t.Errorf("got %+v", got)
	}
	wantNames(t, h.Sessions, "b")
}

// The idle session ends while the busy one, used longer ago, goes on.
func TestReal_IdleSparesWork(t *testing.T) {
	h := startReal(t, supervision.Options{IdleTimeout: 200 * time.Millisecond, SweepInterval: 20 * time.Millisecond})
	all, err := h.SubscribeAll(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	busy, _ := h.started(t, code("a", "print('before', flush=True)\n"+awaiting("go")+"print('after')"))
	run(t, h.Sessions, code("b", "x = 1"))
	if e := await(t, all, "b", sandbox.SessionStopped); e.Cause != sandbox.CauseIdle {
		t.Errorf("got %+v", e)
	}
	wantNames(t, h.Sessions, "a")
	run(t, h.Sessions, touch("go"))
	if got := <-busy; got.err != nil || string(got.result.Stdout) != "before\nafter\n" {
		t.Errorf("got %+v", got)
	}
	if e := await(t, all, "a", sandbox.SessionStopped); e.Cause != sandbox.CauseIdle {
		t.Errorf("got %+v", e)
	}
}

// Eviction takes the idle session though the busy one was used longer ago.
func TestReal_EvictionSparesWork(t *testing.T) {
	h := startReal(t, supervision.Options{MaxSessions: 2})
	busy, _ := h.started(t, code("a", "print('before', flush=True)\n"+awaiting("go")+"print('after')"))
	run(t, h.Sessions, code("b", "x = 1"))
	for _, name := range []string{"c", "d"} {
		if got := run(t, h.Sessions, code(name, "print(1)")); !got.Created {
			t.Errorf("got %+v", got)
		}
		wantNames(t, h.Sessions, "a", name)
	}
	run(t, h.Sessions, touch("go"))
	if got := <-busy; got.err != nil || string(got.result.Stdout) != "before\nafter\n" {
		t.Errorf("got %+v", got)
	}
	if again := run(t, h.Sessions, code("b", "x")); again.Session.Previous == nil || again.Session.Previous.Cause != sandbox.CauseEvicted {
		t.Errorf("got %+v", again.Session)
	}
}
