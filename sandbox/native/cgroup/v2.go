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
	"strings"

	"golang.org/x/sys/unix"
)

// leaf is where the daemon's own processes go when their group becomes a parent.
const leaf = "sandwarden-daemon"

// openV2 makes the parent in the hierarchy of version 2: at the highest place on
// the way down to the daemon's own group that is ours to use. So the daemon's
// own limits and its service's end do not reach the sessions where that can be
// had, and below a delegated group it works as well. A place that was chosen is
// taken or nothing.
func openV2(mounts []mount, opts Options) (*Host, error) {
	i := slices.IndexFunc(mounts, func(m mount) bool { return m.v2 })
	if i < 0 {
		return nil, errors.New("version 2 is not mounted")
	}
	if place, above := opts.chosen(mounts[i].point); len(above) > 0 {
		return openV2In(place, above, opts)
	}
	var errs []error
	for _, base := range mounts[i].chain() {
		h, err := openV2At(base, opts)
		if err == nil {
			return h, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// openV2In makes the parent in the group that was chosen, which is made where
// it is missing and given the controllers from above.
func openV2In(place string, above []string, opts Options) (*Host, error) {
	for i, dir := range above {
		have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return nil, err
		}
		wanted := useful(string(have))
		if len(wanted) == 0 { // as where version 1 has them all
			return nil, fmt.Errorf("%s: none of our controllers", dir)
		}
		next := place
		if i+1 < len(above) {
			next = above[i+1]
		}
		if err := os.Mkdir(next, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if has, err := os.ReadFile(filepath.Join(next, "cgroup.controllers")); err == nil && len(useful(string(has))) == len(wanted) {
			continue // who made it has seen to that
		}
		if err := enable(dir, wanted); err != nil {
			return nil, err
		}
	}
	return openV2At(place, opts)
}

func openV2At(base string, opts Options) (*Host, error) {
	have, err := os.ReadFile(filepath.Join(base, "cgroup.controllers"))
	if err != nil {
		return nil, err
	}
	wanted := useful(string(have))
	if !slices.Contains(wanted, memory) && !slices.Contains(wanted, pids) {
		return nil, fmt.Errorf("%s: neither memory nor pids among its controllers", base)
	}
	// A move needs write permission where the old and the new group part.
	if err := unix.Access(filepath.Join(base, "cgroup.procs"), unix.W_OK); err != nil {
		return nil, &fs.PathError{Op: "access", Path: base, Err: err}
	}
	t, err := makeParent(base, opts.Instance, true)
	if err != nil {
		return nil, err
	}
	give := enableBelow
	if opts.KeepProcesses {
		give = enable
	}
	if err := give(base, wanted); err != nil {
		return nil, errors.Join(err, (&Host{trees: []*tree{t}}).Close())
	}
	for _, dir := range []string{filepath.Dir(t.dir), t.dir} {
		if err := enable(dir, wanted); err != nil {
			return nil, errors.Join(err, (&Host{trees: []*tree{t}}).Close())
		}
	}
	return newV2(t, wanted, opts), nil
}

func newV2(t *tree, controllers []string, opts Options) *Host {
	h := &Host{log: opts.Logger, dialect: v2{controllers}, trees: []*tree{t}, cpuacct: t, freezer: t}
	for name, field := range map[string]**tree{memory: &h.memory, pids: &h.pids, cpu: &h.cpu} {
		if slices.Contains(controllers, name) {
			*field = t
		}
	}
	return h
}

// useful returns those of the listed controllers that we use.
func useful(list string) []string {
	var names []string
	for name := range strings.FieldsSeq(list) {
		if name == memory || name == pids || name == cpu {
			names = append(names, name)
		}
	}
	return names
}

// enable gives the groups below dir the controllers.
func enable(dir string, controllers []string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(enabling(controllers)), 0)
}

func enabling(controllers []string) string {
	return "+" + strings.Join(controllers, " +")
}

// enableBelow is enable for a group that may have processes in it. Only the
// host's own root may have both, so they are moved into a leaf, as is done in
// containers whose root has processes.
func enableBelow(base string, controllers []string) error {
	err := enable(base, controllers)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	to := filepath.Join(base, leaf)
	if err := os.Mkdir(to, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Processes fork while we move them, so it may take more than one round.
	for range 8 {
		list, err := os.ReadFile(filepath.Join(base, "cgroup.procs"))
		if err != nil {
			return err
		}
		for pid := range strings.FieldsSeq(string(list)) {
			err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(pid), 0)
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if err = enable(base, controllers); !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return &fs.PathError{Op: "empty", Path: base, Err: unix.EBUSY}
}

// v2 is the dialect of version 2, with the controllers that are in force.
type v2 struct{ controllers []string }

func (v2) version() int  { return 2 }
func (v2) tasks() string { return "cgroup.procs" }

// prepare hands the controllers on, since version 2 gives a directory none that
// its parent does not name.
func (d v2) prepare(t *tree, dir string) error {
	if len(d.controllers) == 0 {
		return nil
	}
	return t.write(dir+"/cgroup.subtree_control", enabling(d.controllers))
}

func (v2) limitMemory(t *tree, dir string, bytes int64) error {
	if err := t.writeInt(dir+"/memory.max", bytes); err != nil {
		return err
	}
	err := t.write(dir+"/memory.swap.max", "0")
	if errors.Is(err, fs.ErrNotExist) { // the kernel has no swap, or does not account it
		return nil
	}
	return err
}

func (v2) limitCPU(t *tree, dir string, quota int64) error {
	return t.write(dir+"/cpu.max", strconv.FormatInt(quota, 10)+" "+strconv.Itoa(period))
}

func (v2) memoryUsed(t *tree, dir string) (int64, error) { return t.readInt(dir + "/memory.current") }

func (v2) memoryLimit(t *tree, dir string) (int64, error) { return t.readInt(dir + "/memory.max") }

func (v2) cpuUsed(t *tree, dir string) (int64, error) {
	usec, err := t.readField(dir+"/cpu.stat", "usage_usec")
	return usec * 1000, err
}

func (v2) kills() string { return "memory.events" }

func (v2) oom(t *tree, dir string) (kills int64, own bool, err error) {
	text, err := t.read(dir + "/memory.events")
	if err != nil {
		return 0, false, err
	}
	kills, err = field(text, "oom_kill")
	if err != nil {
		return 0, false, t.fault("read", dir, err)
	}
	hits, err := field(text, "oom")
	if err != nil {
		return 0, false, t.fault("read", dir, err)
	}
	return kills, hits > 0, nil
}

func (v2) freeze(t *tree, dir string, frozen bool) error {
	state := "0"
	if frozen {
		state = "1"
	}
	return t.write(dir+"/cgroup.freeze", state)
}

func (v2) isFrozen(t *tree, dir string) (bool, error) {
	n, err := t.readField(dir+"/cgroup.events", "frozen")
	return n == 1, err
}

// reclaim asks for so many bytes back, since Linux 5.19. That there are not as
// many to have is no error. Sessions have no swap, so those are the pages of
// files.
func (v2) reclaim(t *tree, dir string, bytes int64) error {
	err := t.writeInt(dir+"/memory.reclaim", bytes)
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	return err
}

// kill has the kernel do it, since Linux 5.14: forks cannot outrun it, and what
// is frozen dies too.
func (v2) kill(t *tree, dir string) (bool, error) {
	err := t.write(dir+"/cgroup.kill", "1")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
