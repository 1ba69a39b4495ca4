package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// limited makes the daemons of a place start with so many descriptors.
func (p *place) limited(t *testing.T, soft, hard int) {
	t.Helper()
	script := filepath.Join(p.home, "limited")
	text := fmt.Sprintf("#!/bin/sh\nulimit -Sn %d && ulimit -Hn %d && exec %s \"$@\"\n", soft, hard, p.program)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	p.program = script
}

// openFiles returns the limits of descriptors that a process has.
func openFiles(t *testing.T, pid int) (soft, hard string) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "Max open files") {
			return fields[3], fields[4]
		}
	}
	t.Fatalf("no limit in %s", text)
	return "", ""
}

// With few descriptors the daemon says at the start how many sessions they are
// enough for, and refuses one more in words that help.
func TestDescriptors_AreNotUsedUp(t *testing.T) {
	p := newPlace(t, "MSB_MAX_SESSIONS=100", "MSB_ENABLE_LRU_EVICTION=false", "SANDWARDEN_LIMITS_ADMISSION_WAIT=0", "SANDWARDEN_LIMITS_CONNECTIONS=8")
	p.limited(t, 208, 216) // the daemon has descriptors above 200 for its children
	s := p.serve(t)
	if soft, hard := openFiles(t, s.cmd.Process.Pid); soft != "215" && soft != hard { // the runtime stays one below
		t.Errorf("the daemon may open %s of %s files", soft, hard)
	}
	if text := s.log.String(); !strings.Contains(text, "more sessions are allowed than this host takes") || !strings.Contains(text, "RLIMIT_NOFILE") {
		t.Errorf("the log says nothing of it: %s", text)
	}
	made := 0
	for ; made < 80; made++ {
		got, err := s.call(t.Context(), "execute_code", arguments{"session_id": fmt.Sprintf("s%d", made), "code": "1"})
		if err != nil {
			t.Fatal(err)
		}
		if got.Error == nil {
			continue
		}
		told := got.Error.Message + strings.Join(got.Error.Data.Suggestions, "\n")
		if !strings.Contains(told, "Descriptors") || !strings.Contains(told, "ulimit -n") {
			t.Errorf("got %+v %+v", got.Error, got.Error.Data)
		}
		break
	}
	if made < 2 || made > 50 {
		t.Errorf("%d sessions were made", made)
	}
	if got := s.run(t, "s0", "print(6 * 7)"); got != "42" { // what there is goes on
		t.Errorf("got %q", got)
	}
	if len(s.sessions(t)) != made {
		t.Errorf("%q", s.sessions(t))
	}
}
