//go:build linux

package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/setup"
)

// A volume is a folder of the host as this backend maps it.
type volume struct {
	status sandbox.VolumeStatus
	real   string // path of the folder, without links
	owner  setup.Owner
	mapped bool // the owner's files are the tenant's inside
}

// checkVolumes looks at what the operator asks for. The folders must be there,
// and neither they nor their places inside may touch what is not theirs.
func (b *Backend) checkVolumes() error {
	for _, v := range b.opts.Volumes {
		if why := badTarget(v.Path); why != "" {
			return volumeError(v, "it cannot be mapped to "+v.Path+": "+why, "choose another path inside, such as /shared")
		}
		for _, other := range b.volumes {
			if v.Path == other.status.Volume.Path || isBelow(v.Path, other.status.Volume.Path) || isBelow(other.status.Volume.Path, v.Path) {
				return volumeError(v, "it would lie over or within "+other.status.Volume.Path, "give each volume a path of its own")
			}
		}
		one, err := b.checkSource(v)
		if err != nil {
			return err
		}
		b.volumes = append(b.volumes, one)
	}
	return nil
}

// checkSource looks at the folder of the host.
func (b *Backend) checkSource(v sandbox.Volume) (volume, error) {
	folder, err := filepath.Abs(v.HostPath)
	if err == nil {
		folder, err = filepath.EvalSymlinks(folder)
	}
	if err != nil {
		return volume{}, volumeError(v, "it is not there, or cannot be reached", "make the folder, or correct its path")
	}
	stat, err := os.Stat(folder)
	if err != nil || !stat.IsDir() {
		return volume{}, volumeError(v, "it is no folder", "name a folder")
	}
	if why := b.badSource(folder, v.Access == sandbox.ReadOnly); why != "" {
		return volume{}, volumeError(v, why, "name a folder that holds nothing but what is to be shared")
	}
	ids, ok := stat.Sys().(*syscall.Stat_t)
	if !ok {
		return volume{}, volumeError(v, "its owner is not known", "use a file system of Linux")
	}
	return volume{
		status: sandbox.VolumeStatus{Volume: v}, real: folder, owner: setup.Owner{UID: int(ids.Uid), GID: int(ids.Gid)},
	}, nil
}

// badSource says why a folder must not be shared.
func (b *Backend) badSource(folder string, readOnly bool) string {
	if folder == "/" {
		return "it is the whole host"
	}
	for _, other := range b.volumes {
		writable := !readOnly || other.status.Volume.Access != sandbox.ReadOnly
		if writable && (isBelow(folder, other.real) || isBelow(other.real, folder)) {
			return "it and another volume lie within one another, and a sandbox could put a link in the way"
		}
	}
	for _, file := range b.opts.Secret {
		if holds(folder, file) {
			return "it holds a secret of the daemon"
		}
	}
	if !readOnly {
		if why := b.badToWrite(folder); why != "" {
			return why
		}
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if folder == dir || isBelow(folder, dir) {
			return "it is the kernel's"
		}
	}
	for _, dir := range []string{b.opts.StateDir, b.opts.RuntimeDir} {
		if own, err := filepath.EvalSymlinks(dir); err == nil && (folder == own || isBelow(folder, own) || isBelow(own, folder)) {
			return "it holds what is the daemon's own"
		}
	}
	return ""
}

// badToWrite says why sandboxes must not write in a folder.
func (b *Backend) badToWrite(folder string) string {
	for _, dir := range []string{"/usr", "/etc", "/boot", "/lib", "/bin", "/sbin"} {
		if folder == dir || isBelow(folder, dir) || isBelow(dir, folder) {
			return "a sandbox could change the host's own files; say :ro"
		}
	}
	for _, file := range b.opts.Trusted {
		if holds(folder, file) {
			return "a sandbox could change what the daemon believes at its next start (" + filepath.Base(file) + "); say :ro, or share a folder beside it"
		}
	}
	return ""
}

// holds reports whether a file, there or not, lies in a folder or below it.
func holds(folder, file string) bool {
	dir, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		dir = filepath.Dir(file)
	}
	whole := filepath.Join(dir, filepath.Base(file))
	if target, err := filepath.EvalSymlinks(file); err == nil && isBelow(target, folder) {
		return true
	}
	return isBelow(whole, folder)
}

