package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// confinedMain runs its arguments as a container's default would have them: a
// filter refuses namespaces of users, and root's capabilities are fewer.
func confinedMain() {
	runtime.LockOSThread() // the filter is this thread's, and exec keeps it
	err := confine()
	if err == nil {
		err = unix.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "confined:", err)
	os.Exit(111)
}

func confine() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const (
		load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		set     = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret     = unix.BPF_RET | unix.BPF_K
		allow   = unix.SECCOMP_RET_ALLOW
		refuse  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	filter := []unix.SockFilter{
		{Code: load, K: 0}, // seccomp_data.nr
		{Code: equal, Jt: 3, K: unix.SYS_CLONE},
		{Code: equal, Jt: 2, K: unix.SYS_UNSHARE},
		{Code: equal, Jt: 5, K: unix.SYS_CLONE3},
		{Code: ret, K: allow},
		{Code: load, K: 16}, // seccomp_data.args[0], its lower half
		{Code: set, Jt: 1, K: unix.CLONE_NEWUSER},
		{Code: ret, K: allow},
		{Code: ret, K: refuse},
		{Code: ret, K: unknown},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return nil
	}
	for _, capability := range []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_NET_ADMIN} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// confined makes daemons of a place run as in a container of Kubernetes.
func confined(t *testing.T, p *place) *place {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "cf") //nolint:usetesting // another user may enter it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, err := os.ReadFile(self) // where go test puts it, that user may not enter
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "confined"), data, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.program = shim(t, p, fmt.Sprintf(`exec %s/confined %s "$@"`, dir, p.program))
	p.environ = append(p.environ, "KUBERNETES_SERVICE_HOST=10.0.0.1")
	return p
}

// A container that forbids namespaces is served all the same, and whoever calls
// learns which words to add to it.
func TestContainer_SaysWhichFlags(t *testing.T) {
	const asRoot = "add to the container's securityContext: capabilities: {add: [NET_ADMIN, SYS_ADMIN, SYS_PTRACE]}, seccompProfile: {type: Unconfined}"
	for name, test := range map[string]struct {
		somewhere func(*testing.T, ...string) *place
		environ   []string
		remedy    string
	}{
		"root":                          {newPlace, nil, asRoot},
		"root, with leave for no limit": {newPlace, []string{"SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1"}, asRoot},
		"another user":                  {poor, nil, "add to the container's securityContext: runAsUser: 0,"},
		"another user, with leave":      {poor, []string{"SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1"}, "seccompProfile: {type: Unconfined}"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getuid() != 0 && strings.HasPrefix(name, "root") {
				sandboxtest.Skip(t, "needs root")
			}
			s := confined(t, test.somewhere(t, test.environ...)).serve(t)
			status, body := s.get(t, "/")
			backend := body["backend"].(map[string]any)
			reason, remedy := fmt.Sprint(backend["reason"]), fmt.Sprint(backend["remedy"])
			if status != 200 || backend["ready"] != false || !strings.Contains(reason, "this container (Kubernetes) withholds") || !strings.Contains(remedy, test.remedy) {
				t.Errorf("the status is %d, %q, %q; want %q", status, reason, remedy, test.remedy)
			}
			for tool, a := range map[string]arguments{"execute_code": {"code": "1"}, "execute_command": {"command": "true"}} {
				got, err := s.call(t.Context(), tool, a)
				if err != nil || got.Error == nil || got.Error.Data == nil {
					t.Fatalf("%s: %+v, %v", tool, got, err)
				}
				if text := strings.Join(got.Error.Data.Suggestions, "\n"); !strings.Contains(got.Error.Message, reason) || !strings.Contains(text, remedy) {
					t.Errorf("%s answers %q, %q", tool, got.Error.Message, text)
				}
				for _, secret := range []string{s.home, s.state, "/sys/", "/proc/"} {
					if strings.Contains(fmt.Sprintf("%+v", got.Error), secret) {
						t.Errorf("%s names %s: %+v", tool, secret, got.Error)
					}
				}
			}
			if left := s.sessions(t); len(left) > 0 {
				t.Errorf("sessions were made: %q", left)
			}
		})
	}
}
