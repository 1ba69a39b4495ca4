//go:build linux

package guest

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// groups makes the cgroup of each execution below `work`, so that the end of
// an execution also ends those of its processes that left its process group.
// The daemon hands in the folder (v1: of the pids hierarchy) and owns its
// limits; what is made below belongs to us.
type groups struct {
	folder *os.File // nil: there are no cgroups
	next   int
}

// A group is the cgroup of one execution.
type group struct {
	folder *os.File // the parent
	name   string
	tasks  *os.File // v1: takes threads
	procs  *os.File // takes and lists processes
}

// make makes a group, or returns nil when there are none here.
func (g *groups) make() *group {
	if g.folder == nil {
		return nil
	}
	g.next++
	x := &group{folder: g.folder, name: "x" + strconv.Itoa(g.next)}
	if unix.Mkdirat(int(g.folder.Fd()), x.name, 0o755) != nil {
		return nil
	}
	x.procs = x.open("cgroup.procs", unix.O_RDWR)
	x.tasks = x.open("tasks", unix.O_WRONLY)
	if x.procs == nil {
		x.remove()
		return nil
	}
	return x
}

// enter moves the calling thread in.
func (x *group) enter() {
	if x.tasks != nil {
		_, _ = x.tasks.WriteAt([]byte("0"), 0)
	}
}

// end kills all that is inside and removes the group. It first forbids new
// processes, so that a fork bomb cannot outrun it.
func (x *group) end() {
	if x == nil {
		return
	}
	x.write("pids.max", "0")
	x.write("cgroup.kill", "1") // v2; elsewhere there is no such file
	for range 500 {
		pids := x.pids()
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		unixPause(2 * time.Millisecond)
	}
	x.remove()
}

// remove gives the group back. A group whose processes are not reaped yet
// stays, empty, until the sandbox ends: it costs a folder.
func (x *group) remove() {
	for _, f := range []*os.File{x.procs, x.tasks} {
		if f != nil {
			_ = f.Close()
		}
	}
	for range 50 {
		err := unix.Unlinkat(int(x.folder.Fd()), x.name, unix.AT_REMOVEDIR)
		if err != unix.EBUSY { //nolint:errorlint // a bare errno
			return
		}
		unixPause(2 * time.Millisecond)
	}
}

// pids lists what is inside, as this namespace numbers it.
func (x *group) pids() []int {
	buf := make([]byte, 16<<10)
	n, _ := x.procs.ReadAt(buf, 0)
	var pids []int
	for word := range strings.FieldsSeq(string(buf[:max(n, 0)])) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids
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
