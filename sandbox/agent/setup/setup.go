//go:build linux

package setup

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent"
)

// StageTwo is the first argument of the agent's program for its second stage.
const StageTwo = "guest"

// Run builds the walls, locks the door and executes the agent's second stage.
// It returns only when something failed; the sandbox must then end.
func Run(c agent.Config, config []byte) error {
	runtime.LockOSThread()
	if err := buildWalls(c); err != nil {
		return err
	}
	if err := lockDown(c); err != nil {
		return err
	}
	return execGuest(c, config)
}

// buildWalls makes the file systems, enters the new root and brings up
// loopback.
func buildWalls(c agent.Config) error {
	shared := volumes{all: c.Volumes}
	steps := []struct {
		what string
		do   func() error
	}{
		{"make mounts private", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"cgroup namespace", func() error { return leaveCgroupNamespace(c) }},
		{"proc", func() error { return mountProc(c) }},
		{"buffers", func() error { return limitBuffers(c) }},
		{"locks", func() error { return lockProc(c) }},
		{"devices", func() error { return mountDev(c) }},
		{"disk", func() error { return mountDisk(c) }},
		{"host name", func() error { return unix.Sethostname([]byte(c.Hostname)) }},
		{"loopback", loopbackUp},
		{"volumes", shared.take},
		{"root", func() error { return enterRoot(c.Root, "/work") }},
		{"volumes", func() error { return shared.attach(c) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// leaveCgroupNamespace hides where in the host's cgroups we are. It comes after
// the daemon has put us there. With v2 we stay in the host's: from a namespace
// made in `agent` nobody may be moved to `work`.
func leaveCgroupNamespace(c agent.Config) error {
	if c.JoinMode == agent.JoinSelf {
		return nil
	}
	return unix.Unshare(unix.CLONE_NEWCGROUP)
}

// enterRoot makes the tree the root, drops the old one, and goes to a directory.
func enterRoot(root, dir string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Chdir(dir)
}

// execGuest becomes the second stage, which finds its configuration again at
// ConfigFD. It sees one processor: it does little, and each costs threads.
func execGuest(c agent.Config, config []byte) error {
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
	if fd != agent.ConfigFD {
		if err := unix.Dup3(fd, agent.ConfigFD, 0); err != nil {
			return err
		}
	}
	if err := closeOthers(c); err != nil {
		return err
	}
	environ := []string{"GOMAXPROCS=1", "PATH=" + Path, "GOTRACEBACK=none"}
	program := fmt.Sprintf("/proc/self/fd/%d", agent.SelfFD)
	return os.NewSyscallError("execve", syscall.Exec(program, []string{"sandwarden-agent", StageTwo}, environ))
}

// Path is where programs are looked for inside.
const Path = "/usr/bin:/usr/sbin:/bin:/sbin"

// closeOthers lets only the descriptors of the contract pass the exec: one more,
// of a folder outside, would be a way out.
func closeOthers(c agent.Config) error {
	first := agent.FirstFD + c.JoinFiles
	if c.WorkFolder {
		first++
	}
	if c.Forked {
		first += agent.KernelFiles
	}
	return unix.CloseRange(uint(first), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}
