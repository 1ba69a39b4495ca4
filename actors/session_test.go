package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// spawn starts a session whose parent does nothing, and ends it with the test.
func spawn(t *testing.T, box sandbox.Sandbox, lost func(sandbox.Sandbox, sandbox.Death)) *actors.Session {
	t.Helper()
	opts := actors.Options{Clock: sandboxtest.Clock, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	sys := actors.NewSystem(opts.Logger)
	record := newLedger(t)
	born := make(chan *actors.Session, 1)
	parent := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			s, err := actors.Spawn(t.Context(), c, actors.Birth{
				Name: "a", ID: "1", Ledger: record, Box: box, All: actors.NewLog(1<<20, 1000), Lost: lost,
			}, opts)
			if err != nil {
				t.Error(err)
			}
			born <- s
		case *actor.Terminated:
			_ = m
		}
	}))
	s := <-born
	t.Cleanup(func() {
		s.Doom(sandbox.CauseKilled)
		if err := sys.Root.StopFuture(parent).Wait(); err != nil {
			t.Error(err)
		}
		s.Bury()
		<-s.Settled()
		if err := box.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
	return s
}

func newLedger(tb testing.TB) *ledger.Ledger {
	tb.Helper()
	store, err := ledger.Open(tb.TempDir(), ledger.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(store.Close)
	record, err := store.Create(ledger.Info{ID: "0123456789abcdef", Session: "a"})
	if err != nil {
		tb.Fatal(err)
	}
	return record
}

func newBox(t *testing.T) sandbox.Sandbox {
	t.Helper()
	box, err := (&sandboxtest.Fake{Clock: sandboxtest.Clock}).Create(t.Context(), "sb-1", sandbox.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestSession_FollowAcknowledgesTheLastFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := spawn(t, box, nil)
		for range 3 {
			if _, err := s.Execute(t.Context(), actors.Order{Code: "print:x"}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Second) // until then another execution may acknowledge it
		synctest.Wait()
		known, err := box.Executions(t.Context())
		if err != nil || len(known) != 0 {
			t.Errorf("the sandbox still keeps %v, %v", known, err)
		}
	})
}

// A liar is a sandbox that sends what it likes once something is started.
type liar struct {
	sandbox.Sandbox

	started chan sandbox.ExecID
	lies    func(sandbox.ExecID) []sandbox.Frame
	told    bool
}

func (l *liar) Start(_ context.Context, x sandbox.Exec) error {
	l.started <- x.ID
	return nil
}

func (l *liar) Follow(ctx context.Context, _ uint64, wait time.Duration) ([]sandbox.Frame, error) {
	if l.told || wait == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	l.told = true
	return l.lies(<-l.started), nil
}

func TestSession_DoesNotBelieveEverything(t *testing.T) {
	text := func(seq uint64, id sandbox.ExecID, data string) sandbox.Frame {
		return sandbox.Frame{Seq: seq, Exec: id, Stream: sandbox.Stdout, Data: []byte(data)}
	}
	cases := map[string]func(sandbox.ExecID) []sandbox.Frame{
		"a hole":               func(id sandbox.ExecID) []sandbox.Frame { return []sandbox.Frame{text(1, id, "a"), text(3, id, "b")} },
		"a repetition":         func(id sandbox.ExecID) []sandbox.Frame { return []sandbox.Frame{text(1, id, "a"), text(1, id, "b")} },
		"a frame of no number": func(id sandbox.ExecID) []sandbox.Frame { return []sandbox.Frame{text(1, id, "a"), text(0, id, "b")} },
		"too much at once": func(id sandbox.ExecID) []sandbox.Frame {
			return []sandbox.Frame{text(1, id, "a"), text(2, id, strings.Repeat("b", 64<<10+1))}
		},
		"a stream of its own": func(id sandbox.ExecID) []sandbox.Frame {
			return []sandbox.Frame{text(1, id, "a"), {Seq: 2, Exec: id, Stream: "stdfoo"}}
		},
		"a type without end": func(id sandbox.ExecID) []sandbox.Frame {
			return []sandbox.Frame{text(1, id, "a"), {Seq: 2, Exec: id, Stream: sandbox.Display, MIME: strings.Repeat("x", 257)}}
		},
	}
	for name, lies := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := &liar{Sandbox: newBox(t), started: make(chan sandbox.ExecID, 1), lies: lies}
				var death sandbox.Death
				s := spawn(t, box, func(_ sandbox.Sandbox, d sandbox.Death) { death = d })
				result, err := s.Execute(t.Context(), actors.Order{Code: "print:x"})
				if err != nil || result.Exit.Cause != sandbox.CauseAgentLost || string(result.Stdout) != "a" {
					t.Errorf("got %+v, %v", result, err)
				}
				if death.Cause != sandbox.CauseAgentLost || !strings.Contains(death.Evidence, "frame") {
					t.Errorf("got %+v", death)
				}
			})
		})
	}
}

