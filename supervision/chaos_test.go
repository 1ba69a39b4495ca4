package supervision_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
	"github.com/sandwarden/sandwarden/supervision"
)

// A chaos lets clients work while sessions are stopped, sandboxes die, actors
// panic and calls to the backend fail. Whatever happens: every call has an
// answer, one without a cause has all of its output, there are never more
// sandboxes than allowed, and the events of each execution come in order.
type chaos struct {
	s       *supervision.Sessions
	backend *sandboxtest.Faulty
	bomb    *bomb
}

func TestChaos(t *testing.T) {
	for range 5 {
		seed := rand.Uint64()
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { unleash(t, seed) })
		})
	}
}

func unleash(t *testing.T, seed uint64) {
	t.Helper()
	inside := fake()
	inside.Slow = 5 * time.Millisecond
	h := &chaos{backend: sandboxtest.NewFaulty(inside), bomb: &bomb{}}
	h.s = start(t, h.backend, supervision.Options{
		MaxSessions: 6, ActorRestarts: 20, SandboxRestarts: 10, Session: actors.Options{Clock: h.bomb.clock},
	})
	log, err := h.s.SubscribeAll(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); checkEvents(t, log) }()
	var clients, imps sync.WaitGroup
	for i := range 12 {
		clients.Go(func() { h.client(t, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	ctx, quiet := context.WithCancel(t.Context())
	imps.Go(func() { h.imp(ctx, rand.New(rand.NewPCG(seed, 99))) })
	clients.Wait()
	quiet()
	imps.Wait()
	if inside.Most() > 6 {
		t.Errorf("%d sandboxes at once", inside.Most())
	}
	if err := h.s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	<-over
}

// client makes calls one after another, in sessions that others use too.
func (h *chaos) client(t *testing.T, r *rand.Rand) {
	t.Helper()
	for i := range 40 {
		token := fmt.Sprintf("%d-%d", r.Uint32(), i)
		script := []string{"print:" + token, fmt.Sprintf("sleep:%dms", r.IntN(200)), "flood:1000", "print:" + token}
		request := sandbox.ExecRequest{SessionRequest: sandbox.SessionRequest{Session: "s" + strconv.Itoa(r.IntN(8))}}
		if r.IntN(2) == 0 {
			request.Argv = script
		} else {
			request.Code = fmt.Sprintf("%s;%s;%s;%s", script[0], script[1], script[2], script[3])
		}
		limit := 10 * time.Minute
		if r.IntN(8) == 0 {
			limit = time.Duration(r.IntN(100)) * time.Millisecond
		}
		ctx, stop := context.WithTimeout(t.Context(), limit)
		result, err := h.s.Execute(ctx, request)
		stop()
		whole := 2*(len(token)+1) + 1000
		switch {
		case err != nil:
			if _, ours := errors.AsType[*sandbox.Error](err); !ours {
				t.Errorf("got error %v", err)
			}
			if limit > time.Minute && sandbox.KindOf(err) == sandbox.Timeout && ctx.Err() != nil {
				t.Errorf("nobody answered: %v", err)
			}
		case result.Exit.Cause == sandbox.CauseNone && (result.Exit.Code != 0 || len(result.Stdout) != whole):
			t.Errorf("got %d bytes, want %d: %+v", len(result.Stdout), whole, result.Exit)
		}
	}
}

// imp makes trouble until ctx ends.
func (h *chaos) imp(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		switch r.IntN(6) {
		case 0:
			h.bomb.armed.Store(1)
		case 1:
			_ = h.s.Stop(ctx, sandbox.Ref{Name: "s" + strconv.Itoa(r.IntN(8))}) // there may be none
		case 2:
			if all, err := h.backend.List(ctx); err == nil && len(all) > 0 {
				_ = h.backend.Kill(all[r.IntN(len(all))], sandbox.Death{Cause: sandbox.CauseOOM})
			}
		case 3:
			h.backend.Fail([]string{"Create", "Start", "Destroy", "Follow"}[r.IntN(4)], 1, 1, errors.New("chaos"))
		case 4:
			h.backend.Delay([]string{"Create", "Start", "Destroy", "Follow"}[r.IntN(4)], 1, 3, 50*time.Millisecond)
		}
	}
}

// checkEvents reads the daemon's log to its end.
func checkEvents(t *testing.T, log sandbox.Subscription) {
	t.Helper()
	state := map[sandbox.ExecID]string{}
	last := uint64(0)
	for {
		got, err := log.Next(context.WithoutCancel(t.Context()))
		if err != nil {
			break
		}
		for _, e := range got {
			if e.Seq <= last {
				t.Errorf("event %d follows %d", e.Seq, last)
			}
			last = e.Seq
			was := state[e.Exec]
			switch {
			case e.Type == sandbox.ExecutionStarted && was == "":
				state[e.Exec] = "started"
			case e.Type == sandbox.ExecutionFinished && was == "started":
				state[e.Exec] = "finished"
			case e.Type == sandbox.Output && (was == "started" || e.Exec == ""):
			case e.Exec == "" && e.Type != sandbox.Gap:
			default:
				t.Errorf("%s of an execution that is %q", e.Type, was)
			}
		}
	}
	for id, was := range state {
		if was != "finished" {
			t.Errorf("execution %s was never finished", id)
		}
	}
}
