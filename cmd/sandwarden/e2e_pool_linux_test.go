//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// A zygote has rights: one that hangs does not outlive its daemon, whatever ends that.
func TestPool_ZygoteThatHangs(t *testing.T) {
	p := newPlace(t, "SANDWARDEN_POOL_MIN=2")
	s := p.serve(t)
	s.wantReady(t)
	zygotes := s.zygotes()
	if len(zygotes) == 0 {
		t.Fatal("there is no zygote")
	}
	for _, zygote := range zygotes {
		pid, _ := strconv.Atoi(strings.Fields(zygote)[0])
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	s.kill(t)
	eventually(t, "zygotes end", func() bool { return !slices.ContainsFunc(zygotes, func(z string) bool { return !isGone(z) }) })
	next := p.serve(t)
	next.stop(t, syscall.SIGINT)
	next.wantNothingLeft(t)
}

// zygotes returns the identities of a daemon's zygotes.
func (s *server) zygotes() (all []string) {
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		pid := filepath.Base(name)
		line, _ := os.ReadFile(filepath.Join(name, "cmdline"))
		if fields := statOf(pid); fields != nil && fields[1] == strconv.Itoa(s.cmd.Process.Pid) && strings.Contains(string(line), "/zygote.py") {
			all = append(all, identity(pid))
		}
	}
	return all
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
