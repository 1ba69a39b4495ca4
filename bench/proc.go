package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A resident is a daemon on this machine, as /proc shows it. It is looked at
// from outside: nothing is asked of the daemon itself.
type resident struct {
	pid    int
	groups []string // control groups below which its sandboxes are, in all hierarchies
}

// A footprint is what a daemon and its sandboxes have of the machine at one
// moment.
type footprint struct {
	processes   int // the daemon and all in its sandboxes
	tasks       int // their threads
	descriptors int // of the daemon
	mounts      int // that the daemon sees
	namespaces  int // of mounts and of the network
	cgroups     int
	ready       int    // sandboxes of the daemon's pools; it tells that itself
	rss, anon   int64  // bytes of the daemon: all, and what is no file's
	names       string // some of the youngest processes, for who looks for what is left
}

// residentAt finds the daemon that listens on a port of this machine. Only root
// sees daemons of other users.
func residentAt(port string) (*resident, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", port, err)
	}
	sockets := listeners(uint16(n))
	if len(sockets) == 0 {
		return nil, fmt.Errorf("no program of this machine listens on port %s", port)
	}
	var found []int
	for _, pid := range pids() {
		if pid != 1 && holds(pid, sockets) { // 1 may have opened it for a service
			found = append(found, pid)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("who listens on port %s cannot be seen: run as its user or as root", port)
	}
	return &resident{pid: slices.Max(found)}, nil
}

// listeners returns the links of the sockets that listen on a port.
func listeners(port uint16) []string {
	const local, state, inode, listening = 1, 3, 9, "0A"
	var links []string
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // no such protocol here
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) > inode && fields[state] == listening && strings.HasSuffix(fields[local], fmt.Sprintf(":%04X", port)) {
				links = append(links, "socket:["+fields[inode]+"]")
			}
		}
	}
	return links
}

// pids lists the processes of this machine.
func pids() []int {
	var all []int
	entries, _ := os.ReadDir("/proc") // none elsewhere than on Linux
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// holds reports whether a process has one of these open.
func holds(pid int, links []string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	open, _ := os.ReadDir(dir) // gone, or another's
	for _, fd := range open {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && slices.Contains(links, to) {
			return true
		}
	}
	return false
}

// look returns what the daemon has now. It learns where the sandboxes' control
// groups are from those that it sees, and keeps that.
func (r *resident) look() (*footprint, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.pid))
	if err != nil {
		return nil, fmt.Errorf("the daemon cannot be seen: %w", err)
	}
	f := &footprint{rss: kibOf(status, "VmRSS:"), anon: kibOf(status, "RssAnon:")}
	family := descendants(r.pid)
	r.learn(family)
	members := r.members()
	for _, pid := range family {
		members[pid] = true
	}
	members[r.pid] = true
	namespaces := map[string]bool{}
	for pid := range members {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			delete(members, pid) // it has ended meanwhile
			continue
		}
		f.tasks += len(threads)
		addNamespaces(namespaces, fmt.Sprintf("/proc/%d", pid))
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", r.pid)) // they may be in others than the process
	for _, thread := range threads {
		addNamespaces(namespaces, thread)
	}
	f.processes, f.namespaces, f.names = len(members), len(namespaces), youngest(members)
	f.cgroups = len(r.folders())
	f.mounts = lines(fmt.Sprintf("/proc/%d/mountinfo", r.pid))
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.pid))
	f.descriptors = len(open)
	if err != nil {
		return nil, fmt.Errorf("the daemon's descriptors cannot be seen: %w", err)
	}
	return f, nil
}

// descendants returns the processes that one has started, and those that they
// have.
func descendants(of int) []int {
	children := map[int][]int{}
	for _, pid := range pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		end := strings.LastIndex(string(text), ") ") // a name may hold anything
		if fields := strings.Fields(string(text[end+1:])); end > 0 && len(fields) > 1 {
			if parent, err := strconv.Atoi(fields[1]); err == nil {
				children[parent] = append(children[parent], pid)
			}
		}
	}
	all := slices.Clone(children[of])
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// learn notes below which control groups a daemon's sandboxes are.
func (r *resident) learn(family []int) {
	place := regexp.MustCompile(`^(.*/sandwarden/[0-9a-f]+)/`)
	for _, pid := range family {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		for line := range strings.Lines(string(text)) {
			parts := strings.SplitN(line, ":", 3)
			if len(parts) != 3 {
				continue
			}
			if m := place.FindStringSubmatch(parts[2]); m != nil && !slices.Contains(r.groups, m[1]) {
				r.groups = append(r.groups, m[1])
			}
		}
		if len(r.groups) > 0 {
			return
		}
	}
}

// folders returns the control groups of the daemon's sandboxes, in all
// hierarchies.
func (r *resident) folders() []string {
	if len(r.groups) == 0 {
		return nil
	}
	var all []string
	// Hierarchies are mounted beside each other, or there is one at the top.
	tops, _ := filepath.Glob("/sys/fs/cgroup/*")
	for _, top := range append(tops, "/sys/fs/cgroup") {
		for _, group := range r.groups {
			_ = filepath.WalkDir(filepath.Join(top, group), func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					all = append(all, path)
				}
				return nil // what ends meanwhile is no error
			})
		}
	}
	return all
}

// members returns the processes in the control groups of the sandboxes: also
// those whose parent is not the daemon.
func (r *resident) members() map[int]bool {
	members := map[int]bool{}
	for _, folder := range r.folders() {
		text, _ := os.ReadFile(filepath.Join(folder, "cgroup.procs")) // it may be gone
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
				members[pid] = true
			}
		}
	}
	return members
}

func addNamespaces(all map[string]bool, dir string) {
	for _, kind := range []string{"net", "mnt"} {
		if name, err := os.Readlink(dir + "/ns/" + kind); err == nil {
			all[name] = true
		}
	}
}

// kibOf returns a size of a status file in bytes; 0 where it is not there.
func kibOf(status []byte, name string) int64 {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

func lines(name string) int {
	text, _ := os.ReadFile(name)
	return strings.Count(string(text), "\n")
}

// youngest names up to five processes, those with the highest numbers.
func youngest(members map[int]bool) string {
	var all []int
	for pid := range members {
		all = append(all, pid)
	}
	slices.Sort(all)
	var names []string
	for _, pid := range all[max(0, len(all)-5):] {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may be gone
		program, _, _ := strings.Cut(string(line), "\x00")
		names = append(names, fmt.Sprintf("%d (%s)", pid, clean(filepath.Base(program))))
	}
	return strings.Join(names, ", ")
}

// errElsewhere says that a daemon is on another machine.
var errElsewhere = errors.New("the daemon is on another machine")

// residentOf finds the daemon at a URL, when it is on this machine.
func residentOf(o Options) (*resident, error) {
	host, port, err := hostPort(o.URL)
	if err != nil {
		return nil, err
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("%w: %s", errElsewhere, host)
	}
	return residentAt(port)
}
