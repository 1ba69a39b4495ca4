//go:build linux

package filter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// The test binary is also what runs under the filter: with helperEnv set it
// installs the program and does what the value says.
const helperEnv = "SANDWARDEN_FILTER_TEST"

func TestMain(m *testing.M) {
	mode := os.Getenv(helperEnv)
	if mode == "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread()
	if err := install(); err != nil {
		fmt.Println("install:", err)
		os.Exit(1)
	}
	if err := under(mode); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// install puts all threads under the filter, as seccomp(2) has it.
func install() error {
	program, err := Program()
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil { // the others get it with the filter
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(program) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog))); errno != 0 {
		return errno
	}
	return nil
}

// under is what is done under the filter.
func under(mode string) error {
	switch mode {
	case "refused":
		return callRefused()
	case "arguments":
		return callWithArguments()
	case "agent":
		return actAsAgent()
	}
	return unix.Exec(mode, os.Args[1:], []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"})
}

// callRefused makes each refused call as root, with arguments that the kernel
// would answer by something else than EPERM.
func callRefused() error {
	table, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range refused() {
		number, known := table.SyscallNames[name]
		if !known {
			continue
		}
		bad := ^uintptr(0)
		_, _, errno := unix.RawSyscall6(uintptr(number), bad, bad, bad, bad, bad, bad)
		if errno != unix.EPERM {
			errs = append(errs, fmt.Errorf("%s: %w, want EPERM", name, errno))
		}
	}
	return errors.Join(errs...)
}

// callWithArguments tries what decides by arguments, against its own parent,
// which stands for PID 1 and, being root's, could be harmed.
func callWithArguments() error {
	other := uintptr(os.Getppid())
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	var mask unix.CPUSet
	mask.Set(0)
	var attr [64]byte
	pointer := func(p unsafe.Pointer) uintptr { return uintptr(p) }
	var errs []error
	for _, c := range []struct {
		name string
		want syscall.Errno
		args [4]uintptr
	}{
		{"prlimit64", unix.EPERM, [4]uintptr{other, unix.RLIMIT_CPU, pointer(unsafe.Pointer(&limit))}},
		{"prlimit64", 0, [4]uintptr{other, unix.RLIMIT_CPU, 0, pointer(unsafe.Pointer(&limit))}},
		{"prlimit64", 0, [4]uintptr{0, unix.RLIMIT_CPU, 0, pointer(unsafe.Pointer(&limit))}},
		{"setpriority", unix.EPERM, [4]uintptr{unix.PRIO_PROCESS, other, 0}},
		{"setpriority", unix.EPERM, [4]uintptr{unix.PRIO_USER, 0, 0}},
		{"setpriority", 0, [4]uintptr{unix.PRIO_PROCESS, 0, 1}},
		{"ioprio_set", unix.EPERM, [4]uintptr{1, other, 0}},
		{"ioprio_set", 0, [4]uintptr{1, 0, 0}},
		{"sched_setaffinity", unix.EPERM, [4]uintptr{other, unsafe.Sizeof(mask), pointer(unsafe.Pointer(&mask))}},
		{"sched_setaffinity", 0, [4]uintptr{0, unsafe.Sizeof(mask), pointer(unsafe.Pointer(&mask))}},
		{"sched_setscheduler", unix.EPERM, [4]uintptr{other, 0, pointer(unsafe.Pointer(&attr))}},
		{"sched_setscheduler", 0, [4]uintptr{0, 0, pointer(unsafe.Pointer(&attr))}},
		{"sched_setparam", unix.EPERM, [4]uintptr{other, pointer(unsafe.Pointer(&attr))}},
		{"sched_setattr", unix.EPERM, [4]uintptr{other, pointer(unsafe.Pointer(&attr)), 0}},
		{"socket", unix.EPERM, [4]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}},
		{"socket", unix.EPERM, [4]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM, 0}},
		{"socket", unix.EPERM, [4]uintptr{unix.AF_PACKET, unix.SOCK_RAW, 0}},
		{"socket", unix.EPERM, [4]uintptr{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}},
		{"socket", unix.EPERM, [4]uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM}},
		{"socket", unix.EPERM, [4]uintptr{33, unix.SOCK_DGRAM, 0}}, // AF_RXRPC
		{"clone", unix.EPERM, [4]uintptr{unix.CLONE_NEWUSER | uintptr(unix.SIGCHLD)}},
		{"clone", unix.EPERM, [4]uintptr{unix.CLONE_NEWTIME | uintptr(unix.SIGCHLD)}},
		{"clone3", unix.ENOSYS, [4]uintptr{pointer(unsafe.Pointer(&attr)), 64}},
		{"personality", unix.EPERM, [4]uintptr{8}},
		{"personality", 0, [4]uintptr{0xffffffff}},
		{"ioctl", unix.EPERM, [4]uintptr{0, 1<<32 | unix.TIOCSTI, pointer(unsafe.Pointer(&attr))}},
		{"ioctl", unix.ENOTTY, [4]uintptr{0, unix.TCGETS, pointer(unsafe.Pointer(&attr))}},
	} {
		_, _, errno := unix.RawSyscall6(uintptr(arch.X86_64.SyscallNames[c.name]), c.args[0], c.args[1], c.args[2], c.args[3], 0, 0)
		if errno != c.want {
			errs = append(errs, fmt.Errorf("%s%x: %w, want %w", c.name, c.args, errno, c.want))
		}
	}
	for _, number := range []uintptr{900, 0x40000000 | 39} { // unknown, getpid of x32
		if _, _, errno := unix.RawSyscall(number, 0, 0, 0); errno != unix.ENOSYS {
			errs = append(errs, fmt.Errorf("call %#x: %w, want ENOSYS", number, errno))
		}
	}
	return errors.Join(errs...)
}

