//go:build linux

package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// bare opens the hierarchy of version 2 as it is mounted here, without
// controllers: enough for joining, freezing and killing, and it works on hosts
// whose controllers are all in version 1.
func bare(t *testing.T) *Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes control groups")
	}
	mounts, err := hostMounts()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(mounts, func(m mount) bool { return m.v2 })
	if i < 0 {
		t.Skip("version 2 is not mounted")
	}
	tree, err := makeParent(mounts[i].point, instance(t), true)
	if err != nil {
		t.Skipf("version 2 is not ours: %v", err)
	}
	h := newV2(tree, nil, Options{}.withDefaults())
	t.Cleanup(func() { gone(t, h) })
	return h
}

func TestV2_Freeze(t *testing.T) {
	freezing(t, session(t, bare(t), Limits{UID: tenant}))
}

func TestV2_Kill(t *testing.T) {
	for _, name := range []string{"running", "frozen"} {
		t.Run(name, func(t *testing.T) {
			killing(t, session(t, bare(t), Limits{UID: tenant}), name == "frozen")
		})
	}
}

// Before Linux 5.14 there is no cgroup.kill.
func TestV2_KillOneByOne(t *testing.T) {
	h := bare(t)
	h.dialect = oldV2{v2{}}
	killing(t, session(t, h, Limits{UID: tenant}), false)
}

type oldV2 struct{ v2 }

func (oldV2) kill(*tree, string) (bool, error) { return false, nil }

func TestV2_AgentJoinsItsGroup(t *testing.T) {
	s := session(t, bare(t), Limits{UID: tenant})
	files, err := s.AgentFiles()
	start(t, joining(t, files, err, "/bin/sh", "-c", "echo ready; sleep 60"))
	eventually(t, "the shell and its sleep are the agent's", func() bool {
		procs, err := s.host.freezer.read(s.host.freezer.agent(s.name) + "/cgroup.procs")
		return err == nil && strings.Contains(procs, "\n")
	})
	if err := s.Freeze(t.Context()); err != nil { // work alone
		t.Fatal(err)
	}
	if state, err := os.ReadFile(filepath.Join(s.host.freezer.dir, s.name, "agent/cgroup.events")); err != nil || !strings.Contains(string(state), "frozen 0") {
		t.Errorf("the agent's events: %q, %v", state, err)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
}

// made is a host of version 2 in a plain directory: what is written to which
// file, and what is understood of it, without the kernel.
func made(t *testing.T) (*Host, string) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"memory.max": "max", "memory.swap.max": "max", "memory.current": "4096", "memory.events": "low 0\nmax 3\noom 0\noom_kill 0",
		"pids.max": "max", "pids.current": "3", "pids.events": "max 0", "cpu.max": "max 100000", "cpu.stat": "usage_usec 1500\nuser_usec 7",
		"cgroup.subtree_control": "",
	}
	for _, sub := range []string{"", "s", "s/agent", "s/work"} {
		write(t, filepath.Join(dir, sub), files)
	}
	tree, err := openTree(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.close() })
	return newV2(tree, []string{"memory", "pids", "cpu"}, Options{}.withDefaults()), dir
}

func TestV2_Files(t *testing.T) {
	h, dir := made(t)
	if enforced, _ := h.Enforced(); len(enforced) != 4 {
		t.Errorf("enforced %v", enforced)
	}
	s, err := h.Open("s")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.dialect.prepare(h.memory, "s"); err != nil {
		t.Fatal(err)
	}
	if err := s.limit(Limits{MemoryBytes: 1 << 30, Pids: 256, CPUs: 2}.withDefaults()); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"s/cgroup.subtree_control": "+memory +pids +cpu",
		"s/work/memory.max":        "1073741824",
		"s/work/memory.swap.max":   "0",
		"s/work/pids.max":          "256",
		"s/work/cpu.max":           "200000 100000",
		"s/agent/memory.max":       "67108864",
		"s/agent/pids.max":         "64",
		"s/memory.max":             "max\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		// A plain file keeps what is behind the shorter text that was written.
		if err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: %q, %v, want %q", file, got, err, want)
		}
	}
	memory, cpu, tasks, err := s.Stats()
	if err != nil || memory != 4096 || cpu != 1500*time.Microsecond || tasks != 3 {
		t.Errorf("Stats = %d, %v, %d, %v", memory, cpu, tasks, err)
	}
	if used, limit := h.Memory(); used != 4096 || limit != 0 {
		t.Errorf("Memory = %d, %d, want a limit of 0 for none", used, limit)
	}
}

func TestV2_Events(t *testing.T) {
	for events, want := range map[string]struct {
		kills int
		own   bool
	}{
		"low 0\noom 0\noom_kill 0": {0, false},
		"oom 2\noom_kill 1":        {1, true},
		"oom 0\noom_kill 3":        {3, false}, // another group's limit
		"":                         {0, false},
	} {
		h, dir := made(t)
		write(t, filepath.Join(dir, "s/work"), map[string]string{"memory.events": events, "pids.events": "max 5"})
		s := &Session{host: h, name: "s"}
		if kills, own, err := s.OOM(); err != nil || kills != want.kills || own != want.own {
			t.Errorf("OOM with %q = %d, %v, %v", events, kills, own, err)
		}
		counter, err := s.Kills()
		if err != nil {
			t.Fatal(err)
		}
		if kills, err := counter.Read(); err != nil || kills != want.kills {
			t.Errorf("Kills with %q = %d, %v", events, kills, err)
		}
		if err := counter.Close(); err != nil {
			t.Error(err)
		}
		if hits, err := s.PidsMax(); err != nil || hits != 5 {
			t.Errorf("PidsMax = %d, %v", hits, err)
		}
	}
}

func TestV2_BadFilesAreErrors(t *testing.T) {
	h, dir := made(t)
	write(t, filepath.Join(dir, "s/work"), map[string]string{"memory.events": "oom_kill many"})
	write(t, filepath.Join(dir, "s"), map[string]string{"memory.current": "x"})
	s := &Session{host: h, name: "s"}
	if _, _, err := s.OOM(); err == nil {
		t.Error("OOM understood nonsense")
	}
	if _, _, _, err := s.Stats(); err == nil {
		t.Error("Stats understood nonsense")
	}
}

func TestUseful(t *testing.T) {
	if got := useful("cpuset cpu io memory hugetlb pids rdma misc"); !slices.Equal(got, []string{"cpu", "memory", "pids"}) {
		t.Errorf("useful = %v", got)
	}
	if got := useful("hugetlb\n"); got != nil {
		t.Errorf("useful = %v, want none", got)
	}
}

func TestOpenV2At_NeedsControllers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"cgroup.controllers": "hugetlb", "cgroup.procs": ""})
	if _, err := openV2At(dir, Options{Instance: "x"}.withDefaults()); err == nil {
		t.Error("opened without memory and pids")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}
