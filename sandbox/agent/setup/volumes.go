//go:build linux

package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// volumes are those of the configuration with a copy of each one's mount, which
// is attached nowhere yet: their sources are out of sight once the root is ours.
type volumes struct {
	all    []boot.Volume
	mounts []int
}

// takeVolumes copies the mounts, each without what is mounted below it.
func (v *volumes) take() error {
	for _, volume := range v.all {
		mount, err := unix.OpenTree(unix.AT_FDCWD, volume.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("%s: %w", volume.Target, os.NewSyscallError("open_tree", err))
		}
		v.mounts = append(v.mounts, mount)
	}
	return nil
}

// attach puts them where they are to be, with the owner's files as the
// tenant's. Nothing of the tenant has run yet, so the way there is ours.
func (v *volumes) attach(c boot.Walls) error {
	maps := idMaps{inside: Owner{c.UID, c.GID}, of: map[Owner]*os.File{}}
	defer maps.close()
	for i, volume := range v.all {
		if err := attach(c, v.mounts[i], volume, &maps); err != nil {
			return fmt.Errorf("%s: %w", volume.Target, err)
		}
	}
	return nil
}

func attach(c boot.Walls, mount int, volume boot.Volume, maps *idMaps) error {
	defer func() { _ = unix.Close(mount) }()
	var ids *os.File
	if volume.Mapped {
		var err error
		if ids, err = maps.find(Owner{volume.UID, volume.GID}); err != nil {
			return err
		}
	}
	if err := SetMount(mount, volume.ReadOnly, ids); err != nil {
		return err
	}
	if err := makeMountPoint(c, volume.Target); err != nil {
		return err
	}
	return os.NewSyscallError("move_mount", unix.MoveMount(mount, "", unix.AT_FDCWD, volume.Target, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// makeMountPoint makes the folders below /work, which is the session's own; all
// others are in the template.
func makeMountPoint(c boot.Walls, target string) error {
	below, ok := strings.CutPrefix(target, "/work/")
	if !ok {
		return nil
	}
	dir := "/work"
	for part := range strings.SplitSeq(below, "/") {
		dir = filepath.Join(dir, part)
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Chown(dir, c.UID, c.GID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// idMaps are the namespaces by which mounts have other owners, each made once.
type idMaps struct {
	inside Owner
	of     map[Owner]*os.File
}

func (m *idMaps) find(onDisk Owner) (*os.File, error) {
	if ids, ok := m.of[onDisk]; ok {
		return ids, nil
	}
	ids, err := IDMap(fmt.Sprintf("/proc/self/fd/%d", boot.SelfFD), onDisk, m.inside)
	if err == nil {
		m.of[onDisk] = ids
	}
	return ids, err
}

func (m *idMaps) close() {
	for _, ids := range m.of {
		_ = ids.Close()
	}
}
