//go:build linux

package cgroup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// tenant is an unprivileged uid that no user has.
const tenant = 612345

func TestOpen_SaysWhatIsEnforced(t *testing.T) {
	h := host(t, 1<<30)
	enforced, unenforced := h.Enforced()
	if !slices.Contains(enforced, "memory") && !slices.Contains(enforced, "pids") {
		t.Errorf("opened without memory and pids: %v", enforced)
	}
	if all := slices.Concat(enforced, unenforced); len(all) != 4 {
		t.Errorf("controllers %v, want four", all)
	}
	if used, limit := h.Memory(); h.memory != nil && (used < 0 || limit != 1<<30) {
		t.Errorf("memory %d of %d, want a limit of 1 GiB", used, limit)
	}
	if v := h.Version(); v != 1 && v != 2 {
		t.Errorf("version %d", v)
	}
}

// Daemons of one host share the upper parent, and each takes it away if it can.
func TestOpen_BesideOthersThatClose(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes control groups")
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 50 {
				h, err := Open(t.Context(), Options{Instance: instance(t) + strconv.Itoa(i)})
				if err != nil {
					t.Error(err)
					return
				}
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestOpen_RefusesBadInput(t *testing.T) {
	for _, name := range []string{"", "..", "a/b", "-x", strings.Repeat("x", 129), "a b", "a\n"} {
		if _, err := Open(t.Context(), Options{Instance: name}); sandbox.KindOf(err) != sandbox.Invalid {
			t.Errorf("Open(%q) = %v, want invalid", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Options{Instance: "x"}); sandbox.KindOf(err) != sandbox.Canceled {
		t.Errorf("Open with an ended context = %v", err)
	}
}

func TestCreate_LeavesNothingWhenItFails(t *testing.T) {
	h := host(t, 0)
	for _, name := range []string{"", "..", "a/../b", ".x"} {
		if _, err := h.Create(name, Limits{}); sandbox.KindOf(err) != sandbox.Invalid {
			t.Errorf("Create(%q) = %v, want invalid", name, err)
		}
	}
	last := h.trees[len(h.trees)-1]
	if err := last.mkdir("sb-taken"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Create("sb-taken", Limits{}); err == nil {
		t.Error("a name that is taken was given again")
	}
	for _, tree := range h.trees {
		if tree != last && tree.exists("sb-taken") {
			t.Errorf("%s has a directory left", tree.dir)
		}
	}
	if names, _ := h.List(); !slices.Equal(names, []string{"sb-taken"}) {
		t.Errorf("List = %v, want the half one too", names)
	}
	s, err := h.Open("sb-taken")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Kill(t.Context()), s.Remove(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := h.Open("sb-taken"); sandbox.KindOf(err) != sandbox.NotFound {
		t.Errorf("Open of a removed one = %v", err)
	}
	if _, err := s.AgentFiles(); sandbox.KindOf(err) != sandbox.NotFound {
		t.Errorf("AgentFiles of a removed one = %v", err)
	}
	if _, err := s.GroupFiles("x", tenant); sandbox.KindOf(err) != sandbox.NotFound {
		t.Errorf("GroupFiles of a removed one = %v", err)
	}
}

func TestSession_LimitsAreSetAndChanged(t *testing.T) {
	h := host(t, 0)
	s := session(t, h, Limits{MemoryBytes: 64 << 20, Pids: 32, CPUs: 2})
	check := func(memory, pids, agentMemory, agentPids int64) {
		t.Helper()
		if !h.memory.split { // all agents are in one
			agentMemory = unlimited
		}
		for _, c := range []struct {
			tree *tree
			dir  string
			read func(*tree, string) (int64, error)
			want int64
		}{
			{h.memory, h.memory.work(s.name), h.dialect.memoryLimit, memory},
			{h.memory, h.memory.agent(s.name), h.dialect.memoryLimit, agentMemory},
			{h.pids, s.name + "/work/pids.max", (*tree).readInt, pids},
			{h.pids, h.pids.agent(s.name) + "/pids.max", (*tree).readInt, agentPids},
		} {
			if got, err := c.read(c.tree, c.dir); err != nil || got != c.want {
				t.Errorf("%s: %d, %v, want %d", c.dir, got, err, c.want)
			}
		}
	}
	check(64<<20, 32, 64<<20, 64)
	for _, l := range []Limits{{MemoryBytes: 256 << 20, Pids: 64, CPUs: 1}, {MemoryBytes: 16 << 20, Pids: 48, AgentPids: 7, AgentMemoryBytes: 32 << 20}} {
		if err := s.SetLimits(l); err != nil {
			t.Fatal(err)
		}
	}
	check(16<<20, 48, 32<<20, 7)
	if h.Version() == 1 {
		if both, err := h.memory.readInt(h.memory.work(s.name) + "/memory.memsw.limit_in_bytes"); err == nil && both != 16<<20 {
			t.Errorf("memory and swap %d, want the limit of memory", both)
		}
		if quota, _ := h.cpu.readInt(s.name + "/work/cpu.cfs_quota_us"); quota != period {
			t.Errorf("quota %d, want one processor", quota)
		}
		if span, _ := h.cpu.readInt(s.name + "/work/cpu.cfs_period_us"); span != period {
			t.Errorf("the kernel's period %d is not ours, %d", span, period)
		}
	}
}

func TestSession_OwnLimitOfMemory(t *testing.T) {
	s := session(t, host(t, 1<<30), Limits{MemoryBytes: 24 << 20, Pids: 32, UID: tenant})
	counter, err := s.Kills()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = counter.Close() }()
	for want := range 2 { // before, and once more after the kill
		if got, err := counter.Read(); err != nil || got != want {
			t.Errorf("Kills = %d, %v, want %d", got, err, want)
		}
		if want == 0 {
			checkHog(t, s)
		}
	}
}

func checkHog(t *testing.T, s *Session) {
	t.Helper()
	err := inside(t, s, "hog", "200").Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the hog ended with %v, want it killed", err)
	}
	if kills, own, err := s.OOM(); err != nil || kills != 1 || !own {
		t.Errorf("OOM = %d, %v, %v, want one kill by its own limit", kills, own, err)
	}
}

func TestSession_LimitOfAllSessions(t *testing.T) {
	s := session(t, host(t, 48<<20), Limits{MemoryBytes: 1 << 30, Pids: 32})
	if err := inside(t, s, "hog", "200").Run(); err == nil {
		t.Fatal("the hog was not killed")
	}
	if kills, own, err := s.OOM(); err != nil || kills != 1 || own {
		t.Errorf("OOM = %d, %v, %v, want one kill, not by its own limit", kills, own, err)
	}
}

func TestSession_LimitOfTasks(t *testing.T) {
	s := session(t, host(t, 0), Limits{MemoryBytes: 256 << 20, Pids: 8})
	if hits, err := s.PidsMax(); hits != 0 || err != nil {
		t.Fatalf("PidsMax at first = %d, %v", hits, err)
	}
	out, err := inside(t, s, "/usr/bin/python3", "-ISc", `
import os, signal, time
children = []
try:
    while len(children) < 50:
        pid = os.fork()
        if pid == 0: time.sleep(30)
        children.append(pid)
except BlockingIOError: print(len(children))
for pid in children: os.kill(pid, signal.SIGKILL)`).Output()
	if err != nil || strings.TrimSpace(string(out)) != "7" {
		t.Errorf("forked %q, %v, want 7 children of 1 process", out, err)
	}
	if hits, err := s.PidsMax(); hits < 1 || err != nil {
		t.Errorf("PidsMax = %d, %v", hits, err)
	}
}

func TestSession_StatsCount(t *testing.T) {
	s := session(t, host(t, 0), Limits{MemoryBytes: 256 << 20, Pids: 32})
	files, err := s.AgentFiles()
	start(t, joining(t, files, err, "/bin/sh", "-c", "echo ready; sleep 60"))
	hog := inside(t, s, "hog", "40")
	stdin, err := hog.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hog.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "40 MiB", func() bool {
		memory, _, _, err := s.Stats()
		return err == nil && memory >= 40<<20
	})
	if _, cpu, tasks, err := s.Stats(); err != nil || cpu <= 0 || tasks < 2 {
		t.Errorf("Stats: processor %v, tasks %d, %v", cpu, tasks, err)
	}
	stdin.Close()
	_ = hog.Wait()
}

func TestSession_FreezeStopsAndThawGoesOn(t *testing.T) {
	s := session(t, host(t, 0), Limits{MemoryBytes: 256 << 20, Pids: 32})
	freezing(t, s)
}

// freezing works the same in both versions.
func freezing(t *testing.T, s *Session) {
	t.Helper()
	start(t, inside(t, s, "/bin/sh", "-c", "echo ready; while :; do :; done"))
	used := func() time.Duration {
		_, cpu, _, err := s.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return cpu
	}
	before := used()
	eventually(t, "work goes on", func() bool { return used() > before })
	if err := s.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	before = used()
	time.Sleep(100 * time.Millisecond)
	if after := used(); after != before {
		t.Errorf("frozen work used %v", after-before)
	}
	if err := errors.Join(s.Thaw(), s.Thaw()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "work goes on again", func() bool { return used() > before })
}

// hardToKill is a tree of processes of which some are in sessions of their own,
// orphans, deaf to signals, stopped, or forking all the time.
const hardToKill = `
trap '' TERM INT HUP QUIT
(setsid sh -c 'trap "" TERM; sleep 60 & wait') &
(sh -c 'kill -STOP $$; sleep 60') &
(sh -c '(sleep 60 &) & exit 0')
(while :; do /bin/true; done) &
sleep 0.1
echo ready
sleep 60`

func TestSession_KillLeavesNothing(t *testing.T) {
	for _, name := range []string{"running", "frozen"} {
		t.Run(name, func(t *testing.T) {
			killing(t, session(t, host(t, 0), Limits{MemoryBytes: 256 << 20, Pids: 64}), name == "frozen")
		})
	}
}

// killing works the same in both versions.
func killing(t *testing.T, s *Session, frozen bool) {
	t.Helper()
	cmd := inside(t, s, "/bin/sh", "-c", hardToKill)
	start(t, cmd)
	if n := population(t, s); n < 5 {
		t.Errorf("%d processes, want at least 5", n)
	}
	if frozen {
		if err := s.Freeze(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Remove(short); sandbox.KindOf(err) != sandbox.Timeout {
		t.Errorf("Remove of one that lives = %v, want a timeout", err)
	}
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := population(t, s); n != 0 {
		t.Errorf("%d processes left", n)
	}
	if err := errors.Join(s.Remove(t.Context()), s.Kill(t.Context()), s.Remove(t.Context())); err != nil {
		t.Errorf("Remove, and both again: %v", err)
	}
}

// A process that is forked into a group of an execution is in it, may be moved by the
// agent's user, and counts within the limits of work.
func TestSession_GroupFiles(t *testing.T) {
	h := host(t, 0)
	s := session(t, h, Limits{MemoryBytes: 256 << 20, Pids: 6, UID: tenant})
	files, err := s.GroupFiles("first", tenant)
	start(t, joining(t, files, err, "/bin/sh", "-c", "echo ready; sleep 60"))
	home := s.home()
	procs, err := home.read(home.work(s.name) + "/first/cgroup.procs")
	if err != nil || procs == "" {
		t.Errorf("in the group: %q, %v", procs, err)
	}
	for _, tree := range h.trees {
		all := map[int]bool{}
		if err := tree.pids(tree.work(s.name), all); err != nil || len(all) == 0 != (tree == home) {
			t.Errorf("%s: %d in work itself, %v", tree.dir, len(all), err)
		}
	}
	if _, err := s.GroupFiles("first", tenant); err == nil {
		t.Error("a group was made twice")
	}
	dir, err := s.WorkDir()
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	mover := exec.Command("/usr/bin/python3", "-ISc", `
import os
os.mkdir("second", dir_fd=3)
for pid in os.read(os.open("first/cgroup.procs", os.O_RDONLY, dir_fd=3), 4096).split():
    os.write(os.open("second/cgroup.procs", os.O_WRONLY, dir_fd=3), pid)
os.rmdir("first", dir_fd=3)`)
	mover.ExtraFiles = []*os.File{dir}
	mover.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tenant, Gid: tenant}}
	if out, err := mover.CombinedOutput(); err != nil {
		t.Errorf("the user may not move it: %v: %s", err, out)
	}
}

// Clear ends what is left, and a session that has ended costs it nothing to look for.
func TestSession_Clear(t *testing.T) {
	h := host(t, 0)
	s := session(t, h, Limits{MemoryBytes: 256 << 20, Pids: 32})
	start(t, inside(t, s, "/bin/sh", "-c", "echo ready; sleep 60"))
	if err := s.Clear(t.Context()); err != nil {
		t.Error(err)
	}
	if names, err := h.List(); err != nil || slices.Contains(names, s.name) {
		t.Errorf("List = %v, %v", names, err)
	}
	if err := s.Clear(t.Context()); err != nil {
		t.Errorf("of one that is gone: %v", err)
	}
}

// An agent without rights makes a group for an execution below work, fills it
// up to the limits of work, and kills it.
func TestSession_GroupOfAnExecution(t *testing.T) {
	h := host(t, 0)
	s := session(t, h, Limits{MemoryBytes: 256 << 20, Pids: 6, UID: tenant})
	dir, err := s.WorkDir()
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := inside(t, s, "/usr/bin/python3", "-ISc", `
import os, time
fd = int(os.environ.get("DIR", "20"))
os.mkdir("e1", dir_fd=fd)
t = os.open("e1/cgroup.procs", os.O_WRONLY, dir_fd=fd)
if os.fork() == 0:
    os.write(t, b"0")
    n = 0
    try:
        while True:
            if os.fork() == 0: time.sleep(60)
            n += 1
    except BlockingIOError: print("ready" if n == 4 else n, flush=True)
time.sleep(60)`)
	for len(cmd.ExtraFiles) < 20-3 {
		cmd.ExtraFiles = append(cmd.ExtraFiles, dir) // those between are not used
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, dir)
	start(t, cmd)
	home := s.home()
	procs, err := home.read(s.name + "/work/e1/cgroup.procs")
	if err != nil || len(strings.Fields(procs)) != 5 {
		t.Errorf("in the execution's group: %q, %v, want 5", procs, err)
	}
	if hits, err := s.PidsMax(); hits < 1 || err != nil {
		t.Errorf("PidsMax = %d, %v, want the refusals below work too", hits, err)
	}
}

// What the agent is passed works without rights of its own, and does not give
// it any: it may not open what belongs to others.
func TestSession_TenantCannotLeave(t *testing.T) {
	h := host(t, 0)
	s := session(t, h, Limits{MemoryBytes: 256 << 20, Pids: 16, UID: tenant})
	tree := s.home()
	for _, file := range []string{"cgroup.procs", tree.agent(s.name) + "/cgroup.procs", s.name + "/work/pids.max"} {
		cmd := inside(t, s, "/bin/sh", "-c", "echo 0 > "+filepath.Join(tree.dir, file))
		cmd.Stderr = nil
		if err := cmd.Run(); err == nil {
			t.Errorf("a tenant wrote to %s", file)
		}
	}
}

func TestSession_FreezeUnsupported(t *testing.T) {
	s := &Session{host: &Host{dialect: v1{}}, name: "x"}
	if err := s.Freeze(t.Context()); sandbox.KindOf(err) != sandbox.Unsupported {
		t.Errorf("Freeze = %v", err)
	}
	if err := s.Thaw(); err != nil {
		t.Errorf("Thaw = %v", err)
	}
	if memory, _, _, err := s.Stats(); memory != -1 || err != nil {
		t.Errorf("Stats = %d, %v, want -1 for nobody counts", memory, err)
	}
}

func BenchmarkSession(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	h, err := Open(b.Context(), Options{Instance: "bench-" + strconv.Itoa(os.Getpid())})
	if err != nil {
		b.Skip(err)
	}
	defer h.Close()
	b.Run("create+remove", func(b *testing.B) {
		for b.Loop() {
			s, err := h.Create("sb", Limits{MemoryBytes: 1 << 30, Pids: 256, CPUs: 1, UID: tenant})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Remove(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	s, err := h.Create("sb", Limits{MemoryBytes: 1 << 30, Pids: 256, CPUs: 1, UID: tenant})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Remove(context.WithoutCancel(b.Context())) }()
	b.Run("limits", func(b *testing.B) {
		for b.Loop() {
			if err := s.SetLimits(Limits{MemoryBytes: 1 << 30, Pids: 256, CPUs: 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			if _, _, _, err := s.Stats(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kill empty", func(b *testing.B) {
		for b.Loop() {
			if err := s.Kill(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