// badTarget says why a path inside cannot be that of a volume.
func badTarget(path string) string {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsRune(path, 0) {
		return "it is not an absolute path"
	}
	top, below, _ := strings.Cut(path[1:], "/")
	switch {
	case path == "/":
		return "it is the root"
	case top == "work" && below != "":
		return ""
	case top == "work", top == "tmp":
		return "it is the session's own"
	case top == "mnt", top == "home", top == "srv", top == "media":
		return ""
	}
	for _, taken := range append(rootFolders(), "bin", "sbin", "lib", "lib32", "lib64", "libx32", "boot") {
		if first, _, _ := strings.Cut(taken, "/"); first == top {
			return "the sandbox itself needs /" + top
		}
	}
	return ""
}

// isBelow reports whether a path lies below another; both are clean.
func isBelow(path, above string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(above, "/")+"/")
}

func volumeError(v sandbox.Volume, what, remedy string) error {
	return &sandbox.Error{
		Op: "volume", Kind: sandbox.Invalid,
		Detail: fmt.Sprintf("the volume %q cannot be used: %s", v.HostPath+":"+v.Path, what), Remedy: remedy,
	}
}

// pinVolumes binds the folders in the nest, where every agent finds them, and
// finds out what sandboxes may do in each. A folder that is moved later is the
// same one still.
func (b *Backend) pinVolumes() error {
	for i := range b.volumes {
		v := &b.volumes[i]
		if err := b.nest.do(func() error { return v.pin(b.volumePath(i)) }); err != nil {
			return volumeError(v.status.Volume, "it cannot be bound: "+err.Error(), "look at its file system and its rights")
		}
		if err := b.decide(i, v); err != nil {
			return err
		}
		if v.status.Reason != "" {
			b.opts.Logger.Warn("volume is read-only, as mapping its owner failed", "path", v.status.Volume.HostPath, "err", v.status.Reason)
		}
	}
	return nil
}

func (b *Backend) volumePath(i int) string {
	return filepath.Join(b.nest.dir, ".volumes", strconv.Itoa(i))
}

// pin binds one folder without what is mounted below it.
func (v *volume) pin(at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	return unix.Mount(v.real, at, "", unix.MS_BIND, "")
}

// decide says whether the owner's files can be the tenant's, and what follows
// from it. Where they are the tenant's already, nothing needs to be mapped.
func (b *Backend) decide(i int, v *volume) error {
	asked := v.status.Volume.Access
	v.status.ReadOnly = asked == sandbox.ReadOnly
	if b.uids.shared && v.owner.UID == 0 {
		return nil
	}
	why := "this user cannot map the owners of files"
	if mappedIDs() >= allIDs {
		err := b.nest.do(func() error { return b.tryMapping(b.volumePath(i), v.owner) })
		if v.mapped = err == nil; v.mapped {
			return nil
		}
		why = "its file system cannot map the owners of files (" + err.Error() + ")"
	}
	switch asked {
	case sandbox.ReadWrite:
		return volumeError(v.status.Volume, why, "say :ro, or move it to ext4, xfs, btrfs or tmpfs and start the daemon as root")
	case sandbox.AccessAny:
		v.status.ReadOnly, v.status.Reason = true, why
	case sandbox.ReadOnly:
	}
	return nil
}

// tryMapping maps an owner on a copy of a mount that is thrown away. It runs in
// the nest.
func (b *Backend) tryMapping(path string, owner setup.Owner) error {
	mount, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("open_tree", err)
	}
	defer func() { _ = unix.Close(mount) }()
	ids, err := setup.IDMap(fmt.Sprintf("/proc/self/fd/%d", b.program.Fd()), owner, setup.Owner{UID: b.uids.base, GID: b.uids.base})
	if err != nil {
		return err
	}
	defer func() { _ = ids.Close() }()
	return setup.SetMount(mount, false, ids)
}

// agentVolumes tells an agent what to mount.
func (b *Backend) agentVolumes() []boot.Volume {
	all := make([]boot.Volume, 0, len(b.volumes))
	for i, v := range b.volumes {
		all = append(all, boot.Volume{
			Source: b.volumePath(i), Target: v.status.Volume.Path, ReadOnly: v.status.ReadOnly,
			Mapped: v.mapped, UID: v.owner.UID, GID: v.owner.GID,
		})
	}
	return all
}

// mountPoints are the folders that a template must have for volumes.
func (b *Backend) mountPoints() []string {
	var all []string
	for _, v := range b.volumes {
		if !isBelow(v.status.Volume.Path, "/work") {
			all = append(all, v.status.Volume.Path)
		}
	}
	return all
}

// volumeStatuses is what can be told of the volumes.
func (b *Backend) volumeStatuses() []sandbox.VolumeStatus {
	all := make([]sandbox.VolumeStatus, 0, len(b.volumes))
	for _, v := range b.volumes {
		all = append(all, v.status)
	}
	return all
}
