//go:build linux

package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Options say how a Host is to be made.
type Options struct {
	Instance string // names the daemon among those of this host: a short hash of its state directory
	Memory   int64  // bytes that all sessions may use together; 0 sets no limit
	// Parent is a group, named from the root of each hierarchy, in which the
	// daemon makes its own, such as a slice of systemd; it is made where it is
	// missing. Empty is the highest place that is ours. A daemon that is given
	// another one finds nothing of what it left in the last.
	Parent string
	// KeepProcesses moves no process to make a group a parent; Open then fails
	// with EBUSY where that were needed.
	KeepProcesses bool
	Logger        *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// The controllers that sessions are limited by.
const (
	memory = "memory"
	pids   = "pids"
	cpu    = "cpu"
	freeze = "freeze"
)

// parent is the directory that all daemons of a host share.
const parent = "sandwarden"

// A Host is the daemon's part of the host's control groups.
type Host struct {
	log     *slog.Logger
	dialect dialect
	trees   []*tree // each once
	// By what they are for; nil where the host does not have it, the same tree
	// twice where hierarchies are mounted together.
	memory, pids, cpu, cpuacct, freezer *tree
}

// A dialect is what differs between the versions: the names of files, and what
// is written to them. Directories are given relative to the tree.
type dialect interface {
	version() int
	limitMemory(t *tree, dir string, bytes int64) error
	limitCPU(t *tree, dir string, quota int64) error // microseconds in each period
	memoryUsed(t *tree, dir string) (int64, error)
	memoryLimit(t *tree, dir string) (int64, error)
	cpuUsed(t *tree, dir string) (int64, error) // nanoseconds
	oom(t *tree, dir string) (kills int64, own bool, err error)
	// kills names the file of a directory that has the count of oom, as oom_kill.
	kills() string
	freeze(t *tree, dir string, frozen bool) error
	isFrozen(t *tree, dir string) (bool, error)
	// reclaim takes back what memory dir can go without, at most so many bytes
	// where that can be said.
	reclaim(t *tree, dir string, bytes int64) error
	// tasks is the file in a work directory that a process, or in version 1 a
	// thread, joins it by.
	tasks() string
	// prepare makes the controllers known below a new session directory.
	prepare(t *tree, dir string) error
	// kill ends all in and below dir at once, and reports whether it could.
	kill(t *tree, dir string) (bool, error)
}

// Open finds the hierarchies of this host and makes the daemon's parent group,
// sandwarden/<instance>, in each. It touches no session that is there. It fails
// with Kind Unavailable when neither memory nor tasks can be limited.
func Open(ctx context.Context, opts Options) (*Host, error) {
	opts = opts.withDefaults()
	if !validName(opts.Instance) {
		return nil, &sandbox.Error{Op: "cgroup", Kind: sandbox.Invalid, Detail: "the instance's name cannot name a control group"}
	}
	if !validParent(opts.Parent) {
		return nil, &sandbox.Error{Op: "cgroup", Kind: sandbox.Invalid, Detail: "the parent's name cannot name a control group", Remedy: "name it from the root of the hierarchies, as /sandwarden.slice"}
	}
	if err := ctx.Err(); err != nil {
		return nil, &sandbox.Error{Op: "cgroup", Kind: sandbox.KindOf(err), Err: err}
	}
	mounts, err := hostMounts()
	if err != nil {
		return nil, unavailable(err)
	}
	h, err := openV2(mounts, opts)
	if err == nil && h.memory == nil && h.pids == nil {
		err = errors.Join(errors.New("no controllers of version 2"), h.Close())
	}
	if err != nil {
		older, olderErr := openV1(mounts, opts)
		if olderErr != nil {
			return nil, unavailable(errors.Join(err, olderErr))
		}
		h = older
	}
	if h.memory != nil && opts.Memory > 0 {
		if err := h.dialect.limitMemory(h.memory, ".", opts.Memory); err != nil {
			return nil, unavailable(errors.Join(err, h.Close()))
		}
	}
	enforced, unenforced := h.Enforced()
	h.log.Debug("control groups found", "version", h.Version(), "enforced", enforced, "unenforced", unenforced)
	return h, nil
}

func hostMounts() ([]mount, error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(mountinfo), string(self)), nil
}

