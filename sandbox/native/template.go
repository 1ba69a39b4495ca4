//go:build linux

package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
)

// driverDir is where the kernels' drivers lie inside.
const driverDir = "opt/sandwarden"

// buildTree builds the root of a template made of the host's own files: its
// /usr without what the host's owner added there, and an /etc that tells
// nothing of the host. It runs in the nest.
func buildTree(dir string, t sandbox.Template, mountPoints []string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=8m"); err != nil {
		return err
	}
	for _, sub := range rootFolders() {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for _, path := range mountPoints {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			return err
		}
	}
	steps := []func(string) error{bindUsr, linkUsr, makeDev, makeEtc, makeVar, func(d string) error { return putDriver(d, t.Language) }}
	for _, step := range steps {
		if err := step(dir); err != nil {
			return err
		}
	}
	return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=8m")
}

// rootFolders are those of every template, to which the links of /bin and its
// like come.
func rootFolders() []string {
	return []string{"usr", "proc", "dev", "tmp", "work", "etc", "opt", driverDir, "run", "var", "root", "home", "mnt", "sys"}
}

// bindUsr shows the host's /usr, read-only, and covers what its owner put
// there by hand.
func bindUsr(dir string) error {
	usr := filepath.Join(dir, "usr")
	if err := bindReadOnly("/usr", usr); err != nil {
		return err
	}
	for _, covered := range []string{"local", "src"} {
		err := unix.Mount("tmpfs", filepath.Join(usr, covered), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY, "mode=0755,size=4k,nr_inodes=4")
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("cover /usr/%s: %w", covered, err)
		}
	}
	return nil
}

func bindReadOnly(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	return remountReadOnly(target)
}

// remountReadOnly adds flags to those that a mount has. In a user namespace
// none of the old may be taken away.
func remountReadOnly(target string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(target, &st); err != nil {
		return err
	}
	keep := uintptr(st.Flags) & (unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
	return unix.Mount("", target, "", keep|unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
}

// linkUsr makes /bin and its like: links where the host has links, binds where
// it has folders.
func linkUsr(dir string) error {
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		st, err := os.Lstat("/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		target := filepath.Join(dir, name)
		if st.Mode()&fs.ModeSymlink != 0 {
			link, err := os.Readlink("/" + name)
			if err != nil {
				return err
			}
			if err := os.Symlink(link, target); err != nil {
				return err
			}
			continue
		}
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		if err := bindReadOnly("/"+name, target); err != nil {
			return err
		}
	}
	return nil
}

// makeDev makes the few devices there are. Where no device may be made, in a
// user namespace, the host's own are bound.
func makeDev(dir string) error {
	dev := filepath.Join(dir, "dev")
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755,size=64k"); err != nil {
		return err
	}
	devices := map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
	for name, minor := range devices {
		if err := makeDevice(filepath.Join(dev, name), "/dev/"+name, unix.Mkdev(1, minor)); err != nil {
			return err
		}
	}
	if err := makeDevice(filepath.Join(dev, "tty"), "/dev/tty", unix.Mkdev(5, 0)); err != nil {
		return err
	}
	for _, sub := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dev, sub), 0o755); err != nil {
			return err
		}
	}
	links := map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return unix.Mount("", dev, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755,size=64k")
}

func makeDevice(path, host string, number uint64) error {
	err := unix.Mknod(path, unix.S_IFCHR|0o666, int(number))
	if err == nil {
		return os.Chmod(path, 0o666) //nolint:gosec // a device for everybody
	}
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return unix.Mount(host, path, "", unix.MS_BIND, "")
}

