//go:build linux

package cgroup

import (
	"path/filepath"
	"testing"
)

func TestTightest_OfAllAbove(t *testing.T) {
	root := t.TempDir()
	container, slice := filepath.Join(root, "c"), filepath.Join(root, "c", "s")
	own := filepath.Join(slice, "sandwarden", "i")
	write(t, root, nil) // the root of a hierarchy has no limit
	write(t, container, map[string]string{"pids.max": "1000", "pids.current": "900"})
	write(t, slice, map[string]string{"pids.max": "500", "pids.current": "10"})
	write(t, own, map[string]string{"pids.max": "max", "pids.current": "5"})
	if used, limit, dir, ok := tightest(own); used != 900 || limit != 1000 || dir != container || !ok {
		t.Errorf("got %d of %d in %s, %v", used, limit, dir, ok)
	}
	write(t, slice, map[string]string{"pids.max": "50", "pids.current": "10"})
	if used, limit, dir, ok := tightest(own); used != 10 || limit != 50 || dir != slice || !ok {
		t.Errorf("got %d of %d in %s, %v", used, limit, dir, ok)
	}
	if _, _, _, ok := tightest(root); ok {
		t.Error("there is a limit where none was set")
	}
}

// A limit that is set on the daemon's parent is found, with the tasks of the
// sessions below it.
func TestTasks_OfTheParent(t *testing.T) {
	h := host(t, 0)
	if h.pids == nil {
		t.Skip("tasks are not counted here")
	}
	if err := h.pids.writeInt("pids.max", 123); err != nil {
		t.Fatal(err)
	}
	s := session(t, h, Limits{Pids: 32})
	start(t, inside(t, s, "/bin/sh", "-c", "echo ready; sleep 60"))
	used, limit, dir, ok := h.Tasks()
	if !ok || used < 1 || limit != 123 || dir != h.pids.dir {
		t.Errorf("got %d of %d in %s, %v", used, limit, dir, ok)
	}
	if pids, err := s.WorkProcesses(); err != nil || len(pids) < 1 {
		t.Errorf("its processes are %v, %v", pids, err)
	}
}
