package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A jail is a program of others that makes a sandbox for one command, whose
// price is a measure for ours: namespaces, a root of read-only binds of the
// host's own files, a start of python3, and all of it taken away again.
type jail struct {
	name    string
	prepare func(dir, python string) (command []string, err error) // dir is its own, and is removed
}

func jails() []jail {
	return []jail{{"bubblewrap", bubblewrap}, {"runc", runc}}
}

// errAbsent says that a baseline is not to be had here.
var errAbsent = errors.New("not measured")

// jailBaseline measures from the start of a jail to the first result and its
// end, n times, one after the other. The error wraps errAbsent where the machine
// does not have it.
func jailBaseline(ctx context.Context, j jail, python string, n int) (*hdrhistogram.Histogram, error) {
	dir, err := os.MkdirTemp("", "sw-jail")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	python, err = filepath.EvalSymlinks(python)
	if err != nil || !strings.HasPrefix(python, "/usr/") || strings.HasPrefix(python, "/usr/local/") {
		return nil, fmt.Errorf("%w: %s needs a python3 of the system's in /usr (see --python)", errAbsent, j.name)
	}
	command, err := j.prepare(dir, python)
	if err != nil {
		return nil, err
	}
	h := newHistogram()
	for i := range n {
		began := time.Now()
		if err := jailed(ctx, command, i); err != nil {
			if i == 0 && ctx.Err() == nil {
				return nil, fmt.Errorf("%w: %s does not run here: %w", errAbsent, j.name, err)
			}
			return nil, fmt.Errorf("%s: %w", j.name, err)
		}
		record(h, time.Since(began))
	}
	return h, nil
}

// jailed runs a prepared command once, and fails unless it gives the sum.
func jailed(ctx context.Context, command []string, i int) error {
	args := append([]string{}, command[1:]...)
	for j := range args {
		args[j] = strings.ReplaceAll(args[j], "%ID%", strconv.Itoa(i))
	}
	cmd := exec.CommandContext(ctx, command[0], args...)                     //nolint:gosec // we have put it together
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it cleans up
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if bad, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("%w: %.300s", err, strings.TrimSpace(string(bad.Stderr)))
	}
	if err == nil && strings.TrimSpace(string(out)) != "2" {
		err = fmt.Errorf("print(1+1) gave %.100q", out)
	}
	return err
}

// sum is what runs in each jail.
func sum(python string) []string { return []string{python, "-I", "-c", "print(1+1)"} }

// topFolders are those that programs need beside /usr: links on a host whose
// /usr is merged, else folders.
func topFolders() (links map[string]string, folders []string) {
	links = map[string]string{}
	for _, name := range []string{"/bin", "/lib", "/lib64"} {
		info, err := os.Lstat(name)
		switch {
		case err != nil: // not on this host
		case info.Mode()&os.ModeSymlink != 0:
			if to, err := os.Readlink(name); err == nil {
				links[name] = to
			}
		case info.IsDir():
			folders = append(folders, name)
		}
	}
	return links, folders
}

func bubblewrap(_, python string) ([]string, error) {
	program, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, fmt.Errorf("%w: bubblewrap is not installed", errAbsent)
	}
	command := []string{program, "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr"}
	links, folders := topFolders()
	for name, to := range links {
		command = append(command, "--symlink", to, name)
	}
	for _, name := range folders {
		command = append(command, "--ro-bind", name, name)
	}
	return append(append(command, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--"), sum(python)...), nil
}

// The parts of a bundle's configuration that runc needs.
type (
	bundle struct {
		Version string        `json:"ociVersion"`
		Process bundleProcess `json:"process"`
		Root    bundleRoot    `json:"root"`
		Mounts  []bundleMount `json:"mounts"`
		Linux   bundleLinux   `json:"linux"`
	}
	bundleProcess struct {
		User struct{ UID, GID int } `json:"user"`
		Args []string               `json:"args"`
		Env  []string               `json:"env"`
		Cwd  string                 `json:"cwd"`
		NoNP bool                   `json:"noNewPrivileges"`
	}
	bundleRoot struct {
		Path string `json:"path"`
	}
	bundleMount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source"`
		Options     []string `json:"options"`
	}
	bundleLinux struct {
		Namespaces []map[string]string `json:"namespaces"`
	}
)

func runc(dir, python string) ([]string, error) {
	program, err := exec.LookPath("runc")
	if err != nil {
		return nil, fmt.Errorf("%w: runc is not installed", errAbsent)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: runc is measured by root only", errAbsent)
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil { //nolint:gosec // a root that all may read
		return nil, err
	}
	c := bundle{Version: "1.0.2", Root: bundleRoot{root}, Mounts: []bundleMount{
		{"/usr", "bind", "/usr", []string{"rbind", "ro"}},
		{"/proc", "proc", "proc", []string{"nosuid", "noexec", "nodev"}},
		{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "mode=755"}},
		{"/tmp", "tmpfs", "tmpfs", []string{"nosuid", "nodev"}},
	}}
	links, folders := topFolders()
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			return nil, err
		}
	}
	for _, name := range folders {
		c.Mounts = append(c.Mounts, bundleMount{name, "bind", name, []string{"rbind", "ro"}})
	}
	c.Process = bundleProcess{Args: sum(python), Env: []string{"PATH=/usr/bin:/bin"}, Cwd: "/", NoNP: true}
	for _, kind := range []string{"pid", "network", "ipc", "uts", "mount"} {
		c.Linux.Namespaces = append(c.Linux.Namespaces, map[string]string{"type": kind})
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600); err != nil {
		return nil, err
	}
	id := "sandwarden-bench-" + strconv.Itoa(os.Getpid()) + "-%ID%"
	return []string{program, "--root", filepath.Join(dir, "state"), "run", "--bundle", dir, id}, nil
}
