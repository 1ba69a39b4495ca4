package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// endless is code that says that it began and never ends.
const endless = "print('begun', flush=True)\nimport time\nwhile True: time.sleep(0.1)"

// occupy makes idle sessions, and busy ones whose calls it returns when their
// code runs.
func (s *server) occupy(t *testing.T, idle, busy int) []<-chan answer {
	t.Helper()
	var all sync.WaitGroup
	for i := range idle {
		all.Go(func() { s.create(t, fmt.Sprintf("idle-%d", i)) })
	}
	events := s.stream(t, "/v1/events", "")
	var calls []<-chan answer
	for i := range busy {
		calls = append(calls, s.begin(t, fmt.Sprintf("busy-%d", i), endless))
	}
	for range busy {
		events.until(t, isType("output"))
	}
	all.Wait()
	return calls
}

func TestSignal_EndsEverything(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			calls := s.occupy(t, 15, 5)
			if agents := s.look(); len(agents) != 20 {
				t.Errorf("%d agents", len(agents))
			}
			began := time.Now()
			status := s.stop(t, signal)
			if took := time.Since(began); status != 0 || took > 10*time.Second {
				t.Errorf("status %d after %s", status, took)
			}
			for _, call := range calls {
				got := <-call
				if got.Error == nil || got.Error.Data == nil || got.Error.Data.Context["error_type"] != "shutdown" {
					t.Errorf("a running call got %+v", got.Error)
				}
			}
			s.wantNothingLeft(t)
		})
	}
}

// A second signal does not wait; what it leaves is for the next start.
func TestSignal_Twice(t *testing.T) {
	s := serve(t)
	s.occupy(t, 1, 1)
	silent, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")) // the first signal waits for what it may ask
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	later := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // whose connection the daemon takes after that one
	answer, err := later.Get(s.url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	s.look()
	began := time.Now()
	eventually(t, "the daemon ends", func() bool {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
			return true
		default:
			return false
		}
	})
	if took := time.Since(began); s.status != -1 || took > 4*time.Second {
		t.Errorf("status %d after %s", s.status, took)
	}
	next := s.serve(t)
	if got := next.run(t, "again", "1 + 1"); got != "2" {
		t.Errorf("got %q", got)
	}
}

// kill ends a daemon as the kernel would, and returns the agents that it left.
func (s *server) kill(t *testing.T) []string {
	t.Helper()
	agents := s.look()
	s.stop(t, syscall.SIGKILL)
	return agents
}

func TestKill_NextStartHasWhatWasLeft(t *testing.T) {
	p := newPlace(t)
	first := p.serve(t)
	first.occupy(t, 2, 1)
	agents := first.kill(t)
	if len(agents) != 3 || slices.ContainsFunc(agents, isGone) {
		t.Fatalf("of the agents %q not all outlive their daemon", agents)
	}
	second := p.serve(t)
	if slices.ContainsFunc(agents, isGone) {
		t.Errorf("of the agents %q not all are taken over", agents)
	}
	if got := second.sessions(t); len(got) != 3 {
		t.Errorf("got sessions %q", got)
	}
	if got := second.run(t, "idle-0", "6 * 7"); got != "42" {
		t.Errorf("got %q", got)
	}
	second.kill(t)
	third := p.serve(t, "--clean")
	if slices.ContainsFunc(agents, func(a string) bool { return !isGone(a) }) {
		t.Errorf("of the agents %q not all are ended", agents)
	}
	if got := third.sessions(t); len(got) != 0 {
		t.Errorf("got sessions %q", got)
	}
}

func TestKill_Purge(t *testing.T) {
	p := newPlace(t)
	s := p.serve(t)
	s.occupy(t, 1, 1)
	if out, err := p.command("purge").CombinedOutput(); err == nil || !strings.Contains(string(out), "another sandwarden (pid ") {
		t.Errorf("beside a daemon: %v, %s", err, out)
	}
	if got := s.run(t, "idle-0", "1"); got != "1" {
		t.Errorf("got %q", got)
	}
	s.kill(t)
	if out, err := p.command("purge").Output(); err != nil || string(out) != "ended 2 sandboxes\n" {
		t.Errorf("got %v, %s", err, out)
	}
	s.wantNothingLeft(t)
	if out, err := p.command("purge").Output(); err != nil || string(out) != "ended 0 sandboxes\n" {
		t.Errorf("again: %v, %s", err, out)
	}
}

// Sandboxes whose daemon stays away end themselves, their work too.
func TestKill_OrphansEnd(t *testing.T) {
	p := newPlace(t, "SANDWARDEN_ORPHAN_GRACE=1s")
	s := p.serve(t)
	s.occupy(t, 1, 1)
	agents := s.kill(t)
	if len(agents) != 2 {
		t.Errorf("got agents %q", agents)
	}
	eventually(t, "orphans end", func() bool { return !slices.ContainsFunc(agents, func(a string) bool { return !isGone(a) }) })
	if out, err := p.command("purge").CombinedOutput(); err != nil { // of records and cgroups
		t.Errorf("purge: %v, %s", err, out)
	}
	s.wantNothingLeft(t)
}

func TestSecondDaemon_IsRefused(t *testing.T) {
	p := newPlace(t)
	s := p.serve(t)
	s.run(t, "a", "x = 7")
	out, err := p.command("serve", "--port", strconv.Itoa(freePortNumber(t))).CombinedOutput()
	want := fmt.Sprintf("sandwarden: another sandwarden (pid %d) uses ", s.cmd.Process.Pid)
	if err == nil || !strings.HasPrefix(string(out), want) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("got %v, %s", err, out)
	}
	if got := s.run(t, "a", "x"); got != "7" {
		t.Errorf("the first one: got %q", got)
	}
}
