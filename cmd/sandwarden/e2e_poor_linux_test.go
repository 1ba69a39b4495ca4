package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// nobody is the uid of the ordinary user.
const nobody = 65534

// poor is a place that belongs to an ordinary user.
func poor(t *testing.T, environ ...string) *place {
	t.Helper()
	p := newPlace(t, environ...)
	if os.Getuid() != 0 {
		return p // then we are one
	}
	p.user = &syscall.Credential{Uid: nobody, Gid: nobody}
	if err := os.Chown(p.home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return p
}

// An ordinary user gets no sandboxes with less than all limits, but is told
// how.
func TestOrdinaryUser_IsToldWhatIsMissing(t *testing.T) {
	s := poor(t).serve(t)
	status, body := s.get(t, "/")
	if backend := body["backend"].(map[string]any); status != 200 || backend["ready"] != false || backend["reason"] == "" {
		t.Errorf("got %d, %v", status, body)
	}
	got, err := s.call(t.Context(), "execute_code", arguments{"code": "1"})
	if err != nil || got.Error == nil || got.Error.Data == nil || got.Error.Data.ErrorCode != "SANDBOX_CREATION_ERROR" {
		t.Fatalf("got %+v, %v", got, err)
	}
	remedy := strings.Join(got.Error.Data.Suggestions, "\n")
	if !strings.Contains(remedy, s.wayOut()) {
		t.Errorf("got %q, want %q in it", remedy, s.wayOut())
	}
	if left := s.sessions(t); len(left) > 0 {
		t.Errorf("sessions were made: %q", left)
	}
}

// What an ordinary user is told to do.
const (
	allowIt     = "SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1"
	doctorTells = "sandwarden doctor"
)

// wayOut is the one of them that helps on this host.
func (s *server) wayOut() string {
	if strings.Contains(s.log.String(), "may not make user namespaces") {
		return doctorTells
	}
	return allowIt
}

// Allowed to do without, it works; what is not enforced is told everywhere.
func TestOrdinaryUser_AllowedToDoWithout(t *testing.T) {
	s := poor(t, "SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1").serve(t)
	if s.wayOut() == doctorTells {
		sandboxtest.Skip(t, "an ordinary user may make no user namespace here")
	}
	if text := s.log.String(); !strings.Contains(text, "not enforced on this host: ") {
		t.Errorf("the ready line says nothing of it: %s", text)
	}
	status, body := s.get(t, "/")
	backend := body["backend"].(map[string]any)
	unenforced, _ := backend["unenforced"].([]any)
	if status != 200 || backend["ready"] != true || !slices.Contains(unenforced, any("memory")) || !slices.Contains(unenforced, any("uid")) {
		t.Errorf("got %d, %v", status, body)
	}
	if got := s.run(t, "a", "x = 6 * 7\nprint(x)"); got != "42" {
		t.Errorf("got %q", got)
	}
	if got := s.run(t, "a", "import os\nos.listdir('/home') if os.path.exists('/home') else []"); got != "[]" {
		t.Errorf("it sees %q", got)
	}
	var session map[string]any
	if _, session = s.get(t, "/v1/sessions/a"); fmt.Sprint(session["unenforced"]) != fmt.Sprint(unenforced) {
		t.Errorf("the session says %v, the status %v", session["unenforced"], unenforced)
	}
	if agents := s.look(); len(agents) != 1 {
		t.Errorf("got agents %q", agents)
	}
	if status := s.stop(t, syscall.SIGTERM); status != 0 {
		t.Errorf("status %d", status)
	}
	s.wantNothingLeft(t)
}

// Sandboxes of the user's one id are taken over by the next daemon.
func TestOrdinaryUser_KeepsSessions(t *testing.T) {
	p := poor(t, "SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1", "SANDWARDEN_SHUTDOWN_SESSIONS=keep")
	s := p.serve(t)
	if s.wayOut() == doctorTells {
		sandboxtest.Skip(t, "an ordinary user may make no user namespace here")
	}
	s.run(t, "a", "x = 41")
	if status := s.stop(t, syscall.SIGTERM); status != 0 {
		t.Errorf("status %d", status)
	}
	next := p.serve(t)
	if got := next.run(t, "a", "x + 1"); got != "42" {
		t.Errorf("got %q", got)
	}
	next.text(t, "stop_session", arguments{"session_id": "a"})
	next.stop(t, syscall.SIGTERM)
	next.wantNothingLeft(t)
}

// The process that an ordinary user started is killed: the one inside, which
// does the work, ends as if it had been asked to.
func TestOrdinaryUser_KilledOutside(t *testing.T) {
	s := poor(t, "SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1").serve(t)
	if s.wayOut() == doctorTells {
		sandboxtest.Skip(t, "an ordinary user may make no user namespace here")
	}
	s.occupy(t, 1, 1)
	if agents := s.kill(t); len(agents) != 2 {
		t.Errorf("got agents %q", agents)
	}
	eventually(t, "records are gone", func() bool { return len(s.records()) == 0 })
	s.wantNothingLeft(t)
}

// A daemon that was built without the agent starts, and says what to do.
func TestWithoutAgent_SaysSo(t *testing.T) {
	p := newPlace(t)
	overlay, err := writeOverlay(p.home, "")
	if err != nil {
		t.Fatal(err)
	}
	p.program = filepath.Join(p.home, "sandwarden")
	if err := goBuild("CGO_ENABLED=0", "-overlay", overlay, "-o", p.program, "./cmd/sandwarden"); err != nil {
		t.Fatal(err)
	}
	s := p.serve(t)
	const said, remedy = "this daemon was built without the agent", "build it with: make build"
	if text := s.log.String(); !strings.Contains(text, "no sandbox can be made here: "+said+"; "+remedy) {
		t.Errorf("it logs %s", text)
	}
	status, body := s.get(t, "/")
	if backend := body["backend"].(map[string]any); status != 200 || backend["ready"] != false || backend["reason"] != said || backend["remedy"] != remedy {
		t.Errorf("got %d, %v", status, body)
	}
	if status, body := s.get(t, "/health"); status != 200 || body["server_started"] != false {
		t.Errorf("got %d, %v", status, body)
	}
	got, err := s.call(t.Context(), "execute_code", arguments{"code": "1"})
	if err != nil || got.Error == nil || !strings.Contains(got.Error.Message, said) || got.Error.Data.Suggestions[0] != remedy {
		t.Errorf("got %+v, %v", got, err)
	}
	var made map[string]any
	if err := s.post(t.Context(), "/v1/sessions", nil, &made); err != nil || made["kind"] != "unavailable" || made["remedy"] != remedy {
		t.Errorf("got %v, %v", made, err)
	}
	if left := s.sessions(t); len(left) > 0 {
		t.Errorf("sessions were made: %q", left)
	}
}
