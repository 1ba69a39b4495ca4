package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// An installation is what install.sh is told of the places.
type installation struct{ environ []string }

// run runs install.sh and returns what it says and whether it succeeded.
func (i installation) run(t *testing.T, verb string, more ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(machine.root, "deploy", "install.sh"), verb)
	cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, i.environ...), more...)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// must is run for what has to succeed.
func (i installation) must(t *testing.T, verb string, more ...string) string {
	t.Helper()
	out, ok := i.run(t, verb, more...)
	if !ok {
		t.Fatalf("%s: %s", verb, out)
	}
	return out
}

// files lists all that is in a folder, links with where they lead.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		short, _ := filepath.Rel(dir, name)
		if to, err := os.Readlink(name); err == nil {
			short += " -> " + to
		}
		if d.IsDir() {
			short += "/"
		}
		all = append(all, short)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestInstall_IntoAFolder(t *testing.T) {
	p := newPlace(t)
	root := t.TempDir()
	i := installation{[]string{"DESTDIR=" + root, "PREFIX=/usr", "PROGRAM=" + p.program}}
	i.must(t, "install")
	got := files(t, root)
	for _, want := range []string{
		"etc/logrotate.d/mcp-server", "etc/mcp-server/environment", "usr/bin/mcp-server -> sandwarden", "usr/bin/mcp_server -> sandwarden",
		"usr/bin/sandwarden", "usr/lib/systemd/system/mcp-server.service", "usr/lib/systemd/system/sandwarden.slice",
		"usr/share/bash-completion/completions/mcp_server -> sandwarden", "usr/share/bash-completion/completions/sandwarden",
		"usr/share/fish/vendor_completions.d/sandwarden.fish", "usr/share/zsh/site-functions/_sandwarden", "var/log/mcp-server/",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("there is no %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/mcp-server.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/usr/bin/mcp_server\n") {
		t.Errorf("the unit starts something else: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/mcp-server"), "--version").Output(); err != nil || !strings.HasPrefix(string(out), "sandwarden ") {
		t.Errorf("mcp-server --version says %q, %v", out, err)
	}
	// Once more changes nothing, and all of it goes.
	i.must(t, "install")
	if again := files(t, root); !slices.Equal(again, got) {
		t.Errorf("the second installation has\n%s", strings.Join(again, "\n"))
	}
	i.must(t, "uninstall")
	if left := files(t, root); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if out, ok := i.run(t, "uninstall"); ok || !strings.Contains(out, "nothing is installed") {
		t.Errorf("once more it says %q", out)
	}
}

// What others put there stays as it is, and what the operator wants to keep.
func TestInstall_LeavesWhatIsNotItsOwn(t *testing.T) {
	p := newPlace(t)
	root := t.TempDir()
	theirs := map[string]string{
		"etc/mcp-server/environment": "MCP_SERVER_PORT=9000\n", "usr/local/bin/mcp-server": "#!/bin/sh\n", "usr/local/bin/other": "x", "etc/logrotate.d/other": "x",
	}
	for name, text := range theirs {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, root)
	i := installation{[]string{"DESTDIR=" + root, "PROGRAM=" + p.program}}
	if out := i.must(t, "install"); !strings.Contains(out, "mcp-server is another program's and stays") {
		t.Errorf("it says %q", out)
	}
	i.must(t, "uninstall", "KEEP_STATE=1")
	left := files(t, root)
	for _, want := range []string{"etc/logrotate.d/mcp-server", "etc/mcp-server/environment", "var/log/mcp-server/"} {
		if !slices.Contains(left, want) {
			t.Errorf("%s was to be kept", want)
		}
	}
	if slices.Contains(left, "usr/local/bin/sandwarden") {
		t.Error("the program was to go")
	}
	i.must(t, "install")
	i.must(t, "uninstall")
	if after := files(t, root); !slices.Equal(after, before) {
		t.Errorf("there were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	for name, text := range theirs {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != text {
			t.Errorf("%s has %q, %v", name, got, err)
		}
	}
}

// groupsNamed returns the control groups of that name below the root, in each
// hierarchy.
func groupsNamed(name string) []string {
	one, _ := filepath.Glob("/sys/fs/cgroup" + name)
	each, _ := filepath.Glob("/sys/fs/cgroup/*" + name)
	return append(one, each...)
}

// For real: a daemon with sandboxes is killed, and nothing of it is left.
func TestInstall_UninstallLeavesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		sandboxtest.Skip(t, "needs root")
	}
	for name, keep := range map[string]bool{"all": false, "but for its state": true} {
		t.Run(name, func(t *testing.T) {
			const slice = "/sandwarden-test.slice"
			p := newPlace(t, "SANDWARDEN_CGROUP_PARENT="+slice, "MSB_LOG_FILE=")
			dir := filepath.Join(p.home, "i")
			i := installation{[]string{"PREFIX=" + dir + "/usr", "SYSCONFDIR=" + dir + "/etc", "LOGDIR=" + dir + "/log", "PROGRAM=" + p.program}}
			i.must(t, "install")
			settings := filepath.Join(dir, "etc/mcp-server/environment")
			text := "# mine\nSANDWARDEN_STATE_DIR=\"" + p.state + "\"\nSANDWARDEN_RUNTIME_DIR='" + p.runtime + "'\nSANDWARDEN_CGROUP_PARENT=" + slice + "\nNONSENSE=$(touch " + dir + "/run)\n"
			if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p.program = filepath.Join(dir, "usr/bin/mcp_server")
			s := p.serve(t)
			s.create(t, "idle")
			s.run(t, "busy", "import subprocess\nx = subprocess.Popen(['sleep', '600'])")
			agents := s.look()
			if out, err := p.command("config").Output(); err != nil || strings.Contains(string(out), "cgroup_parent") && len(groupsNamed(slice)) == 0 {
				t.Errorf("nothing is in %s, %v", slice, err)
			}
			if out, ok := i.run(t, "uninstall"); ok || !strings.Contains(out, "must be stopped first") {
				t.Errorf("while it runs: %q, %v", out, ok)
			}
			if got := s.run(t, "busy", "print(1)"); got != "1" {
				t.Errorf("it was disturbed: %q", got)
			}
			if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-s.exited
			kept := []string{}
			if keep {
				kept = append(kept, "KEEP_STATE=1")
			}
			i.must(t, "uninstall", kept...)
			for _, agent := range agents {
				if !isGone(agent) {
					t.Errorf("%s runs", agent)
				}
			}
			s.wantNothingLeft(t)
			if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), p.home) {
				t.Errorf("mounts are left: %v", err)
			}
			if groups := groupsNamed(slice); len(groups) > 0 {
				t.Errorf("cgroups are left: %q", groups)
			}
			if _, err := os.Stat(dir); keep != (err == nil) {
				t.Errorf("the installation is there: %v", err)
			}
			if _, err := os.Stat(p.state); keep != (err == nil) {
				t.Errorf("the state is there: %v", err)
			}
			if _, err := os.Stat(settings); keep != (err == nil) {
				t.Errorf("the settings are there: %v", err)
			}
		})
	}
}
