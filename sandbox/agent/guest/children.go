//go:build linux

package guest

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// A program is a child to start.
type program struct {
	path  string
	argv  []string
	env   []string
	dir   string
	files []*os.File // its descriptors 0, 1, …
	group *group     // of its execution
}

// An ending is how a child ended.
type ending struct {
	status syscall.WaitStatus
	cpu    time.Duration
	peak   int64 // bytes
}

// children starts and reaps all processes. There is one reaper, since PID 1
// gets every orphan: a Wait elsewhere would lose exit codes to it.
type children struct {
	join     boot.Join
	joins    []*os.File // `work`: v1 one per controller, v2 one
	forking  sync.Once  // before the first child: a thread that few sandboxes need
	requests chan func()

	mu      sync.Mutex
	waiting map[int]chan ending
}

func newChildren(join boot.Join, joins []*os.File) *children {
	return &children{join: join, joins: joins, requests: make(chan func()), waiting: map[int]chan ending{}}
}

// fork runs all forks on one thread, from the first until the agent ends. With
// JoinThread that thread is in the cgroup `work`, so its children are born
// there; it never runs anything else.
func (c *children) fork() {
	runtime.LockOSThread()
	if c.join == boot.JoinThread {
		joinAll(c.joins)
	}
	for f := range c.requests {
		f()
	}
}

// start starts p and returns its pid and where its ending will come.
func (c *children) start(p program) (pid int, ended <-chan ending, err error) {
	c.forking.Do(func() { go c.fork() })
	done := make(chan struct{})
	c.requests <- func() {
		defer close(done)
		pid, ended, err = c.startHere(p)
	}
	<-done
	return pid, ended, err
}

// adopt returns where the ending will come of a process that others made and
// whose parent we are.
func (c *children) adopt(pid int) <-chan ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := make(chan ending, 1)
	if syscall.Kill(pid, 0) == syscall.ESRCH { // it has ended, and was reaped as an orphan
		ended <- ending{}
		return ended
	}
	tenantFirst(pid)
	c.waiting[pid] = ended
	return ended
}

// startHere holds the lock over the fork, so that the reaper cannot see the
// child's end before its channel is known.
func (c *children) startHere(p program) (int, <-chan ending, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.join == boot.JoinThread && p.group.folder != nil {
		p.group.enter()
		defer joinAll(c.joins)
	}
	if c.join == boot.JoinSelf {
		p = c.joining(p)
	}
	attr := &syscall.ProcAttr{Dir: p.dir, Env: append(p.env, p.group.env()...), Sys: &syscall.SysProcAttr{Setsid: true}}
	for _, f := range p.files {
		attr.Files = append(attr.Files, f.Fd())
	}
	pid, err := syscall.ForkExec(p.path, p.argv, attr)
	if err != nil {
		return 0, nil, err
	}
	tenantFirst(pid)
	ended := make(chan ending, 1)
	c.waiting[pid] = ended
	return pid, ended, nil
}

// joining returns p as run by the agent's own program, which enters the cgroup
// and then becomes p: on v2 a thread alone cannot be elsewhere.
func (c *children) joining(p program) program {
	door := c.joins[0]
	if p.group.folder != nil {
		door = p.group.procs
	}
	p.files = append(append([]*os.File{}, p.files...), door)
	head := []string{"sandwarden-agent", JoinWord, strconv.Itoa(len(p.files) - 1), p.path}
	p.argv = append(head, p.argv...)
	p.path = "/proc/self/fd/" + strconv.Itoa(boot.SelfFD)
	return p
}

// reap takes the endings of all children that have ended, also of orphans that
// nobody waits for.
func (c *children) reap() {
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		c.mu.Lock()
		ended := c.waiting[pid]
		delete(c.waiting, pid)
		c.mu.Unlock()
		if ended != nil {
			cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
			ended <- ending{status: status, cpu: cpu, peak: usage.Maxrss << 10}
		}
	}
}

// joinAll moves the calling thread into cgroups by their `tasks` files.
func joinAll(tasks []*os.File) {
	for _, f := range tasks {
		_, _ = f.WriteAt([]byte("0"), 0)
	}
}

// tenantFirst makes the kernel's last resort choose the child before PID 1. The
// tenant can take that back, down to the daemon's own score and no further: only
// who has CAP_SYS_RESOURCE could set a lower bound. Its own limit it meets in a
// cgroup in which PID 1 is not.
func tenantFirst(pid int) {
	path := "/proc/" + strconv.Itoa(pid) + "/oom_score_adj"
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // it has ended already
	}
	_, _ = unix.Write(fd, []byte("500"))
	_ = unix.Close(fd)
}

// signalGroup sends s to the process group of pid. Each child leads one.
func signalGroup(pid int, s syscall.Signal) { _ = syscall.Kill(-pid, s) }
