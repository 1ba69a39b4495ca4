package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// named returns the processes whose command line has a text in it, as pgrep -f
// finds them, of those that were not there before.
func named(text string, before map[int]bool) map[int]bool {
	found := map[int]bool{}
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		line, err := os.ReadFile(name)
		pid, bad := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && bad == nil && !before[pid] && bytes.Contains(line, []byte(text)) {
			found[pid] = true
		}
	}
	return found
}

// Users of the original find the daemon by pgrep -f mcp_server, and end what
// they find. It must be the daemon alone, whoever it runs as and whatever its
// sandboxes do.
func TestOldName_FindsTheDaemonAlone(t *testing.T) {
	for name, somewhere := range map[string]func(*testing.T, ...string) *place{"as it is": newPlace, "as an ordinary user": poor} {
		t.Run(name, func(t *testing.T) {
			p := somewhere(t, "SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1")
			link := filepath.Join(p.home, "mcp_server")
			if err := os.Symlink(p.program, link); err != nil {
				t.Fatal(err)
			}
			p.program = link
			before := named("mcp_server", nil)
			s := p.serve(t)
			if s.wayOut() != doctorTells {
				s.run(t, "a", "import subprocess, sys\nx = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])")
				s.text(t, "execute_command", arguments{"session_id": "mcp", "command": "true"})
			}
			got := named("mcp_server", before)
			if len(got) != 1 || !got[s.cmd.Process.Pid] {
				t.Errorf("found %v, want %d alone", got, s.cmd.Process.Pid)
			}
			if status := s.stop(t, syscall.SIGTERM); status != 0 {
				t.Errorf("status %d", status)
			}
			s.wantNothingLeft(t)
		})
	}
}
