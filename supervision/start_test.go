package supervision_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// start returns sessions over a backend in a bubble, which are closed at its
// end; what is left then fails the test.
func start(t *testing.T, backend sandbox.Backend, opts supervision.Options) *supervision.Sessions {
	t.Helper()
	if opts.Session.Clock == nil {
		opts.Session.Clock = sandboxtest.Clock
	}
	opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := supervision.New(t.Context(), backend, openStore(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer stop()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if left, _ := backend.List(ctx); len(left) > 0 {
			t.Errorf("sandboxes left: %v", left)
		}
		time.Sleep(time.Minute) // timers of the library
	})
	return s
}

// openStore opens a store of its own for a test.
func openStore(tb testing.TB) *ledger.Store {
	tb.Helper()
	store, err := ledger.Open(tb.TempDir(), ledger.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(store.Close)
	return store
}

func fake() *sandboxtest.Fake { return &sandboxtest.Fake{Clock: sandboxtest.Clock} }

func code(session, script string) sandbox.ExecRequest {
	return sandbox.ExecRequest{SessionRequest: sandbox.SessionRequest{Session: session}, Code: script}
}

// command is one in the session a.
func command(argv ...string) sandbox.ExecRequest {
	return sandbox.ExecRequest{SessionRequest: sandbox.SessionRequest{Session: "a"}, Argv: argv}
}

// run executes and expects no error.
func run(t *testing.T, s *supervision.Sessions, request sandbox.ExecRequest) sandbox.ExecResult {
	t.Helper()
	result, err := s.Execute(t.Context(), request)
	if err != nil {
		t.Fatalf("execute %q: %v", request.Code, err)
	}
	return result
}

// An outcome is what a call in the background came to.
type outcome struct {
	result sandbox.ExecResult
	err    error
}

// begin executes in the background.
func begin(ctx context.Context, s *supervision.Sessions, request sandbox.ExecRequest) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		result, err := s.Execute(ctx, request)
		done <- outcome{result, err}
	}()
	return done
}

func wantKind(t *testing.T, err error, kind sandbox.Kind) *sandbox.Error {
	t.Helper()
	e, ok := errors.AsType[*sandbox.Error](err)
	if !ok || e.Kind != kind {
		t.Fatalf("got error %v, want one of kind %v", err, kind)
	}
	return e
}

// names returns the names of the sessions in order.
func names(t *testing.T, s *supervision.Sessions) []string {
	t.Helper()
	all, err := s.List(t.Context(), sandbox.SessionQuery{})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, len(all))
	for i, session := range all {
		got[i] = session.Name
	}
	return got
}

func wantNames(t *testing.T, s *supervision.Sessions, want ...string) {
	t.Helper()
	if got := names(t, s); !slices.Equal(got, want) {
		t.Fatalf("got sessions %v, want %v", got, want)
	}
}

// events reads what the log of the session a holds now, from the oldest.
func events(t *testing.T, s *supervision.Sessions) []sandbox.Event {
	t.Helper()
	subscription, err := s.Subscribe(t.Context(), sandbox.Ref{Name: "a"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return readNow(t, subscription)
}

// readNow reads what is there without waiting for more.
func readNow(t *testing.T, subscription sandbox.Subscription) []sandbox.Event {
	t.Helper()
	var all []sandbox.Event
	for {
		ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
		got, err := subscription.Next(ctx)
		stop()
		all = append(all, got...)
		if err != nil {
			return all
		}
	}
}

// kinds returns the types of events, runs of output as one.
func kinds(all []sandbox.Event) []sandbox.EventType {
	var types []sandbox.EventType
	for _, e := range all {
		types = append(types, e.Type)
	}
	return slices.CompactFunc(types, func(a, b sandbox.EventType) bool { return a == b && a == sandbox.Output })
}

func wantKinds(t *testing.T, all []sandbox.Event, want ...sandbox.EventType) {
	t.Helper()
	if got := kinds(all); !slices.Equal(got, want) {
		t.Fatalf("got events\n%v, want\n%v", got, want)
	}
	for i := 1; i < len(all); i++ {
		if all[i].Seq <= all[i-1].Seq {
			t.Fatalf("event %d follows event %d", all[i].Seq, all[i-1].Seq)
		}
	}
}

func optsWithClock() actors.Options { return actors.Options{Clock: sandboxtest.Clock} }

// A bomb is a clock of deadlines that panics when it is armed. The session's
// actor reads it in the middle of a message.
type bomb struct{ armed atomic.Int64 }

func (b *bomb) clock() time.Duration {
	if b.armed.Add(-1) >= 0 {
		panic("a bug")
	}
	b.armed.Store(0)
	return sandboxtest.Clock()
}
