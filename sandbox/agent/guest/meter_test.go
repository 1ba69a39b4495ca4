//go:build linux

package guest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fakeGroup is a group in a folder of ordinary files.
func fakeGroup(t *testing.T, files map[string]string) (*group, func(name, text string)) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "x1"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		write(name, text)
	}
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	return &group{name: "x1", all: &groups{folder: folder}, folder: folder}, write
}

// Where the kernel counts for each group, its count is taken.
func TestMeter_KernelCounts(t *testing.T) {
	g, write := fakeGroup(t, map[string]string{"x1/cpu.stat": "usage_usec 1000000\nuser_usec 900000\nsystem_usec 100000\n"})
	m := newMeter(g)
	write("x1/cpu.stat", "usage_usec 1250000\nuser_usec 1100000\nsystem_usec 150000\n")
	if got, want := m.used(), 250*time.Millisecond; got != want {
		t.Errorf("used %v, want %v", got, want)
	}
}

// The kernel counts refusals in the group or, where the limit is, in its
// parent; those from before the group are not the group's.
func TestGroup_Refusals(t *testing.T) {
	g, write := fakeGroup(t, map[string]string{"x1/pids.events": "max 2\n", "pids.events": "max 5\n"})
	g.before = 5
	if got := g.refusals(); got != 2 {
		t.Errorf("counted in the group: %d, want 2", got)
	}
	write("x1/pids.events", "max 0\n")
	write("pids.events", "max 9\n")
	if got := g.refusals(); got != 4 {
		t.Errorf("counted in the parent: %d, want 4", got)
	}
}

// A meter without such a count never tells less than before, and knows a
// process by more than its number.
func TestMeter_Look(t *testing.T) {
	g, _ := fakeGroup(t, map[string]string{"x1/cgroup.procs": ""})
	m := newMeter(g)
	m.tasks = map[task]life{
		{pid: 7, start: 1}: {before: time.Second, own: 3 * time.Second},
		{pid: 7, start: 2}: {own: 4 * time.Second},
	}
	if got, want := m.used(), 6*time.Second; got != want {
		t.Errorf("used %v, want %v", got, want)
	}
	if got, want := m.used(), 6*time.Second; got != want {
		t.Errorf("asked again: used %v, want %v", got, want)
	}
}
