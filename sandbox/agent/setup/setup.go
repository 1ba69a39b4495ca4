//go:build linux

package setup

import (
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// Run builds the walls, locks the door and executes the agent, on the process's
// first thread. It returns only when something failed; the sandbox must then end.
func Run(c boot.Walls, config []byte) error {
	if err := buildWalls(c); err != nil {
		return err
	}
	if err := lockDown(c); err != nil {
		return err
	}
	if c.Late { // so that the daemon can connect, and is told who listens
		if err := unix.Listen(boot.SocketFD, boot.Backlog); err != nil {
			return os.NewSyscallError("listen", err)
		}
	}
	if _, err := unix.Write(boot.ReadyFD, []byte(boot.WallsWord)); err != nil {
		return err
	}
	return execGuest(c, config)
}

// buildWalls joins the agent's control groups, enters a copy of the template's tree, makes the file systems there and
// brings up loopback.
func buildWalls(c boot.Walls) error {
	shared := volumes{all: c.Volumes}
	steps := []struct {
		what string
		do   func() error
	}{
		{"groups", func() error { return joinGroups(c) }},
		{"volumes", shared.take},
		{"tree", enterTree},
		{"cgroup namespace", func() error { return leaveCgroupNamespace(c) }},
		{"proc", func() error { return mountProc(c) }},
		{"buffers", limitBuffers},
		{"locks", lockProc},
		{"terminals", mountTerminals},
		{"disk", func() error { return mountDisk(c) }},
		{"host name", func() error { return unix.Sethostname([]byte(c.Hostname)) }},
		{"loopback", loopbackUp},
		{"work", func() error { return unix.Chdir("/work") }},
		{"volumes", func() error { return shared.attach(c) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// joinGroups moves this thread to the agent's control groups: the exec leaves no
// other. The daemon could move all of us, but that takes the kernel milliseconds.
func joinGroups(c boot.Walls) error {
	first := boot.FirstFD + passed(c)
	for fd := first; fd < first+c.AgentFiles; fd++ {
		if _, err := unix.Pwrite(fd, []byte("0"), 0); err != nil {
			return err
		}
	}
	return nil
}

// leaveCgroupNamespace hides where in the host's cgroups we are, once we are
// there. With v2 we stay in the host's: from a namespace
// made in `agent` nobody may be moved to `work`.
func leaveCgroupNamespace(c boot.Walls) error {
	if c.JoinMode == boot.JoinSelf {
		return nil
	}
	return unix.Unshare(unix.CLONE_NEWCGROUP)
}

// enterTree makes a copy of the template's mount namespace this thread's, whose
// root and directory are then the tree's. Nothing of the host is in it. To make a
// tree the root here would have the kernel look at each task of the host.
func enterTree() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // all threads of a program have one root
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Setns(boot.TreeFD, unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("setns", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	return unix.Close(boot.TreeFD)
}

// execGuest becomes the agent, or what waits until one is needed. The agent finds its
// configuration again at ConfigFD. It sees one processor: it does little, and each
// costs threads.
func execGuest(c boot.Walls, config []byte) error {
	fd, err := unix.MemfdCreate("config", 0)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, config); err != nil {
		return err
	}
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return err
	}
	if fd != boot.ConfigFD {
		if err := unix.Dup3(fd, boot.ConfigFD, 0); err != nil {
			return err
		}
	}
	if err := closeOthers(c); err != nil {
		return err
	}
	environ := []string{"GOMAXPROCS=1", "PATH=" + Path, "GOTRACEBACK=none"}
	program := fmt.Sprintf("/proc/self/fd/%d", next(c))
	return os.NewSyscallError("execve", syscall.Exec(program, []string{"sandwarden-agent", "guest"}, environ))
}

// next is the descriptor of the program that we become.
func next(c boot.Walls) int {
	if c.Late {
		return boot.PauseFD
	}
	return boot.SelfFD
}

// Path is where programs are looked for inside.
const Path = "/usr/bin:/usr/sbin:/bin:/sbin"

// closeOthers lets only the descriptors of the contract pass the exec: one more,
// of a folder outside, would be a way out.
func closeOthers(c boot.Walls) error {
	unix.CloseOnExec(boot.PauseFD)
	if !c.Late {
		unix.CloseOnExec(boot.AliveFD)
	}
	return unix.CloseRange(uint(boot.FirstFD+passed(c)), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// passed is how many descriptors from [boot.FirstFD] on the agent gets.
func passed(c boot.Walls) int {
	n := c.JoinFiles
	if c.WorkFolder {
		n++
	}
	if c.Forked {
		n += boot.KernelFiles
	}
	return n
}
