package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// A testHost is this machine as the end-to-end tests use it: the programs that they
// built, and what their daemons made on it, which must be gone at the end.
type testHost struct {
	root string // of the module
	dir  string // of the programs; empty until they are built

	mu        sync.Mutex
	processes map[string]bool // "pid start" of agents that our daemons had
	instances []string        // names of our daemons' cgroups
}

// machine is the host of this run.
var machine = testHost{processes: map[string]bool{}}

// A watched run fails when something of ours is left on the host after it.
type watched struct{ testscript.TestingM }

// Run implements [testscript.TestingM].
func (w watched) Run() int {
	folder, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	machine.root = filepath.Join(folder, "..", "..")
	before := sandboxtest.HostNow()
	code := w.TestingM.Run()
	if machine.dir != "" {
		os.RemoveAll(machine.dir)
	}
	if left := machine.ours(sandboxtest.LeftSince(before)); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "the tests left something behind:\n%s\n", strings.Join(left, "\n"))
		return 1
	}
	return code
}

// ours keeps of what is left that which is not another's: tests of other
// packages make sandboxes at the same time.
func (h *testHost) ours(left []string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(left, func(what string) bool {
		kind, name, _ := strings.Cut(what, " ")
		switch kind {
		case "process":
			pid, _, _ := strings.Cut(name, " ")
			return !h.processes[identity(pid)]
		case "cgroup":
			return !slices.ContainsFunc(h.instances, func(i string) bool { return strings.Contains(name, i) })
		}
		return false
	})
}

// daemonOf notes that daemons with that state directory are ours, and returns
// how their cgroups are named.
func (h *testHost) daemonOf(stateDir string) string {
	sum := sha256.Sum256([]byte(stateDir))
	h.mu.Lock()
	defer h.mu.Unlock()
	name := hex.EncodeToString(sum[:5])
	h.instances = append(h.instances, name)
	return name
}

// agentsOf returns the identities of the agents below a daemon, and notes that
// they are ours.
func (h *testHost) agentsOf(daemon int) []string {
	parents, agents := map[string]string{}, []string{}
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		pid := filepath.Base(name)
		if fields := statOf(pid); fields != nil {
			parents[pid] = fields[1]
		}
	}
	for pid := range parents {
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		if !strings.HasPrefix(string(line), "sandwarden-agent\x00") {
			continue
		}
		for up := pid; up != ""; up = parents[up] {
			if up == strconv.Itoa(daemon) {
				agents = append(agents, identity(pid))
				break
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, agent := range agents {
		h.processes[agent] = true
	}
	return agents
}

// statOf returns the fields of a process's stat from its state on; nil when it
// has ended.
func statOf(pid string) []string {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	_, rest, ok := strings.Cut(string(data), ") ")
	if err != nil || !ok {
		return nil
	}
	return strings.Fields(rest)
}

// identity names a process for good: its number and when it started.
func identity(pid string) string {
	fields := statOf(pid)
	if len(fields) < 20 {
		return ""
	}
	return pid + " " + fields[19]
}

// isGone reports whether a process has ended, reaped or not.
func isGone(id string) bool {
	pid, _, _ := strings.Cut(id, " ")
	fields := statOf(pid)
	return fields == nil || fields[0] == "Z" || identity(pid) != id
}

// inside are the programs that the daemon carries.
var inside = []string{"sandwarden-agent", "sandwarden-init"}

// programs builds the daemon, with fresh programs inside, and those, and returns
// their folder. The daemon has the race detector when this test has.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sandwarden-e2e")
	if err != nil {
		return "", err
	}
	machine.dir = dir
	if err := os.Chmod(dir, 0o755); err != nil { // another user is to run what is in it
		return "", err
	}
	for _, name := range inside {
		if err := goBuild("CGO_ENABLED=0", "-ldflags=-s -w", "-o", filepath.Join(dir, name), "./cmd/"+name); err != nil {
			return "", err
		}
	}
	overlay, err := writeOverlay(dir, dir)
	if err != nil {
		return "", err
	}
	flags := []string{"-overlay", overlay, "-o", filepath.Join(dir, "sandwarden"), "./cmd/sandwarden"}
	if !isRace() {
		return dir, goBuild("CGO_ENABLED=0", flags...)
	}
	return dir, goBuild("CGO_ENABLED=1", append([]string{"-race"}, flags...)...)
})

// writeOverlay writes what tells go build that the embedded programs are those of
// another folder, or, when that is "", that there are none.
func writeOverlay(dir, programs string) (string, error) {
	replace := map[string]string{}
	for _, name := range inside {
		path := ""
		if programs != "" {
			path = filepath.Join(programs, name)
		}
		replace[filepath.Join(machine.root, "sandbox", "agent", "embedded", name+"-linux-"+runtime.GOARCH)] = path
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

// goBuild builds as make does, or with race detection as go test does: what it needs is compiled
// already then.
func goBuild(environ string, args ...string) error {
	build := []string{"build", "-buildvcs=false"}
	if !slices.Contains(args, "-race") {
		build = append(build, "-trimpath")
	}
	cmd := exec.Command("go", append(build, args...)...)
	cmd.Dir, cmd.Env = machine.root, append(os.Environ(), environ)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}

// isRace reports whether this test was built with the race detector.
func isRace() bool {
	build, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(build.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
