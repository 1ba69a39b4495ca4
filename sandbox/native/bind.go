//go:build linux

package native

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// bind makes a sandbox that was ready that of a session. What shaped its mounts
// cannot change any more; limits, the size of its disk, names and variables can,
// since nothing of a tenant has run yet.
func (x *box) bind(id sandbox.ID, spec sandbox.Spec) error {
	if err := x.reshape(spec.Flavor); err != nil {
		return err
	}
	if err := x.backend.namer.name(x, hostname(spec.Session)); err != nil {
		return err
	}
	slot := x.id
	x.mu.Lock()
	x.id, x.spec, x.env = id, spec, spec.Env
	r := &x.record
	r.ID, r.Slot, r.State = id, slot, "ready"
	r.Session, r.Flavor, r.Memory, r.Disk, r.Env = spec.Session, spec.Flavor.Name, spec.Flavor.MemoryMB, spec.Flavor.DiskMB, spec.Env
	x.mu.Unlock()
	if client := x.client.Load(); client != nil {
		client.Rename(id)
	}
	x.backend.rename(x, slot)
	return x.backend.records.rebind(x.record, slot)
}

// rename has a sandbox known by its id. What it has on the host keeps its slot.
func (b *Backend) rename(x *box, slot sandbox.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.boxes, slot)
	b.boxes[x.id] = x
	b.slots[slot] = true
}

// reshape gives the sandbox the limits of a flavor.
func (x *box) reshape(f sandbox.Flavor) error {
	now := x.spec.Flavor
	if x.cgroup != nil && (f.MemoryMB != now.MemoryMB || f.Pids != now.Pids || f.CPUs != now.CPUs) {
		if err := x.cgroup.SetLimits(x.limits(f)); err != nil {
			return err
		}
	}
	if f.DiskMB == now.DiskMB && f.Inodes == now.Inodes {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock() // so that the number is not another process's
	if x.process == nil {
		return unix.ESRCH
	}
	return resizeDisk(x.record.PID, f)
}

// resizeDisk changes the bounds of the memory file system of what can be written in a
// process, in whatever mount namespace that is.
func resizeDisk(pid int, f sandbox.Flavor) error {
	fs, err := unix.Fspick(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/root/work", pid), unix.FSPICK_CLOEXEC|unix.FSPICK_NO_AUTOMOUNT)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	defer func() { _ = unix.Close(fs) }()
	for key, value := range map[string]int64{"size": int64(f.DiskMB) << 20, "nr_inodes": int64(f.Inodes)} {
		if err := unix.FsconfigSetString(fs, key, strconv.FormatInt(value, 10)); err != nil {
			return fmt.Errorf("disk: %s: %w", key, err)
		}
	}
	if err := unix.FsconfigReconfigure(fs); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}
