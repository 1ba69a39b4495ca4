package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// isFrozen waits until a session is frozen.
func (s *server) isFrozen(t *testing.T, session string) {
	t.Helper()
	eventually(t, session+" is frozen", func() bool {
		_, got := s.get(t, "/v1/sessions/"+session)
		return got["frozen"] == true
	})
}

// freezes is a place whose daemons freeze idle sessions and leave them to the
// next one.
func freezes(t *testing.T) (*place, *server) {
	t.Helper()
	p := durable(t)
	p.environ = append(p.environ, "SANDWARDEN_FREEZE_AFTER=1")
	s := p.serve(t)
	if strings.Contains(s.log.String(), "idle sessions are not frozen") {
		sandboxtest.Skip(t, "sandboxes cannot be frozen here")
	}
	s.run(t, "a", "x = 41")
	s.isFrozen(t, "a")
	return p, s
}

// Sessions that are frozen when their daemon ends, or is killed, go on with the
// next, which freezes them again. They are ended as others are.
func TestFrozen_OutlivesTheDaemon(t *testing.T) {
	p, first := freezes(t)
	if status := first.stop(t, syscall.SIGTERM); status != 0 {
		t.Errorf("status %d", status)
	}
	second := p.serve(t)
	second.isFrozen(t, "a")
	second.kill(t)
	third := p.serve(t)
	if got := third.run(t, "a", "print(x + 1)"); got != "42" {
		t.Errorf("got %q", got)
	}
	third.isFrozen(t, "a")
	third.clear(t)
}

// A daemon that begins clean ends what is frozen too.
func TestFrozen_Clean(t *testing.T) {
	p, first := freezes(t)
	agents := first.kill(t)
	second := p.serve(t, "--clean")
	if slices.ContainsFunc(agents, func(a string) bool { return !isGone(a) }) {
		t.Errorf("of the agents %q not all are ended", agents)
	}
	second.clear(t)
}