// makeEtc writes what programs expect to find, and copies what is the same
// everywhere. Of the host itself it tells nothing.
func makeEtc(dir string) error {
	etc := filepath.Join(dir, "etc")
	made := map[string]string{ //nolint:gosec // the passwd of a sandbox holds no password
		"passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", // each session has its own over it
		"group":         "root:x:0:\nnogroup:x:65534:\n",
		"hosts":         "127.0.0.1 localhost\n::1 localhost\n",
		"resolv.conf":   "# this sandbox has no network\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"host.conf":     "multi on\n",
		"protocols":     "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n",
		"shells":        "/bin/sh\n/bin/bash\n",
		"os-release":    "",
	}
	for name, text := range made {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil { //nolint:gosec // everybody inside reads it
			return err
		}
	}
	for _, name := range []string{"ld.so.cache", "ld.so.conf", "localtime", "mime.types", "os-release", "services", "inputrc", "bash.bashrc"} {
		if err := copyFile("/etc/"+name, filepath.Join(etc, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"alternatives", "ld.so.conf.d", "ssl/certs", "fonts"} {
		if err := copyPublic("/etc/"+name, filepath.Join(etc, name)); err != nil {
			return err
		}
	}
	return nil
}

// copyPublic copies the links and the small readable files of a folder.
func copyPublic(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.Type()&fs.ModeSymlink != 0 {
			link, err := os.Readlink(source)
			if err == nil {
				err = os.Symlink(link, target)
			}
			if err != nil {
				return err
			}
			continue
		}
		if e.Type().IsRegular() {
			if err := copyFile(source, target); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyFile copies a file that everybody may read. Others, and what is not
// there, are left out.
func copyFile(from, to string) error {
	const most = 1 << 20
	st, err := os.Stat(from)
	if err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&0o004 == 0 || st.Size() > most {
		return nil //nolint:nilerr // see above
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644) //nolint:gosec // it was public before
}

func makeVar(dir string) error {
	if err := os.Symlink("/tmp", filepath.Join(dir, "var/tmp")); err != nil {
		return err
	}
	return os.Symlink("/run", filepath.Join(dir, "var/run"))
}

// putDriver puts the program that the interpreter runs inside, and beside it the
// one that forks it where there is one.
func putDriver(dir string, l sandbox.Language) error {
	name, source, ok := kernel.Driver(l)
	if !ok {
		return fmt.Errorf("no kernel for %q", l)
	}
	folder := filepath.Join(dir, driverDir)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, name), source, 0o644); err != nil { //nolint:gosec // everybody inside reads it
		return err
	}
	name, source, ok = kernel.Zygote(l)
	if !ok {
		return nil
	}
	return os.WriteFile(filepath.Join(folder, name), source, 0o644) //nolint:gosec // likewise
}

// findInterpreter returns the path of a language's interpreter, and refuses
// one that the sandbox could not see.
func (b *Backend) findInterpreter(l sandbox.Language) (string, error) {
	usual := map[sandbox.Language][]string{
		sandbox.Python: {"/usr/bin/python3"},
		sandbox.Node:   {"/usr/bin/node", "/usr/bin/nodejs"},
		sandbox.Bash:   {"/usr/bin/bash", "/bin/bash"},
	}[l]
	if path := b.opts.Interpreters[l]; path != "" {
		usual = []string{path}
	}
	for _, path := range usual {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		if !strings.HasPrefix(target, "/usr/") || strings.HasPrefix(target, "/usr/local/") || strings.HasPrefix(target, "/usr/src/") {
			return "", &sandbox.Error{
				Op: "template", Kind: sandbox.Unavailable,
				Detail: fmt.Sprintf("%s is %s, which sandboxes do not see: they see /usr without /usr/local", path, target),
				Remedy: "install the distribution's own package",
			}
		}
		return path, nil
	}
	return "", &sandbox.Error{
		Op: "template", Kind: sandbox.Unavailable,
		Detail: fmt.Sprintf("no interpreter for %s is installed (looked for %s)", l, strings.Join(usual, ", ")),
		Remedy: installHint(l),
	}
}

func installHint(l sandbox.Language) string {
	packages := map[sandbox.Language]string{sandbox.Python: "python3", sandbox.Node: "nodejs", sandbox.Bash: "bash"}
	return "install it, on Debian and Ubuntu by: apt-get install " + packages[l]
}