func TestSession_BoundsWhatItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("é", 1<<20)
		box := &liar{Sandbox: newBox(t), started: make(chan sandbox.ExecID, 1), lies: func(id sandbox.ExecID) []sandbox.Frame {
			return []sandbox.Frame{
				{Seq: 1, Exec: "nobody", Stream: sandbox.Stdout, Data: []byte("whose?")},
				{Seq: 2, Exec: "nobody", Exit: &sandbox.Exit{}},
				{Seq: 3, Exec: id, Exit: &sandbox.Exit{
					Code: 1, Cause: "a curse", Evidence: long, Result: long, Dropped: -5, Duration: -1, CPU: -1, PeakBytes: -1,
					Failure: &sandbox.Failure{Name: long, Message: long},
				}},
			}
		}}
		s := spawn(t, box, nil)
		result, err := s.Execute(t.Context(), actors.Order{Code: "print:x"})
		if err != nil {
			t.Fatal(err)
		}
		e := result.Exit
		if len(e.Evidence) != 1<<10 || len(e.Result) != 64<<10 || len(e.Failure.Name) != 4<<10 || len(e.Failure.Message) != 16<<10 ||
			e.Cause != sandbox.CauseCrashed || e.Dropped != 0 || e.Duration != 0 || e.CPU != 0 || e.PeakBytes != 0 {
			t.Errorf("got %d %d %d %d, %+v", len(e.Evidence), len(e.Result), len(e.Failure.Name), len(e.Failure.Message), e.Cause)
		}
		if len(result.Stdout) != 0 {
			t.Errorf("got %q", result.Stdout)
		}
		sub, err := s.Subscribe(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		var whose bool
		for _, event := range next(t, sub) {
			whose = whose || event.Exec == "" && string(event.Data) == "whose?"
		}
		if !whose {
			t.Error("the output of nobody is not in the log")
		}
	})
}

func TestSession_ManyLittleChunksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 140_000
		box := &liar{Sandbox: newBox(t), started: make(chan sandbox.ExecID, 1), lies: func(id sandbox.ExecID) []sandbox.Frame {
			frames := make([]sandbox.Frame, 0, count+1)
			for i := range count {
				frames = append(frames, sandbox.Frame{
					Seq: uint64(i + 1), Exec: id, Data: []byte("x"),
					Stream: []sandbox.Stream{sandbox.Stdout, sandbox.Stderr}[i%2],
				})
			}
			return append(frames, sandbox.Frame{Seq: count + 1, Exec: id, Exit: &sandbox.Exit{}})
		}}
		s := spawn(t, box, nil)
		result, err := s.Execute(t.Context(), actors.Order{Code: "print:x"})
		if err != nil {
			t.Fatal(err)
		}
		kept := len(result.Stdout) + len(result.Stderr)
		if kept > 1<<17 || kept+int(result.Omitted) != count {
			t.Errorf("kept %d, dropped %d", kept, result.Omitted)
		}
	})
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := slog.New(slog.NewTextHandler(t.Output(), nil))
		sys := actors.NewSystem(logger)
		pid := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch m := c.Message().(type) {
			case string:
				switch m {
				case "twice":
					c.Respond("first")
					c.Respond("second")
				case "refuse":
					c.Respond(&sandbox.Error{Kind: sandbox.Exhausted})
				case "panic":
					panic("a bug")
				case "nothing":
				default:
					c.Respond(42)
				}
			case *actor.Stopping:
				panic("a bug at the end")
			}
		}, actor.WithReceiverMiddleware(actors.Guard(logger))))
		ask := func(message string) (string, error) {
			ctx, stop := context.WithTimeout(t.Context(), time.Second)
			defer stop()
			answer, err := actors.Ask[string](ctx, sys, pid, nil, message)
			return answer, actors.Refusal("ask", "a", err)
		}
		if answer, err := ask("twice"); err != nil || answer != "first" {
			t.Errorf("got %q, %v", answer, err)
		}
		for message, kind := range map[string]sandbox.Kind{
			"refuse": sandbox.Exhausted, "nothing": sandbox.Timeout, "panic": sandbox.Other, "what?": sandbox.Other,
		} {
			if _, err := ask(message); sandbox.KindOf(err) != kind {
				t.Errorf("%s: got %v, want %v", message, err, kind)
			}
		}
		if err := sys.Root.StopFuture(pid).Wait(); err != nil {
			t.Error(err)
		}
		if _, err := ask("twice"); sandbox.KindOf(err) != sandbox.Stopped || !errors.Is(err, actor.ErrDeadLetter) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func BenchmarkExecute(b *testing.B) {
	fake := &sandboxtest.Fake{}
	box, err := fake.Create(b.Context(), "sb-1", sandbox.Spec{})
	if err != nil {
		b.Fatal(err)
	}
	sys, record := actors.NewSystem(slog.New(slog.DiscardHandler)), newLedger(b)
	born := make(chan *actors.Session, 1)
	parent := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			s, _ := actors.Spawn(b.Context(), c, actors.Birth{Name: "a", ID: "1", Ledger: record, Box: box, All: actors.NewLog(1<<20, 1000)}, actors.Options{})
			born <- s
		}
	}))
	s := <-born
	b.ReportAllocs()
	for b.Loop() {
		if result, err := s.Execute(b.Context(), actors.Order{Code: "print:x"}); err != nil || string(result.Stdout) != "x\n" {
			b.Fatal(fmt.Sprint(result, err))
		}
	}
	_ = sys.Root.StopFuture(parent).Wait()
	_ = box.Destroy(b.Context())
}
