//go:build linux

package setup

import (
	"fmt"
	"math"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// ZygoteWord is the first argument of the program that builds walls when it is to
// become a zygote: an interpreter with rights, in a template's tree, that forks kernels.
const ZygoteWord = "zygote"

// zygoteControl is the descriptor at which a zygote looks for its control socket,
// which comes at [boot.SocketFD].
const zygoteControl = 3

// zygoteRights are what a zygote needs to enter a sandbox and to lock a kernel
// down there. It has no others.
var zygoteRights = []int{ //nolint:gochecknoglobals // a table
	unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SYS_PTRACE, // to enter the namespaces of who may not be traced
	unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP,
}

// RunZygote enters a copy of the template's tree, with no /proc and nothing that can
// be written, and becomes the interpreter that c names there, with the program that
// forks. It returns only when something failed.
func RunZygote(c boot.Walls) error {
	steps := []struct {
		what string
		do   func() error
	}{
		{"tree", enterTree},
		{"proc", func() error { return dropProc(c) }},
		{"bounding set", dropOtherRights},
		{"no new privileges", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		{"control", func() error { return unix.Dup3(boot.SocketFD, zygoteControl, 0) }},
		{"descriptors", func() error { return unix.CloseRange(zygoteControl+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return os.NewSyscallError("execve", syscall.Exec(c.Zygote[0], c.Zygote, c.ZygoteEnv))
}

func dropOtherRights() error {
	for right := range lastCapability() + 1 {
		if slices.Contains(zygoteRights, right) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(right), 0, 0, 0); err != nil {
			return err
		}
	}
	return nil
}
