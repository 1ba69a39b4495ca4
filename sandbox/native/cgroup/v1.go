//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// period is the span in microseconds within which processor time is shared out. It
// is the kernel's own.
const period = 100_000

// buffersShare is which part of a session's memory its sockets may hold.
const buffersShare = 16

// batch is more than what the kernel charges ahead and gives back when it finds
// a limit hit.
const batch = 1 << 20

// openV1 makes the parents in the hierarchies of version 1 that are mounted.
func openV1(mounts []mount, opts Options) (*Host, error) {
	h := &Host{log: opts.Logger, dialect: v1{}}
	var errs []error
	for _, m := range mounts {
		if m.v2 {
			continue
		}
		// Of memory only work is limited, so that a session takes one such group: for
		// each the kernel has some bytes for every file system that there is, a third
		// of a megabyte with 5000 sessions.
		split := slices.ContainsFunc(m.controllers, func(c string) bool { return c == pids || c == cpu })
		if !split && !slices.ContainsFunc(m.controllers, func(c string) bool { return c == memory || c == "cpuacct" || c == "freezer" }) {
			continue
		}
		t, err := v1Parent(m, opts, split)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		h.add(t)
		h.place(m, t)
	}
	if h.memory == nil && h.pids == nil {
		errs = append(errs, errors.New("no controllers of version 1"))
		return nil, errors.Join(append(errs, h.Close())...)
	}
	for _, err := range errs {
		h.log.Warn("a control group is not ours", "err", err)
	}
	return h, nil
}

// place notes what the tree of a mount is good for: a controller counts only
// when its file is there.
func (h *Host) place(m mount, t *tree) {
	for _, c := range []struct {
		controller, file string
		field            **tree
	}{
		{memory, "memory.limit_in_bytes", &h.memory},
		{pids, "pids.max", &h.pids},
		{cpu, "cpu.cfs_quota_us", &h.cpu}, // needs bandwidth control in the kernel
		{"cpuacct", "cpuacct.usage", &h.cpuacct},
		{"freezer", "freezer.state", &h.freezer},
	} {
		if slices.Contains(m.controllers, c.controller) && t.exists(c.file) {
			*c.field = t
		}
	}
}

// v1Parent makes the parent at the top of the hierarchy, so that the daemon's
// own limits and its service's end do not reach the sessions, else in the
// daemon's own group. A place that was chosen is taken or nothing: systemd has
// its slices only in the hierarchies that it uses, so it may have to be made.
func v1Parent(m mount, opts Options, split bool) (*tree, error) {
	if place, above := opts.chosen(m.point); len(above) > 0 {
		if err := os.MkdirAll(place, 0o755); err != nil {
			return nil, err
		}
		return makeParent(place, opts.Instance, split)
	}
	t, err := makeParent(m.point, opts.Instance, split)
	if err == nil || m.own == "" {
		return t, err
	}
	t, ownErr := makeParent(filepath.Join(m.point, m.own), opts.Instance, split)
	if ownErr != nil {
		return nil, errors.Join(err, ownErr)
	}
	return t, nil
}

// v1 is the dialect of version 1.
type v1 struct{}

func (v1) version() int                { return 1 }
func (v1) tasks() string               { return "tasks" } // one thread moves, and what it forks is born there
func (v1) prepare(*tree, string) error { return nil }

// limitMemory limits memory, and memory and swap together to the same, so that
// nothing is swapped. The second may never be below the first, so their order
// depends on the direction.
func (v1) limitMemory(t *tree, dir string, bytes int64) error {
	const limit, both = "/memory.limit_in_bytes", "/memory.memsw.limit_in_bytes"
	err := t.writeInt(dir+limit, bytes)
	if errors.Is(err, unix.EINVAL) { // above the old sum: raise that one first
		if err = t.writeInt(dir+both, bytes); err == nil {
			return t.writeInt(dir+limit, bytes)
		}
	}
	if err != nil {
		return err
	}
	if err := limitBuffers(t, dir, bytes); err != nil {
		return err
	}
	err = t.writeInt(dir+both, bytes)
	if errors.Is(err, fs.ErrNotExist) { // swap is not accounted: at least avoid it
		return t.write(dir+"/memory.swappiness", "0")
	}
	return err
}

// limitBuffers bounds what sockets may hold. Version 1 counts that apart from
// memory, and without a limit not at all; version 2 counts it as memory.
func limitBuffers(t *tree, dir string, bytes int64) error {
	err := t.writeInt(dir+"/memory.kmem.tcp.limit_in_bytes", bytes/buffersShare)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// limitCPU leaves the period as the kernel has it, which is ours: each of the two
// has the kernel look at all groups that there are.
func (v1) limitCPU(t *tree, dir string, quota int64) error {
	return t.writeInt(dir+"/cpu.cfs_quota_us", quota)
}

func (v1) memoryUsed(t *tree, dir string) (int64, error) {
	return t.readInt(dir + "/memory.usage_in_bytes")
}

func (v1) memoryLimit(t *tree, dir string) (int64, error) {
	return t.readInt(dir + "/memory.limit_in_bytes")
}

func (v1) cpuUsed(t *tree, dir string) (int64, error) { return t.readInt(dir + "/cpuacct.usage") }

func (v1) kills() string { return "memory.oom_control" }

func (v1) oom(t *tree, dir string) (kills int64, own bool, err error) {
	if kills, err = t.readField(dir+"/memory.oom_control", "oom_kill"); err != nil {
		return 0, false, err
	}
	hits, err := t.readInt(dir + "/memory.failcnt")
	if err != nil || hits > 0 {
		return kills, hits > 0, err
	}
	// Where swap is accounted too, the limit of both is hit first, and recent
	// kernels do not count that: the highest usage tells.
	limit, err := t.readInt(dir + "/memory.limit_in_bytes")
	if err != nil {
		return kills, false, err
	}
	highest, err := t.readInt(dir + "/memory.max_usage_in_bytes")
	return kills, highest > limit-batch, err
}

func (v1) freeze(t *tree, dir string, frozen bool) error {
	state := "THAWED"
	if frozen {
		state = "FROZEN"
	}
	return t.write(dir+"/freezer.state", state)
}

// isFrozen is also how freezing goes on: the kernel looks at the tasks again
// when the state is read.
func (v1) isFrozen(t *tree, dir string) (bool, error) {
	state, err := t.read(dir + "/freezer.state")
	if err != nil {
		return false, err
	}
	switch state {
	case "FROZEN":
		return true, nil
	case "FREEZING", "THAWED":
		return false, nil
	}
	return false, t.fault("read", dir, fmt.Errorf("unknown state %s", strconv.Quote(state)))
}

// reclaim has the kernel try what it would under pressure. It keeps what it has
// no other place for: without swap that is all but the pages of files.
func (v1) reclaim(t *tree, dir string, _ int64) error {
	return t.write(dir+"/memory.force_empty", "0")
}

func (v1) kill(*tree, string) (bool, error) { return false, nil }
