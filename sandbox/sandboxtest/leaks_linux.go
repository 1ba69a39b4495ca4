package sandboxtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// A Host is what a host holds of a daemon's: what must be the same before and
// after a test.
type Host struct {
	processes, cgroups, namespaces, mounts map[string]bool
	descriptors                            int
}

// HostNow looks at the host.
func HostNow() Host {
	h := Host{processes: map[string]bool{}, cgroups: map[string]bool{}, namespaces: map[string]bool{}, mounts: map[string]bool{}}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if strings.HasPrefix(string(line), "sandwarden-agent\x00") {
			h.processes[filepath.Base(dir)+" "+strings.ReplaceAll(string(line), "\x00", " ")] = true
		}
	}
	tasks, _ := filepath.Glob("/proc/self/task/[0-9]*") // a sandbox's own end with its processes
	for _, task := range tasks {
		for _, kind := range []string{"net", "mnt"} {
			if name, err := os.Readlink(filepath.Join(task, "ns", kind)); err == nil {
				h.namespaces[name] = true
			}
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "/sandwarden/") {
			h.cgroups[path] = true
		}
		return nil
	})
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			h.mounts[fields[4]] = true
		}
	}
	open, _ := os.ReadDir("/proc/self/fd")
	h.descriptors = len(open)
	return h
}

// LeftSince returns what is on the host now and was not before, in words. It
// gives the kernel a moment, which ends some things late.
func LeftSince(before Host) []string {
	var left []string
	for range 50 {
		now := HostNow()
		left = append(left[:0], more("process", before.processes, now.processes)...)
		left = append(left, more("cgroup", before.cgroups, now.cgroups)...)
		left = append(left, more("namespace", before.namespaces, now.namespaces)...)
		left = append(left, more("mount", before.mounts, now.mounts)...)
		const own = 4 // the runtime's poller, and what a test framework opens
		if now.descriptors > before.descriptors+own {
			left = append(left, fmt.Sprintf("descriptors: %d, before %d", now.descriptors, before.descriptors))
		}
		if len(left) == 0 {
			return nil
		}
		time.Sleep(100 * time.Millisecond) // real processes end when they end
	}
	sort.Strings(left)
	return left
}

func more(what string, before, now map[string]bool) []string {
	var out []string
	for name := range now {
		if !before[name] {
			out = append(out, what+" "+name)
		}
	}
	return out
}
