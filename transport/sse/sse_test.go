package sse_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/transport/sse"
)

func TestAccepted(t *testing.T) {
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{"*/*"}, false},
		{[]string{"application/json"}, false},
		{[]string{"text/event-stream"}, true},
		{[]string{"application/json, Text/Event-Stream; q=0.5"}, true},
		{[]string{"application/json", "text/event-stream"}, true},
		{[]string{"text/event-streams, x/text/event-stream"}, false},
	} {
		r := &http.Request{Header: http.Header{"Accept": c.accept}}
		if got := sse.Accepted(r); got != c.want {
			t.Errorf("Accepted(%q) = %t, want %t", c.accept, got, c.want)
		}
	}
}

func TestWriter(t *testing.T) {
	w := httptest.NewRecorder()
	s := sse.NewWriter(w, time.Second)
	s.Start()
	if err := s.Comment("hello"); err != nil {
		t.Fatal(err)
	}
	if err := s.Write([]byte("data: 1\n\n")); err != nil {
		t.Fatal(err)
	}
	if w.Body.String() != ": hello\n\ndata: 1\n\n" || !w.Flushed || w.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("%q, %v", w.Body, w.Header())
	}
}

func TestStreams(t *testing.T) {
	s := sse.NewStreams(2)
	first, leave, ok := s.Enter(t.Context())
	if !ok {
		t.Fatal("the first is refused")
	}
	second, leave2, _ := s.Enter(t.Context())
	if _, _, ok := s.Enter(t.Context()); ok {
		t.Error("a third is admitted")
	}
	leave()
	if first.Err() == nil || second.Err() != nil {
		t.Error("the wrong one ended")
	}
	third, leave3, ok := s.Enter(t.Context())
	if !ok {
		t.Fatal("a place is not free again")
	}
	s.Close()
	if second.Err() == nil || third.Err() == nil {
		t.Error("Close ends not all")
	}
	leave2()
	leave3()
	if _, _, ok := s.Enter(t.Context()); ok {
		t.Error("one is admitted after Close")
	}
}
