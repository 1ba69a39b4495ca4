package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// servicedMain runs its arguments, behind the numbers of the capabilities that
// are kept, as systemd runs the daemon by the unit that we ship.
func servicedMain() {
	runtime.LockOSThread() // what is taken is this thread's, and exec keeps it
	err := confineAsService(os.Args[1])
	if err == nil {
		err = unix.Exec(os.Args[2], os.Args[2:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "serviced:", err)
	os.Exit(111)
}

func confineAsService(keep string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	for _, dir := range []string{"/usr", "/boot", "/etc"} { // ProtectSystem=full
		if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
		if err := unix.MountSetattr(unix.AT_FDCWD, dir, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	kept := strings.Split(keep, ",")
	for capability := range uintptr(unix.CAP_LAST_CAP + 1) {
		if slices.Contains(kept, strconv.Itoa(int(capability))) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// unitCapabilities are the numbers of those that the unit leaves to the daemon.
func unitCapabilities(t *testing.T) []string {
	t.Helper()
	numbers := map[string]int{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_FOWNER": unix.CAP_FOWNER, "CAP_KILL": unix.CAP_KILL,
		"CAP_SETGID": unix.CAP_SETGID, "CAP_SETUID": unix.CAP_SETUID, "CAP_SETPCAP": unix.CAP_SETPCAP, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN,
		"CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
		"CAP_SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "CAP_MKNOD": unix.CAP_MKNOD,
	}
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "systemd", "mcp-server.service"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "\nCapabilityBoundingSet=")
	line, _, _ := strings.Cut(rest, "\n")
	var kept []string
	for name := range strings.FieldsSeq(line) {
		number, ok := numbers[name]
		if !ok {
			t.Errorf("the unit keeps %s, which this test does not know", name)
		}
		kept = append(kept, strconv.Itoa(number))
	}
	return kept
}

// With no more than the unit leaves to it the daemon does all of its work.
func TestUnit_LeavesEnough(t *testing.T) {
	if os.Getuid() != 0 {
		sandboxtest.Skip(t, "needs root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	link := filepath.Join(p.home, "serviced")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	p.program = shim(t, p, fmt.Sprintf(`exec %s %s %s "$@"`, link, strings.Join(unitCapabilities(t), ","), p.program))
	s := p.serve(t)
	_, body := s.get(t, "/")
	backend := body["backend"].(map[string]any)
	if backend["ready"] != true || len(backend["unenforced"].([]any)) > 0 {
		t.Errorf("the backend is %v", backend)
	}
	for _, template := range backend["templates"].([]any) {
		if template.(map[string]any)["ready"] != true {
			t.Errorf("%v", template)
		}
	}
	// Loopback needs a right of its own; and limits end what they should.
	if got := s.run(t, "a", "import socket\ns = socket.create_server(('127.0.0.1', 0))\nc = socket.create_connection(s.getsockname())\nprint('there')"); got != "there" {
		t.Errorf("got %q", got)
	}
	if got := s.text(t, "execute_command", arguments{"session_id": "a", "command": "id"}); !strings.Contains(got, "(sandbox)") {
		t.Errorf("got %q", got)
	}
	s.text(t, "stop_session", arguments{"session_id": "a"})
}
