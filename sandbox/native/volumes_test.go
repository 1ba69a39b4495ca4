//go:build linux

package native_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// owner is somebody on the host who has a folder to share.
const owner = 12345

// shared makes a folder of somebody's, with a file of theirs that nobody else
// may read, and one of a third person's.
func shared(t *testing.T, uid int) string {
	t.Helper()
	dir := t.TempDir()
	for name, id := range map[string]int{"theirs": uid, "strange": uid + 1} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, name), id, id); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"absolute": "/etc/hostname", "up": "../../../../../../../../etc/shadow", "self": "/proc/self/root/etc/shadow"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// withVolumes returns a backend that maps volumes.
func withVolumes(t *testing.T, volumes ...sandbox.Volume) *native.Backend {
	t.Helper()
	if ordinary() {
		t.Skip("an ordinary user cannot give files to somebody; TestVolumes_OrdinaryUser is for that")
	}
	b, err := native.New(t.Context(), native.Options{
		StateDir: t.TempDir(), RuntimeDir: t.TempDir(), Volumes: volumes, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	return b
}

func boxOf(t *testing.T, b sandbox.Backend, name string) *sandboxtest.Box {
	t.Helper()
	return sandboxtest.NewBox(t, b, sandbox.Spec{Session: name, Template: sandbox.Templates()[2], Flavor: sandbox.Flavors()[0]})
}

func says(t *testing.T, x *sandboxtest.Box, line, want string) {
	t.Helper()
	o := x.Shell(t, line)
	if got := strings.TrimSpace(string(o.Stdout)); got != want {
		t.Errorf("%s\n got %q (%s)\nwant %q", line, got, strings.TrimSpace(string(o.Stderr)), want)
	}
}

// What a session writes is the owner's, what is the owner's is the session's,
// and nothing else is anybody's.
func TestVolumes_AreTheOwnersAndTheSessions(t *testing.T) {
	for name, uid := range map[string]int{"of somebody": owner, "of root": 0} {
		t.Run(name, func(t *testing.T) {
			dir := shared(t, uid)
			b := withVolumes(t, sandbox.Volume{HostPath: dir, Path: "/shared"}, sandbox.Volume{HostPath: dir, Path: "/work/in/there", Access: sandbox.ReadOnly})
			x, y := boxOf(t, b, "x"), boxOf(t, b, "y")
			says(t, x, "cat /shared/theirs", "secret of theirs")
			says(t, x, "cat /shared/strange 2>&1 | grep -o 'Permission denied'", "Permission denied")
			says(t, x, "stat -c %U /shared /shared/theirs /shared/strange", "sandbox\nsandbox\nnobody")
			says(t, x, "mkdir /shared/d && echo from x > /shared/d/f && stat -c %U /shared/d/f", "sandbox")
			says(t, y, "echo and y >> /shared/d/f && cat /shared/d/f", "from x\nand y")
			says(t, y, "cat /work/in/there/d/f; touch /work/in/there/x 2>&1 | grep -o 'Read-only file system'; stat -c %U /work/in", "from x\nand y\nRead-only file system\nsandbox")
			stat, err := os.Stat(filepath.Join(dir, "d/f"))
			if err != nil {
				t.Fatal(err)
			}
			if ids := stat.Sys().(*syscall.Stat_t); int(ids.Uid) != uid || int(ids.Gid) != uid {
				t.Errorf("on the host it is of %d:%d, want %d", ids.Uid, ids.Gid, uid)
			}
			want := []sandbox.VolumeStatus{
				{Volume: sandbox.Volume{HostPath: dir, Path: "/shared"}},
				{Volume: sandbox.Volume{HostPath: dir, Path: "/work/in/there", Access: sandbox.ReadOnly}, ReadOnly: true},
			}
			if got := b.Capabilities().Volumes; !slices.Equal(got, want) {
				t.Errorf("told %+v", got)
			}
		})
	}
}

// Whatever is in a volume, it shows nothing else of the host.
func TestVolumes_AreNoWayOut(t *testing.T) {
	dir := shared(t, owner)
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", below, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(below, 0) })
	if err := os.WriteFile(filepath.Join(below, "mounted"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x := boxOf(t, withVolumes(t, sandbox.Volume{HostPath: dir, Path: "/mnt/data"}), "x")
	for line, want := range map[string]string{
		"cat /mnt/data/up /mnt/data/absolute /mnt/data/self 2>/dev/null | wc -c": "0",
		"ls /mnt/data/below | wc -l":                                                                                                             "0",
		"ls -a /mnt/data/.. | tr '\\n' ' '":                                                                                                      ". .. data",
		"cd /mnt/data && ls ../.. | grep -c '^usr$'":                                                                                             "1",
		"ln /etc/passwd /mnt/data/hard 2>/dev/null && echo in || echo refused":                                                                   "refused",
		"mknod /mnt/data/null c 1 3 2>/dev/null && echo in || echo refused":                                                                      "refused",
		"cp /usr/bin/id /mnt/data/id && chmod 4755 /mnt/data/id 2>/dev/null && echo in || echo refused":                                          "refused",
		"cp /usr/bin/id /mnt/data/gid && chmod 2755 /mnt/data/gid 2>/dev/null && echo in || echo refused":                                        "refused",
		"cp /usr/bin/id /mnt/data/plain && chmod 755 /mnt/data/plain && /mnt/data/plain -un":                                                     "sandbox",
		"grep -c ' /mnt/data ' /proc/self/mounts; grep /mnt/data /proc/self/mounts | grep -c nosuid":                                             "1\n1",
		"cp /usr/bin/id /mnt/data/tarred && tar -C /mnt/data -cf /work/x.tar tarred && tar -C /work -xpf /work/x.tar && stat -c %a /work/tarred": "755",
		"python3 -c 'import os; os.open(\"/mnt/data/s\", os.O_CREAT, 0o4755)' 2>&1 | grep -o '\\[Errno 1\\]'":                                    "[Errno 1]",
		"ls /run /var 2>/dev/null | grep -c volumes":                                                                                             "0",
	} {
		says(t, x, line, want)
	}
	if stat, err := os.Stat(filepath.Join(dir, "id")); err != nil || stat.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		t.Errorf("on the host: %v, %v", stat, err)
	}
}

func TestVolumes_Refused(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	outer := t.TempDir()
	inner := filepath.Join(outer, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	at := func(host, inside string) []sandbox.Volume { return []sandbox.Volume{{HostPath: host, Path: inside}} }
	for name, volumes := range map[string][]sandbox.Volume{
		"not there": at(dir+"/none", "/x"), "a file": at(file, "/x"), "all": at("/", "/x"), "the kernel's": at("/proc/sys", "/x"),
		"the kernel's by a link": at(dir+"/link", "/x"), "our state": at(state, "/x"), "above our state": at(filepath.Dir(state), "/x"),
		"no path": at(dir, "x"), "a path that goes up": at(dir, "/x/../etc"), "the root": at(dir, "/"), "over /usr": at(dir, "/usr"), "in /etc": at(dir, "/etc/x"),
		"in /bin": at(dir, "/bin/x"), "in /proc": at(dir, "/proc/1"), "the drivers": at(dir, "/opt/sandwarden"), "work itself": at(dir, "/work"), "in tmp": at(dir, "/tmp/x"),
		"with what we believe": at(dir, "/x"), "with a secret": {{HostPath: dir, Path: "/x", Access: sandbox.ReadOnly}}, "the host's programs": at("/usr/bin", "/x"),
		"within another on the host": append(at(inner, "/x"), at(outer, "/y")...),
		"twice":                      append(at(dir, "/x"), at(dir, "/x")...), "one in another": append(at(dir, "/x/y"), at(dir, "/x")...),
	} {
		b, err := native.New(t.Context(), native.Options{
			StateDir: state, RuntimeDir: t.TempDir(), Volumes: volumes, AllowUnenforced: ordinary(),
			Trusted: []string{filepath.Join(dir, ".env")}, Secret: []string{filepath.Join(dir, "sub", "key.pem")},
		})
		if err == nil {
			t.Errorf("%s: taken", name)
			_ = b.Close(t.Context())
			continue
		}
		if sandbox.KindOf(err) != sandbox.Invalid || !strings.Contains(err.Error(), "volume") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file system that cannot map owners makes a volume that can only be read, and
// a daemon that is to write does not start.
func TestVolumes_OfAFileSystemThatCannotMap(t *testing.T) {
	if ordinary() {
		t.Skip("an ordinary user mounts nothing")
	}
	dir := t.TempDir()
	if err := unix.Mount("ramfs", dir, "ramfs", 0, ""); err != nil {
		sandboxtest.Skip(t, "no ramfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	x := boxOf(t, withVolumes(t, sandbox.Volume{HostPath: dir, Path: "/x"}), "x")
	says(t, x, "touch /x/y 2>&1 | grep -o 'Read-only file system'", "Read-only file system")
	_, err := native.New(t.Context(), native.Options{
		StateDir: t.TempDir(), RuntimeDir: t.TempDir(), Volumes: []sandbox.Volume{{HostPath: dir, Path: "/x", Access: sandbox.ReadWrite}},
	})
	if sandbox.KindOf(err) != sandbox.Invalid || !strings.Contains(err.Error(), "map the owners") {
		t.Errorf("got %v", err)
	}
}

// An ordinary user's sandboxes are that user, who needs no mapping.
func TestVolumes_OrdinaryUser(t *testing.T) {
	if !ordinary() {
		t.Skip("TestOrdinaryUser runs it")
	}
	dir := t.TempDir()
	b, err := native.New(t.Context(), native.Options{
		StateDir: t.TempDir(), RuntimeDir: t.TempDir(), AllowUnenforced: true, Volumes: []sandbox.Volume{{HostPath: dir, Path: "/x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(t.Context()) })
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	if b.Capabilities().Volumes[0].ReadOnly {
		t.Skip("this user has many ids, and files of one of them can only be read")
	}
	says(t, boxOf(t, b, "x"), "echo hello > /x/y && cat /x/y", "hello")
	if data, err := os.ReadFile(filepath.Join(dir, "y")); err != nil || string(data) != "hello\n" {
		t.Errorf("%q, %v", data, err)
	}
}

// What nobody claims ends, and what is in use stays.
func TestOrphansEnd(t *testing.T) {
	state, runtime := t.TempDir(), t.TempDir()
	b, err := native.New(t.Context(), native.Options{
		StateDir: state, RuntimeDir: runtime, AllowUnenforced: ordinary(), OrphanInterval: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(t.Context()) })
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	kept := boxOf(t, b, "kept")
	lost, err := b.Create(t.Context(), "sb-lost", sandbox.Spec{Session: "lost", Template: sandbox.Templates()[2], Flavor: sandbox.Flavors()[0]})
	if err != nil {
		t.Fatal(err)
	}
	native.Forget(b, lost)
	select {
	case <-lost.Dead():
	case <-time.After(time.Minute):
		t.Fatal("it lives on")
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		ids, err := b.List(t.Context())
		if err == nil && len(ids) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %v, %v", ids, err)
		}
	}
	says(t, kept, "echo here", "here")
}
