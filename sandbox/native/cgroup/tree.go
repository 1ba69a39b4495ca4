//go:build linux

package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of one control file: no list of tasks that our
// limits allow is longer.
const maxFile = 1 << 20

// A tree is the daemon's parent directory in one hierarchy. Paths are relative
// to it. It uses system calls where os would do, since a session costs some
// thirty of them.
type tree struct {
	fd    int
	dir   string // its absolute path
	split bool   // sessions have agent and work below
}

// openTree opens an existing directory as a tree.
func openTree(dir string, split bool) (*tree, error) {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &tree{fd: fd, dir: dir, split: split}, nil
}

// agent returns the directory of a session's agent, and work that of the rest. Where
// sessions are not split all agents are in the tree's own, beside them.
func (t *tree) agent(session string) string {
	if t.split {
		return session + "/agent"
	}
	return "."
}

func (t *tree) work(session string) string {
	if t.split {
		return session + "/work"
	}
	return session
}

// dirs returns the directories of a new session, parents first.
func (t *tree) dirs(session string) []string {
	if !t.split {
		return []string{session}
	}
	return []string{session, t.agent(session), t.work(session)}
}

func (t *tree) fault(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: filepath.Join(t.dir, name), Err: err}
}

func (t *tree) mkdir(name string) error {
	if err := unix.Mkdirat(t.fd, name, 0o755); err != nil {
		return t.fault("mkdir", name, err)
	}
	return nil
}

func (t *tree) rmdir(name string) error {
	if err := unix.Unlinkat(t.fd, name, unix.AT_REMOVEDIR); err != nil {
		return t.fault("rmdir", name, err)
	}
	return nil
}

func (t *tree) exists(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(t.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

func (t *tree) chown(name string, uid int) error {
	if err := unix.Fchownat(t.fd, name, uid, -1, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return t.fault("chown", name, err)
	}
	return nil
}

func (t *tree) open(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(t.fd, name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, t.fault("open", name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(t.dir, name)), nil
}

// write writes value to a control file in one call, as the kernel wants it.
func (t *tree) write(name, value string) error {
	fd, err := unix.Openat(t.fd, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return t.fault("open", name, err)
	}
	for {
		_, err = unix.Write(fd, []byte(value))
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return t.fault("write "+value+" to", name, err)
	}
	return nil
}

func (t *tree) writeInt(name string, value int64) error {
	return t.write(name, strconv.FormatInt(value, 10))
}

// read returns what a control file holds, without the space around it.
func (t *tree) read(name string) (string, error) {
	fd, err := unix.Openat(t.fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", t.fault("open", name, err)
	}
	defer func() { _ = unix.Close(fd) }() // it was read only
	var all []byte
	buf := make([]byte, 4096)
	for len(all) < maxFile {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return "", t.fault("read", name, err)
		case n == 0:
			return strings.TrimSpace(string(all)), nil
		default:
			all = append(all, buf[:n]...)
		}
	}
	return "", t.fault("read", name, unix.EFBIG)
}

func (t *tree) readInt(name string) (int64, error) {
	text, err := t.read(name)
	if err != nil {
		return 0, err
	}
	n, err := parseAmount(text)
	if err != nil {
		return 0, t.fault("read", name, err)
	}
	return n, nil
}

// readField returns the number behind key in a file of "key number" lines, and
// 0 when the kernel does not have it.
func (t *tree) readField(name, key string) (int64, error) {
	text, err := t.read(name)
	if err != nil {
		return 0, err
	}
	n, err := field(text, key)
	if err != nil {
		return 0, t.fault("read", name, err)
	}
	return n, nil
}

// below returns the directories under name, deepest first, name the last.
func (t *tree) below(name string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(t.dir, name))
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		more, err := t.below(path.Join(name, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may just have been removed
			return nil, err
		}
		dirs = append(dirs, more...)
	}
	return append(dirs, name), nil
}

// pids adds the processes in dir to have. A directory that is gone has none.
func (t *tree) pids(dir string, have map[int]bool) error {
	text, err := t.read(dir + "/cgroup.procs")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.FieldsSeq(text) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			return t.fault("read", dir, err)
		}
		if pid > 0 { // 0 stands for one that our pid namespace cannot see
			have[pid] = true
		}
	}
	return nil
}

func (t *tree) close() error { return unix.Close(t.fd) }

// field finds "key number" among lines. A key that is missing counts 0.
func field(text, key string) (int64, error) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == key {
			return parseAmount(value)
		}
	}
	return 0, nil
}

// unlimited is what "max" counts as.
const unlimited = int64(1) << 62

// parseAmount parses the number in a control file. Version 2 writes "max", and
// version 1 the largest page-aligned number, for no limit.
func parseAmount(text string) (int64, error) {
	if text == "max" {
		return unlimited, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return min(n, unlimited), err
}
