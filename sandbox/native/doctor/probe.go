//go:build linux

package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/native/cgroup"
)

// probeTime bounds each program that is started to see whether it can be.
const probeTime = 5 * time.Second

func trim(data []byte) []byte { return bytes.TrimSpace(data) }

// makeNamespaces starts a child in namespaces of its own. With user, that of
// users is among them, and the child changes its root to "/": that takes a
// capability, which some hosts withhold from such namespaces after making them.
func makeNamespaces(ctx context.Context, user bool, flags uintptr) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/true")
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if user {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
		cmd.SysProcAttr.Chroot = "/"
	}
	return cmd.Run()
}

// groupsIn makes a parent of our own and removes it again. It moves nobody.
func groupsIn(parent string) func(context.Context) (version int, unenforced []string, err error) {
	return func(ctx context.Context) (version int, unenforced []string, err error) {
		h, err := cgroup.Open(ctx, cgroup.Options{Instance: fmt.Sprintf("doctor-%d", os.Getpid()), Parent: parent, KeepProcesses: true})
		if err != nil {
			return 0, nil, err
		}
		_, unenforced = h.Enforced()
		return h.Version(), unenforced, h.Close()
	}
}

// pidsIn looks at the limits of tasks above a parent of our own.
func pidsIn(parent string) func(context.Context) (used, limit int64, dir string, ok bool) {
	return func(ctx context.Context) (used, limit int64, dir string, ok bool) {
		h, err := cgroup.Open(ctx, cgroup.Options{Instance: fmt.Sprintf("doctor-%d", os.Getpid()), Parent: parent, KeepProcesses: true})
		if err != nil {
			return 0, 0, "", false
		}
		defer func() { _ = h.Close() }() // whoever makes sandboxes would tell
		return h.Tasks()
	}
}

// landlockVersion asks the kernel as landlock_create_ruleset(2) says.
func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// askVersion runs a program with --version, and an environment that misleads
// none.
func askVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.Dir, cmd.WaitDelay = []string{"LC_ALL=C"}, "/", time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(trim(out)), "\n")
	return line, nil
}

func hardNofile() (hard uint64, err error) {
	var limit unix.Rlimit
	err = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Max, err
}

// existing returns the directory, or the nearest above it that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func mountFlags(dir string) (noexec, readonly bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(existing(dir), &st); err != nil {
		return false, false, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return st.Flags&unix.ST_NOEXEC != 0, st.Flags&unix.ST_RDONLY != 0, nil
}

// canWrite reports why a directory cannot be written to or made.
func canWrite(dir string) error {
	place := existing(dir)
	info, err := os.Stat(place)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "use", Path: place, Err: unix.ENOTDIR}
	}
	if err := unix.Access(place, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write to", Path: place, Err: err}
	}
	return nil
}

func hostMemory() (total, available int64) { return cgroup.HostMemory() }

func resolveLinks(path string) (string, error) { return filepath.EvalSymlinks(path) }
