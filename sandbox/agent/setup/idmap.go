//go:build linux

package setup

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// IDMap returns a user namespace in which one user and one group on a disk are
// those of somebody else, for the attribute MOUNT_ATTR_IDMAP of
// mount_setattr(2). No process lives in it: it is that of a child which is
// stopped before its first instruction, and killed.
//
// program is what the child executes as far as that; it must be a file that can
// be executed. The calling goroutine must be locked to its thread, whose /proc
// must show the child.
func IDMap(program string, onDisk, inside Owner) (*os.File, error) {
	pid, err := syscall.ForkExec(program, []string{"sandwarden-ids"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{
			Ptrace: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: onDisk.UID, HostID: inside.UID, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: onDisk.GID, HostID: inside.GID, Size: 1}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	return namespace, errors.Join(err, end(pid))
}

// An Owner is a user and a group.
type Owner struct{ UID, GID int }

// end kills a stopped child and reaps it.
func end(pid int) error {
	err := syscall.Kill(pid, syscall.SIGKILL)
	for {
		var status syscall.WaitStatus
		_, waitErr := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(waitErr, syscall.EINTR):
		case waitErr != nil:
			return errors.Join(err, waitErr)
		case status.Exited(), status.Signaled():
			return err
		}
	}
}

// SetMount changes a mount that is attached nowhere: what is on it grants no
// rights, and with a namespace of [IDMap] it has other owners.
func SetMount(mount int, readOnly bool, ids *os.File) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	if readOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if ids != nil {
		attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
		attr.Userns_fd = uint64(ids.Fd())
	}
	return os.NewSyscallError("mount_setattr", unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &attr))
}
