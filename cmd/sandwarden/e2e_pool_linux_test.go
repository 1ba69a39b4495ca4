//go:build linux

package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A daemon as it is by default has sandboxes ready, and gives them to sessions with
// what those name; killed, it leaves nothing that the next does not end, but the
// sessions; ended, it leaves none.
func TestPool_OfADaemon(t *testing.T) {
	p := newPlace(t, "SANDWARDEN_POOL_MIN=2")
	s := p.serve(t)
	s.wantReady(t)
	if got := s.run(t, "first", "import socket; x = 41; socket.gethostname()"); got != "'first'" {
		t.Errorf("got %q", got)
	}
	if _, text := s.knock(t, "GET", "/metrics", "", ""); !strings.Contains(text, `sandwarden_pool_hits_total{template="python"} 1`) {
		t.Errorf("the session had no ready sandbox:\n%s", text)
	}
	s.wantReady(t)
	left := s.kill(t)
	next := p.serve(t)
	if got := next.run(t, "first", "x + 1"); got != "42" {
		t.Errorf("after the kill: %q", got)
	}
	eventually(t, "what was ready is ended", func() bool {
		return len(slices.DeleteFunc(slices.Clone(left), isGone)) == 1
	})
	next.wantReady(t)
	next.stop(t, syscall.SIGINT)
	next.wantNothingLeft(t)
}

// wantReady waits until as many sandboxes are ready as there are to be.
func (s *server) wantReady(t *testing.T) {
	t.Helper()
	eventually(t, "sandboxes are ready", func() bool {
		_, text := s.knock(t, "GET", "/metrics", "", "")
		for _, template := range []string{"python", "node", "bash"} {
			if !strings.Contains(text, `sandwarden_pool_ready{template="`+template+`"} 2`) {
				return false
			}
		}
		return true
	})
}