// actAsAgent does in Go what the agent does as PID 1.
func actAsAgent() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) }()
	var pidfd int
	cmd := exec.CommandContext(ctx, "/bin/sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if pidfd < 0 {
		if pidfd, err = unix.PidfdOpen(cmd.Process.Pid, 0); err != nil {
			return fmt.Errorf("pidfd_open: %w", err)
		}
	}
	if err := unix.PidfdSendSignal(pidfd, unix.SIGTERM, nil, 0); err != nil {
		return fmt.Errorf("pidfd_send_signal: %w", err)
	}
	if err := unix.Waitid(unix.P_PIDFD, pidfd, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return fmt.Errorf("waitid: %w", err)
	}
	if err := cmd.Wait(); err == nil {
		return errors.New("the child was not signalled")
	}
	if err := unix.Setrlimit(unix.RLIMIT_RTPRIO, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	memfd, err := unix.MemfdCreate("agent", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	return unix.Close(memfd)
}

// run runs the test binary in a mode, and returns what it said.
func run(t *testing.T, mode string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = []string{helperEnv + "=" + mode}
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestKernel_Obeys(t *testing.T) {
	for _, mode := range []string{"refused", "arguments", "agent"} {
		t.Run(mode, func(t *testing.T) {
			if mode == "arguments" && runtime.GOARCH != "amd64" {
				t.Skip("written for amd64")
			}
			if out, err := run(t, mode); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// A call by the convention of i386 hides its arguments from the rules.
func TestKernel_KillsForeignArchitecture(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("amd64 alone has a second convention")
	}
	const python = "/usr/bin/python3"
	script := `
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3") # mov eax, 20 (getpid); int 0x80; ret
print("calling", flush=True)
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print("came back")`
	out, err := run(t, need(t, python), python, "-ISc", script)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGSYS || out != "calling\n" {
		t.Errorf("%q, %v, want it killed by SIGSYS", out, err)
	}
}

// need skips a test that needs a program which the host does not have.
func need(t *testing.T, program string) string {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
	return program
}

func TestPrograms_Run(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"python threads and processes": {[]string{"/usr/bin/python3", "-c", `
import threading, subprocess, os, sys, socket, tempfile, shutil, asyncio, multiprocessing, resource
def work(): pass
ts = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
assert subprocess.run(["/bin/echo", "a"], capture_output=True, text=True).stdout == "a\n"
assert subprocess.run("exit 3", shell=True).returncode == 3
assert os.system("true") == 0 and os.popen("echo b").read() == "b\n"
assert os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1] == 0
os.sched_setaffinity(0, os.sched_getaffinity(0)); os.nice(1)
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
a, b = socket.socketpair(); s = socket.create_server(("127.0.0.1", 0)); socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
c = socket.create_connection(s.getsockname()); socket.if_nameindex(); socket.getaddrinfo("localhost", 80)
d = tempfile.mkdtemp(dir="."); shutil.copytree("/usr/share/python3", d + "/x", dirs_exist_ok=True) if os.path.isdir("/usr/share/python3") else None
os.memfd_create("x")
async def main(): assert await (await asyncio.create_subprocess_exec("/bin/true")).wait() == 0
asyncio.run(main())
with multiprocessing.Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]
print("done")`}, "done\n"},
		"python refused with a word": {[]string{"/usr/bin/python3", "-ISc", `
import os
for f in (lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 5), lambda: os.sched_setaffinity(os.getppid(), {0})):
    try: f()
    except PermissionError: print("refused")`}, "refused\nrefused\n"},
		"node":    {[]string{"/usr/bin/node", "-e", `const w=require("worker_threads");if(w.isMainThread){new w.Worker("1",{eval:true}).on("exit",()=>console.log(require("child_process").execSync("echo done").toString().trim(),require("os").cpus().length>0))}`}, "done true\n"},
		"bash":    {[]string{"/bin/bash", "-c", `x=$(echo a | tr a b); (exit 3); echo $x $? ; { sleep 0.01 & wait; }; cat <(echo c)`}, "b 3\nc\n"},
		"perl":    {[]string{"/usr/bin/perl", "-e", `print qx(echo done); fork // die; wait;`}, "done\n"},
		"git":     {[]string{"/bin/sh", "-c", "git init -q r && cd r && echo x > f && git add f && git -c user.name=a -c user.email=b commit -qm m && git log --format=%s"}, "m\n"},
		"gcc":     {[]string{"/bin/sh", "-c", `echo 'int puts(const char*); int main(){puts("done");}' > a.c && gcc -O1 a.c -o a && ./a`}, "done\n"},
		"a shell": {[]string{"/bin/sh", "-c", "nice -n 5 tar cf x.tar /etc/passwd 2>/dev/null; tar tf x.tar; ls -l /proc/self/exe > /dev/null && echo done"}, "etc/passwd\ndone\n"},
	} {
		t.Run(name, func(t *testing.T) {
			program := test.args[0]
			if name == "git" || name == "gcc" {
				program = "/usr/bin/" + name
			}
			need(t, program)
			out, err := run(t, test.args[0], test.args...)
			if err != nil || out != test.want {
				t.Errorf("%v\n%s\nwant\n%s", err, out, test.want)
			}
		})
	}
	t.Run("go", func(t *testing.T) {
		root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
		if err != nil {
			t.Fatal(err)
		}
		compiler := need(t, filepath.Join(strings.TrimSpace(string(root)), "bin", "go"))
		if out, err := run(t, compiler, compiler, "version"); err != nil || !strings.Contains(out, "go1.") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
