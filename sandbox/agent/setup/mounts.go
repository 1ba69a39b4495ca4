//go:build linux

package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// Masks of /proc. What is missing on a kernel needs no mask.
var (
	maskedFiles = []string{"kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "interrupts", "sysrq-trigger", "kmsg", "key-users", "kallsyms", "cmdline", "config.gz", "kpagecount", "kpageflags", "kpagecgroup", "slabinfo", "vmallocinfo", "modules"} //nolint:gochecknoglobals // a table
	maskedDirs  = []string{"scsi", "acpi", "asound"}                                                                                                                                                                                                                              //nolint:gochecknoglobals // a table
	lockedDirs  = []string{"bus", "fs", "irq", "sys", "driver", "tty"}                                                                                                                                                                                                            //nolint:gochecknoglobals // a table
)

const guarded = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

const (
	proc  = "/proc"
	null  = "/dev/null"
	stage = "/tmp" // where the disk is whole until its folders are where they are to be
)

// mountProc mounts a fresh /proc of this pid namespace and masks what tells of
// the host or acts on it. The masks' source is checked to be the null device.
func mountProc(c boot.Walls) error {
	fresh, err := freshProc()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fresh) }()
	if err := dropProc(c); err != nil {
		return err
	}
	if err := unix.MoveMount(fresh, "", unix.AT_FDCWD, proc, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return os.NewSyscallError("move_mount", err)
	}
	if err := checkNull(null); err != nil {
		return err
	}
	for _, name := range maskedFiles {
		if err := optional(unix.Mount(null, filepath.Join(proc, name), "", unix.MS_BIND, "")); err != nil {
			return fmt.Errorf("mask %s: %w", name, err)
		}
	}
	return nil
}

// freshProc returns a /proc of this pid namespace that is attached nowhere yet.
func freshProc() (int, error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("fsopen", err)
	}
	defer func() { _ = unix.Close(fs) }()
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	return mount, os.NewSyscallError("fsmount", err)
}

// dropProc takes the host's /proc away, which the tree has in a user namespace: there
// the kernel makes another only for who sees one already.
func dropProc(c boot.Walls) error {
	if !c.UserNS {
		return nil
	}
	return unix.Unmount(proc, unix.MNT_DETACH)
}

// lockProc makes read-only what acts on the kernel.
func lockProc() error {
	for _, name := range lockedDirs {
		if err := optional(readOnly(filepath.Join(proc, name))); err != nil {
			return fmt.Errorf("lock %s: %w", name, err)
		}
	}
	return nil
}

// limitBuffers makes the buffers of this network namespace's connections small:
// what they hold is not the tenant's memory to the kernel, and loopback needs
// little. A kernel that has no such switch keeps its own.
func limitBuffers() error {
	for _, name := range []string{"tcp_rmem", "tcp_wmem"} {
		path := filepath.Join(proc, "sys/net/ipv4", name)
		if err := os.WriteFile(path, []byte("4096 8192 65536"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func checkNull(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return errors.New("/dev/null is not the null device")
	}
	return nil
}

// optional forgives a target that this kernel does not have.
func optional(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// readOnly binds a folder onto itself, read-only.
func readOnly(path string) error { return bind(path, path, guarded|unix.MS_RDONLY) }

// bind shows a folder at another place, with flags of its own there.
func bind(source, target string, flags uintptr) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|flags, "")
}

// mountTerminals mounts the session's own; the devices are the template's.
func mountTerminals() error {
	return unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,max=64")
}

// mountDisk mounts what can be written: one tmpfs, bounded in bytes and in files,
// for all of it, since each file system costs the kernel memory for each control
// group that there is. Its pages are charged to who writes.
func mountDisk(c boot.Walls) error {
	const owned, open, empty = 0o755, 0o777 | os.ModeSticky, 0o555
	options := fmt.Sprintf("mode=0755,size=%d,nr_inodes=%d", c.DiskBytes, c.Inodes)
	if err := unix.Mount("tmpfs", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return err
	}
	for name, mode := range map[string]os.FileMode{"work": owned, "tmp": open, "shm": open, "empty": empty} {
		if err := makeFolder(filepath.Join(stage, name), mode, c.UID, c.GID); err != nil {
			return err
		}
	}
	if err := nameTenant(c); err != nil {
		return err
	}
	for _, name := range maskedDirs {
		if err := optional(bind(filepath.Join(stage, "empty"), filepath.Join(proc, name), guarded|unix.MS_RDONLY)); err != nil {
			return fmt.Errorf("mask %s: %w", name, err)
		}
	}
	if err := bind(filepath.Join(stage, "shm"), "/dev/shm", guarded); err != nil {
		return err
	}
	if err := unix.Mount(filepath.Join(stage, "work"), "/work", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount(filepath.Join(stage, "tmp"), stage, "", unix.MS_BIND, "")
}

func makeFolder(dir string, mode os.FileMode, uid, gid int) error {
	if err := os.Mkdir(dir, mode.Perm()); err != nil {
		return err
	}
	if err := os.Chmod(dir, mode); err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}

// nameTenant gives the session's user a name, in files that lie where the
// tenant cannot reach them but through the mounts.
func nameTenant(c boot.Walls) error {
	files := map[string]string{ // the tenant first: in a user namespace it may be id 0
		"passwd": fmt.Sprintf("sandbox:x:%d:%d:sandbox:/work:/bin/bash\nroot:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", c.UID, c.GID),
		"group":  fmt.Sprintf("sandbox:x:%d:\nroot:x:0:\nnogroup:x:65534:\n", c.GID),
	}
	for name, text := range files {
		source := filepath.Join(stage, name)
		if err := os.WriteFile(source, []byte(text), 0o444); err != nil { //nolint:gosec // everybody inside reads it
			return err
		}
		if err := unix.Mount(source, filepath.Join("/etc", name), "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

// loopbackUp lets programs inside talk to their own servers. There is no other
// device.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
