//go:build linux

package guest

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// groups makes a group for each execution, so that its end also ends those of
// its processes that left its process group. With cgroups it is one below
// `work`: the daemon hands in the folder (v1: of the pids hierarchy) and owns
// its limits; what is made below belongs to us. Without, the group is a mark
// in the environment, which a program can take off.
type groups struct {
	folder *os.File // nil: there are no cgroups
	prefix string   // of all names, where there may be groups of another agent
	next   atomic.Int64

	opening sync.Once
	events  *os.File // counts the refusals of the folder itself
}

// A group is what the processes of one execution have in common.
type group struct {
	name   string
	all    *groups
	before int // refusals that the parent had counted

	mu     sync.Mutex
	events *os.File // counts the refusals; nil until they are asked for, and at the end
	folder *os.File // the parent; nil when the group is a mark
	tasks  *os.File // v1: takes threads
	procs  *os.File // takes processes
}

// mark is the variable that marks the processes of an execution.
const mark = "SANDWARDEN_EXECUTION="

// make makes a group.
func (g *groups) make() *group {
	name := g.prefix + "x" + strconv.FormatInt(g.next.Add(1), 10)
	if g.folder != nil && unix.Mkdirat(int(g.folder.Fd()), name, 0o755) == nil {
		if x := g.named(name); x != nil {
			return x
		}
		_ = unix.Unlinkat(int(g.folder.Fd()), name, unix.AT_REMOVEDIR)
	}
	return &group{all: g, name: name}
}

// named returns a group that is there, or nil.
func (g *groups) named(name string) *group {
	if g.folder == nil || name == "" {
		return nil
	}
	x := &group{all: g, name: name, folder: g.folder}
	if x.procs = x.open("cgroup.procs", unix.O_WRONLY); x.procs == nil {
		return nil
	}
	x.tasks = x.open("tasks", unix.O_WRONLY)
	x.before = refusals(g.counted())
	return x
}

// env is what the environment of the group's processes needs.
func (x *group) env() []string {
	if x.folder != nil {
		return nil
	}
	return []string{mark + x.name}
}

// enter moves the calling thread in.
func (x *group) enter() {
	if x.tasks != nil {
		_, _ = x.tasks.WriteAt([]byte("0"), 0)
	}
}

// admit moves a process in that others made. Where a group is but a mark there is
// nothing to do.
func (x *group) admit(pid int) error {
	if x.folder == nil {
		return nil
	}
	_, err := x.procs.WriteAt([]byte(strconv.Itoa(pid)), 0)
	return err
}

// end kills all that is inside and removes the group. It first forbids new
// processes, so that a fork bomb cannot outrun it.
func (x *group) end() {
	if x.folder != nil {
		x.write("pids.max", "0")
		x.write("cgroup.kill", "1") // v2; elsewhere there is no such file
	}
	killAll(x.pids)
	if x.folder != nil {
		x.remove()
	}
}

// endSince kills what was started in the group from a time of CLOCK_BOOTTIME on,
// but for the process that the group is for. None can be started meanwhile.
func (x *group) endSince(began time.Duration, leader int) {
	if x.folder != nil {
		x.write("pids.max", "0")
		defer x.write("pids.max", "max")
	}
	killAll(func() []int {
		return slices.DeleteFunc(x.pids(), func(pid int) bool {
			t, _, _, ok := timesOf(pid)
			return !ok || pid == leader || t.start < uint64(began/tick)
		})
	})
}

// killAll kills what pids lists until that is nothing.
func killAll(pids func() []int) {
	for range 500 {
		left := pids()
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		unixPause(2 * time.Millisecond)
	}
}

// refusals returns how many times the kernel refused to start a process in the
// group, for want of tasks. It is to be read before the end, which refuses too
// and takes the count along. From Linux 6.11 on, v2 counts where the limit is,
// which is the parent: then two executions that go on together are told of both.
func (x *group) refusals() int {
	if x.folder == nil {
		return 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.events == nil {
		x.events = x.open(eventsFile, unix.O_RDONLY)
	}
	return refusals(x.events) + refusals(x.all.counted()) - x.before
}

// eventsFile is where the kernel counts refusals.
const eventsFile = "pids.events"

// counted is the file with the count of the parent, or nil.
func (g *groups) counted() *os.File {
	g.opening.Do(func() {
		if fd, err := unix.Openat(int(g.folder.Fd()), eventsFile, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			g.events = os.NewFile(uintptr(fd), eventsFile)
		}
	})
	return g.events
}

func refusals(events *os.File) int {
	if events == nil {
		return 0
	}
	var text [64]byte
	n, err := quick.ReadStart(events.Fd(), text[:])
	if err != nil {
		return 0
	}
	count, ok := strings.CutPrefix(strings.TrimSpace(string(text[:n])), "max ")
	hits, err := strconv.Atoi(count)
	if !ok || err != nil {
		return 0
	}
	return hits
}

// remove gives the group back. A group whose processes are not reaped yet
// stays, empty, until the sandbox ends: it costs a folder.
func (x *group) remove() {
	x.mu.Lock()
	for _, f := range []*os.File{x.procs, x.tasks, x.events} {
		if f != nil {
			_ = f.Close()
		}
	}
	x.events = nil
	x.mu.Unlock()
	for range 50 {
		err := unix.Unlinkat(int(x.folder.Fd()), x.name, unix.AT_REMOVEDIR)
		if err != unix.EBUSY {
			return
		}
		unixPause(2 * time.Millisecond)
	}
}

// pids lists what is inside, as this namespace numbers it.
func (x *group) pids() []int {
	if x.folder == nil {
		return marked(mark + x.name)
	}
	f := x.open("cgroup.procs", unix.O_RDONLY) // anew: v1 keeps what a descriptor has read
	if f == nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	buf := make([]byte, 16<<10)
	n, _ := f.Read(buf)
	var pids []int
	for word := range strings.FieldsSeq(string(buf[:max(n, 0)])) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// marked lists the processes whose environment has an entry.
func marked(entry string) []int {
	names, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range names {
		environ, err := readSome(name)
		if err != nil || !strings.Contains("\x00"+string(environ), "\x00"+entry+"\x00") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// readSome reads the beginning of a file that a tenant may have made long.
func readSome(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	const most = 128 << 10
	return io.ReadAll(io.LimitReader(f, most))
}

func (x *group) open(file string, flags int) *os.File {
	fd, err := unix.Openat(int(x.folder.Fd()), x.name+"/"+file, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), file)
}

func (x *group) write(file, value string) {
	if f := x.open(file, unix.O_WRONLY); f != nil {
		_, _ = f.WriteString(value)
		_ = f.Close()
	}
}

// unixPause waits for the kernel, which tells nobody when a killed process is
// gone from its cgroup.
func unixPause(d time.Duration) { <-time.After(d) }
