package supervision_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/supervision"
)

// supply is one of 100, of which a session takes 10.
func supply(resource string, used int64) sandbox.Supply {
	return sandbox.Supply{
		Resource: resource, Limit: "the limit of " + resource, Used: used, Max: 100, Reserve: 20, Each: 10,
		Raise: func(to int64) string { return fmt.Sprintf("set it to %d", to) },
	}
}

func TestSupplies_ScarcestDecides(t *testing.T) {
	opts := supervision.Options{Connections: 20, Supplies: func() []sandbox.Supply {
		return []sandbox.Supply{supply("tasks", 50), supply("descriptors", 50)}
	}}
	if got := opts.Supplied(); got != 6 { // what clients may take is set aside, and what is used now does not count
		t.Errorf("got %d", got)
	}
	opts.Supplies = nil
	if got := opts.Supplied(); got != 0 {
		t.Errorf("unknown: got %d", got)
	}
}

func TestSupplies_Shortage(t *testing.T) {
	for name, tc := range map[string]struct {
		unseen   int
		supplies []sandbox.Supply
		want     string // the resource; empty is none
		remedy   string
	}{
		"room for one":        {0, []sandbox.Supply{supply("tasks", 70)}, "", ""},
		"none":                {0, []sandbox.Supply{supply("descriptors", 90), supply("tasks", 71)}, "descriptors", "raise the limit of descriptors: set it to 120"},
		"the last is taken":   {1, []sandbox.Supply{supply("tasks", 70)}, "tasks", "stop a session"},
		"nobody counts":       {0, []sandbox.Supply{supply("tasks", -1)}, "", ""},
		"the limit would do":  {0, []sandbox.Supply{supply("tasks", 80)}, "tasks", "set it to 110"},
		"nothing of it known": {3, nil, "", ""},
	} {
		limit, remedy := supervision.Shortage(5, tc.unseen, tc.supplies...)
		if (limit == nil) != (tc.want == "") || limit != nil && limit.Resource != tc.want || !strings.Contains(remedy, tc.remedy) {
			t.Errorf("%s: got %+v, %q", name, limit, remedy)
		}
	}
}

// A session that the host has not enough for is refused with the words for it,
// and one more is made once there is enough.
func TestSupplies_RefuseAndAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		s := start(t, fake(), supervision.Options{AdmissionWait: -1, NoEviction: true, Supplies: func() []sandbox.Supply {
			return []sandbox.Supply{supply("tasks", used.Load())}
		}})
		run(t, s, code("a", "print:x"))
		used.Store(75)
		_, err := s.Execute(t.Context(), code("b", "print:x"))
		if e := wantKind(t, err, sandbox.Exhausted); e.Limit == nil || *e.Limit != (sandbox.Limit{Resource: "tasks", Current: 75, Max: 80}) ||
			!strings.Contains(e.Remedy, "the limit of tasks") {
			t.Errorf("got %+v, limit %+v", e, e.Limit)
		}
		run(t, s, code("a", "print:x")) // what there is goes on
		used.Store(70)
		run(t, s, code("b", "print:x"))
	})
}

// An idle session makes room for another.
func TestSupplies_EvictForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake()
		s := start(t, backend, supervision.Options{Supplies: func() []sandbox.Supply {
			live, _ := backend.List(t.Context())
			return []sandbox.Supply{supply("tasks", int64(60+10*len(live)))}
		}})
		run(t, s, code("a", "print:x"))
		run(t, s, code("b", "print:x"))
		run(t, s, code("c", "print:x"))
		wantNames(t, s, "b", "c")
	})
}

// The start says which limit allows fewer sessions than are configured, and the
// value that does.
func TestSupplies_WarnOfTooMany(t *testing.T) {
	for sessions, want := range map[int]bool{8: false, 9: true} {
		var log bytes.Buffer
		s, err := supervision.New(t.Context(), fake(), openStore(t), supervision.Options{
			MaxSessions: sessions, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Supplies: func() []sandbox.Supply { return []sandbox.Supply{supply("tasks", 0)} },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		told := strings.Contains(log.String(), `fits=8 limit="the limit of tasks"`) && strings.Contains(log.String(), `remedy="set it to 110"`)
		if told != want {
			t.Errorf("%d sessions: %s", sessions, log.String())
		}
	}
}
