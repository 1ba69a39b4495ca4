package mcp

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTable_Expiry(t *testing.T) {
	now := time.Unix(0, 0)
	table := newTable(10, time.Minute)
	table.now = func() time.Time { return now }
	idle, _ := table.open("", "v")
	busy, _ := table.open("", "v")
	ctx, cancel := context.WithCancelCause(t.Context())
	done, ok := table.track(busy, "1", cancel)
	if !ok {
		t.Fatal("track")
	}
	now = now.Add(2 * time.Minute)
	if _, ok := table.find("", idle.id); ok {
		t.Error("an idle session outlived its time")
	}
	if _, ok := table.find("", busy.id); !ok {
		t.Error("a busy session expired")
	}
	now = now.Add(2 * time.Minute)
	done()
	if _, ok := table.find("", busy.id); !ok {
		t.Error("the time of a session does not count from its last call's end")
	}
	now = now.Add(2 * time.Minute)
	if _, ok := table.open("", "v"); !ok || table.len() != 1 {
		t.Errorf("%d sessions, want the new one alone", table.len())
	}
	if ctx.Err() != nil {
		t.Error("a call was canceled that had ended")
	}
}

func TestTable_FullOfBusyOnes(t *testing.T) {
	table := newTable(1, time.Minute)
	s, _ := table.open("", "v")
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, ok := table.track(s, "1", cancel); !ok {
		t.Fatal("track")
	}
	if _, ok := table.open("", "v"); ok {
		t.Error("a busy session was dropped")
	}
	if !table.end("", s.id) || !errors.Is(context.Cause(ctx), errSessionEnded) {
		t.Errorf("the call of an ended session has cause %v", context.Cause(ctx))
	}
}

func TestSkip(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`{"a":"}\"","b":[{}]} x`, `{"a":"}\"","b":[{}]}`},
		{`"a\\" x`, `"a\\"`},
		{`"a\\\"b" x`, `"a\\\"b"`},
		{`-1.5e3,`, `-1.5e3`},
		{`null}`, `null`},
		{`[[],"]"]]`, `[[],"]"]`},
	} {
		if got := c.raw[:skip([]byte(c.raw), 0)]; got != c.want {
			t.Errorf("skip(%s) ends at %s, want %s", c.raw, got, c.want)
		}
	}
}

// One owner's sessions push out no other's.
func TestTable_OwnersPushOutTheirOwn(t *testing.T) {
	table := newTable(10, time.Hour)
	hers, _ := table.open("alice", "v")
	for range 100 {
		if _, ok := table.open("bob", "v"); !ok {
			t.Fatal("no room")
		}
	}
	if _, ok := table.find("alice", hers.id); !ok {
		t.Error("bob pushed out the session of alice")
	}
	if _, ok := table.find("bob", hers.id); ok {
		t.Error("bob finds it")
	}
	if table.len() != 10 {
		t.Errorf("%d sessions", table.len())
	}
}
