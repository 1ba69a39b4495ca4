//go:build linux

package cgroup

import (
	"os"
	"path/filepath"
	"strings"
)

// Tasks returns the tightest limit of tasks that all sessions are under
// together, how many there are, and the directory that has it: that of a
// container, of a slice, or the daemon's parent. ok is false when there is none.
func (h *Host) Tasks() (used, limit int64, dir string, ok bool) {
	if h.pids == nil {
		return 0, 0, "", false
	}
	return tightest(h.pids.dir)
}

// tightest looks at a group and all above it: the one with the fewest tasks left.
func tightest(from string) (used, limit int64, dir string, ok bool) {
	for at := from; at != "/" && at != "."; at = filepath.Dir(at) {
		most, err := amount(filepath.Join(at, "pids.max"))
		if err != nil {
			continue // the root has no such file, and above it are no groups
		}
		now, err := amount(filepath.Join(at, "pids.current"))
		if err != nil || most >= unlimited || ok && most-now >= limit-used {
			continue
		}
		used, limit, dir, ok = now, most, at, true
	}
	return used, limit, dir, ok
}

func amount(name string) (int64, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	return parseAmount(strings.TrimSpace(string(data)))
}
