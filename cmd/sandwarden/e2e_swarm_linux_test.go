package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// Two hundred sessions at once, four times over: each is made, used twice and
// stopped. Nothing of them stays.
func TestSwarm_TwoHundredSessions(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	const sessions, rounds = 200, 4
	s := serve(t)
	var before int
	for round := range rounds {
		faults := make(chan error, sessions)
		for i := range sessions {
			go func() { faults <- s.live(t.Context(), fmt.Sprintf("s-%d-%d", round, i), i) }()
		}
		for range sessions {
			if err := <-faults; err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if left := s.sessions(t); len(left) > 0 {
			t.Errorf("round %d: sessions are left: %q", round, left)
		}
		if agents := s.look(); len(agents) > 0 {
			t.Errorf("round %d: agents are left: %q", round, agents)
		}
		s.client.CloseIdleConnections()
		if round == 0 {
			before = s.descriptors()
			continue
		}
		eventually(t, "descriptors are given back", func() bool { return s.descriptors() <= before+10 })
	}
}

// live is the whole life of one session.
func (s *server) live(ctx context.Context, name string, number int) error {
	for _, step := range []struct {
		tool string
		a    arguments
		want string
	}{
		{"execute_code", arguments{"session_id": name, "code": fmt.Sprintf("x = %d", number)}, ""},
		{"execute_code", arguments{"session_id": name, "code": "x * 2"}, strconv.Itoa(2 * number)},
		{"stop_session", arguments{"session_id": name}, "Session " + name + " stopped successfully"},
	} {
		got, err := s.call(ctx, step.tool, step.a)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		case got.Error != nil:
			return fmt.Errorf("%s: %s", name, got.Error.Message)
		case got.Result.IsError || got.Result.Content[0].Text != step.want:
			return fmt.Errorf("%s: %+v, want %q", name, got.Result, step.want)
		}
	}
	return nil
}

// descriptors is how many the daemon has open.
func (s *server) descriptors() int {
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	return len(open)
}

// Sessions that fill their memory, all at once, end for that reason or not at
// all; the daemon and idle neighbours answer all the time.
func TestSwarm_MemoryFilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes most of the memory")
	}
	if total := totalMemory(t); total < 16<<30 {
		sandboxtest.Skip(t, "this host has %d MiB of memory", total>>20)
	}
	const hogs, neighbours = 24, 3
	s := serve(t)
	for i := range neighbours {
		s.run(t, fmt.Sprint("neighbour-", i), fmt.Sprintf("x = %d", i))
	}
	for i := range hogs {
		s.create(t, fmt.Sprint("hog-", i))
	}
	ctx, stop := context.WithCancel(t.Context())
	answers := make(chan error, neighbours+1)
	for i := range neighbours {
		go func() { answers <- s.askAgain(ctx, fmt.Sprint("neighbour-", i), strconv.Itoa(i)) }()
	}
	go func() { answers <- s.healthy(ctx) }()
	var all sync.WaitGroup
	for i := range hogs {
		all.Go(func() { s.fill(t, fmt.Sprint("hog-", i)) })
	}
	all.Wait()
	stop()
	for range neighbours + 1 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	for i := range neighbours {
		if got := s.run(t, fmt.Sprint("neighbour-", i), "x"); got != strconv.Itoa(i) {
			t.Errorf("neighbour %d has %q", i, got)
		}
	}
}

// fill touches nine tenths of a small session's memory.
func (s *server) fill(t *testing.T, session string) {
	t.Helper()
	got, err := s.call(t.Context(), "execute_code", arguments{
		"session_id": session,
		"code":       "b = bytearray(900 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\nprint(len(b) >> 20)",
	})
	switch {
	case err != nil:
		t.Errorf("%s: %v", session, err)
	case got.Error == nil && got.Result.CodeSuccess && got.Result.Content[0].Text == "900":
	case got.Error != nil && got.Error.Data != nil:
		if cause := got.Error.Data.Context["error_type"]; cause != "oom" && cause != "host_memory" {
			t.Errorf("%s: %+v", session, got.Error)
		}
	default:
		t.Errorf("%s: %+v, %+v", session, got.Result, got.Error)
	}
}

// prompt is how soon an answer must come, however loaded the host is.
const prompt = 20 * time.Second

// askAgain asks a session for its variable until ctx ends.
func (s *server) askAgain(ctx context.Context, session, want string) error {
	for times := 0; ; times++ {
		within, stop := context.WithTimeout(ctx, prompt)
		got, err := s.call(within, "execute_code", arguments{"session_id": session, "code": "x"})
		stop()
		switch {
		case ctx.Err() != nil:
			return asked(session, times)
		case err != nil:
			return fmt.Errorf("%s: %w", session, err)
		case got.Error != nil:
			return fmt.Errorf("%s: %s", session, got.Error.Message)
		case got.Result.Content[0].Text != want:
			return fmt.Errorf("%s: %+v", session, got.Result)
		}
		pause(ctx)
	}
}

// asked is an error when something was not asked even once.
func asked(what string, times int) error {
	if times == 0 {
		return errors.New(what + " did not answer once")
	}
	return nil
}

// pause leaves the processors to others for a moment: the test is of memory.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
}

// healthy asks for the daemon's health until ctx ends.
func (s *server) healthy(ctx context.Context) error {
	for times := 0; ; times++ {
		within, stop := context.WithTimeout(ctx, prompt)
		request, err := http.NewRequestWithContext(within, http.MethodGet, s.url+"/health", http.NoBody)
		if err != nil {
			stop()
			return err
		}
		response, err := s.client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		stop()
		switch {
		case ctx.Err() != nil:
			return asked("the health", times)
		case err != nil:
			return err
		case response.StatusCode != http.StatusOK:
			return fmt.Errorf("health: %s", response.Status)
		}
		pause(ctx)
	}
}

// totalMemory is what this host has, in bytes.
func totalMemory(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", "meminfo"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data))
	kib, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || fields[0] != "MemTotal:" {
		t.Fatalf("meminfo begins with %q: %v", fields[:2], err)
	}
	return kib << 10
}