func unavailable(err error) error {
	return &sandbox.Error{
		Op: "cgroup", Kind: sandbox.Unavailable, Err: err,
		Detail: "this daemon may limit neither memory nor processes: no control group is its own",
		Remedy: "run as root with /sys/fs/cgroup writable, or as a service with Delegate=yes; `sandwarden doctor` shows the commands",
	}
}

// validName reports whether a name can be that of one directory.
func validName(name string) bool {
	if name == "" || len(name) > 128 || strings.ContainsAny(name[:1], ".-_:@") {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@-") == ""
}

// validParent reports whether a name can be that of a group below the root.
func validParent(name string) bool {
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if part == "." || part == ".." || strings.ContainsAny(part, "\n\x00") {
			return false
		}
	}
	return len(name) < 1024
}

// chosen returns the place below a mount that the options name, with the
// groups on the way to it, the mount first.
func (o Options) chosen(point string) (place string, above []string) {
	place = point
	for part := range strings.SplitSeq(o.Parent, "/") {
		if part != "" {
			above = append(above, place)
			place = filepath.Join(place, part)
		}
	}
	return place, above
}

// makeParent makes base/sandwarden/instance and opens it. Another daemon that
// closes may take the upper one away before the lower is made.
func makeParent(base, instance string, split bool) (*tree, error) {
	dir := filepath.Join(base, parent)
	var err error
	for range 10 {
		if err = os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err = os.Mkdir(filepath.Join(dir, instance), 0o750); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return openTree(filepath.Join(dir, instance), split)
}

// add notes a tree once.
func (h *Host) add(t *tree) {
	if !slices.Contains(h.trees, t) {
		h.trees = append(h.trees, t)
	}
}

// Enforced says which of memory, pids, cpu and freeze work here, and which do
// not.
func (h *Host) Enforced() (enforced, unenforced []string) {
	for _, c := range []struct {
		name string
		tree *tree
	}{{memory, h.memory}, {pids, h.pids}, {cpu, h.cpu}, {freeze, h.freezer}} {
		if c.tree != nil {
			enforced = append(enforced, c.name)
		} else {
			unenforced = append(unenforced, c.name)
		}
	}
	return enforced, unenforced
}

// Version returns 1 or 2.
func (h *Host) Version() int { return h.dialect.version() }

// List returns the sessions that exist, sorted, those included whose removal or
// making stopped half way.
func (h *Host) List() ([]string, error) {
	var names []string
	for _, t := range h.trees {
		entries, err := os.ReadDir(t.dir)
		if err != nil {
			return nil, &sandbox.Error{Op: "cgroup", Err: err}
		}
		for _, entry := range entries {
			if entry.IsDir() {
				names = append(names, entry.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Memory returns what all sessions use together and the limit of it, in bytes:
// -1 where nobody counts, and a limit of 0 for none.
func (h *Host) Memory() (used, limit int64) {
	if h.memory == nil {
		return -1, 0
	}
	used, err := h.dialect.memoryUsed(h.memory, ".")
	if err != nil {
		return -1, 0
	}
	limit, err = h.dialect.memoryLimit(h.memory, ".")
	if err != nil || limit > unlimited/2 {
		limit = 0
	}
	return used, limit
}

// Close gives back what the Host holds and removes the parents that no session
// is in. Sessions stay.
func (h *Host) Close() error {
	var errs []error
	for _, t := range h.trees {
		errs = append(errs, t.close())
		for _, dir := range []string{t.dir, filepath.Dir(t.dir)} {
			err := os.Remove(dir)
			if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	h.trees = nil
	if err := errors.Join(errs...); err != nil {
		return &sandbox.Error{Op: "cgroup", Err: err}
	}
	return nil
}
