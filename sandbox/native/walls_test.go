//go:build linux

package native_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// small returns a small sandbox of a template.
func small(t *testing.T, template sandbox.Template) *sandboxtest.Box {
	t.Helper()
	b := open(t)
	t.Cleanup(func() {
		if err := b.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	return sandboxtest.NewBox(t, b, sandbox.Spec{Session: "walls", Template: template, Flavor: sandbox.Flavors()[0]})
}

// The tenant has no rights: what /proc says of a process inside.
func TestTenantHasNoRights(t *testing.T) {
	x := small(t, sandbox.Templates()[2])
	status := string(x.Shell(t, "cat /proc/self/status").Stdout)
	for _, want := range []string{
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Groups:\t \n",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %q:\n%s", want, status)
		}
	}
	if strings.Contains(status, "Uid:\t0") {
		t.Error("the tenant is root")
	}
}

// Each line is an attempt that must fail, or a question with one answer.
func TestWalls(t *testing.T) {
	x := small(t, sandbox.Templates()[2])
	for attempt, want := range map[string]string{
		"touch /usr/bin/x /x /etc/x /opt/x 2>/dev/null; ls /x /usr/bin/x 2>/dev/null | wc -l":                    "0",
		"ls /root /home /usr/local /usr/src /sys /mnt | grep -v : | grep -c .":                                   "0",
		"unshare -r true 2>/dev/null && echo in || echo refused":                                                 "refused",
		"mount -t tmpfs none /tmp 2>/dev/null && echo in || echo refused":                                        "refused",
		"(readlink /proc/1/root /proc/1/fd/0 /proc/1/exe; cat /proc/1/environ /proc/1/maps) 2>/dev/null | wc -c": "0",
		"ls /proc/self/fd | tr '\\n' ' '":                                                                        "0 1 2 3", // 3 is the folder that ls reads
		"cat /proc/kcore 2>/dev/null | head -c 1 | wc -c":                                                        "0",
		"echo 1 > /proc/sys/kernel/hostname 2>/dev/null && echo in || echo refused":                              "refused",
		"cat /sys/class/net/*/address 2>/dev/null; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' \\n'":        "lo",
		"cat /etc/shadow /etc/ssh/* /var/lib/* 2>/dev/null | wc -c":                                              "0",
		"ls /dev | tr '\\n' ' '":                   "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
		"id -un; echo ~":                           "sandbox\n/work",
		"echo kept > /work/file && cat /work/file": "kept",
		"hostname": "walls",
		"mknod /tmp/null c 1 3 2>/dev/null && echo in || echo refused": "refused",
		"chroot / true 2>/dev/null && echo in || echo refused":         "refused",
		"ulimit -c; ulimit -c 0 2>/dev/null || echo refused":           "0\nrefused",
	} {
		if got := strings.TrimSpace(string(x.Shell(t, attempt).Stdout)); got != want {
			t.Errorf("%s\n got %q\nwant %q", attempt, got, want)
		}
	}
}

// An agent that starts late has its filter in each of its threads before it serves.
func TestWalls_LateAgent(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 100 })
	x := sandboxtest.NewBox(t, b, python("late"))
	program := func() string {
		t.Helper()
		return x.Code(t, "open('/proc/1/comm').read()").Exit.Result
	}
	before := program()
	o := x.Shell(t, "cat /proc/1/task/*/status | grep '^Seccomp:'")
	if before == program() && !ordinary() {
		t.Errorf("PID 1 was %s all the time", before)
	}
	if n := strings.Count(string(o.Stdout), "\n"); n < 2 || n != strings.Count(string(o.Stdout), "Seccomp:\t2\n") {
		t.Errorf("of %d threads: %q %s", n, o.Stdout, o.Stderr)
	}
}

func TestPIDOneIsGuarded(t *testing.T) {
	t.Run("agent", func(t *testing.T) { guardPIDOne(t, small(t, sandbox.Templates()[0])) })
	t.Run("what waits for it", func(t *testing.T) {
		b := begin(t, func(o *native.Options) { o.ZygoteForks = 100 })
		guardPIDOne(t, sandboxtest.NewBox(t, b, python("waits")))
	})
}

func guardPIDOne(t *testing.T, x *sandboxtest.Box) {
	t.Helper()
	o := x.Code(t, `
import ctypes, errno, os, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *args):
    r = libc.syscall(number, *args)
    print(name, r, errno.errorcode.get(ctypes.get_errno(), "") if r < 0 else "done")
class rlimit(ctypes.Structure):
    _fields_ = [("cur", ctypes.c_ulong), ("max", ctypes.c_ulong)]
zero = rlimit(0, 0)
m = os.uname().machine == "aarch64"
param = (ctypes.c_int * 1)(0)
mask = (ctypes.c_ulong * 1)(1)
call("prlimit", 261 if m else 302, 1, resource.RLIMIT_CPU, ctypes.byref(zero), None)
call("setpriority", 140 if m else 141, 0, 1, 19)
call("ioprio_set", 30 if m else 251, 1, 1, 3 << 13)
call("sched_setscheduler", 119 if m else 144, 1, 5, ctypes.byref(param))
call("sched_setparam", 118 if m else 142, 1, ctypes.byref(param))
call("sched_setaffinity", 122 if m else 203, 1, 8, ctypes.byref(mask))
call("ptrace", 117 if m else 101, 16, 1, 0, 0)
for s in range(1, 65):
    try:
        os.kill(1, s)
    except OSError:
        pass
`)
	for line := range strings.Lines(string(o.Stdout)) {
		if !strings.HasSuffix(line, "-1 EPERM\n") {
			t.Errorf("got %q, want EPERM", line)
		}
	}
	if n := strings.Count(string(o.Stdout), "\n"); n != 7 {
		t.Fatalf("%d calls were made, want 7: %s %s", n, o.Stdout, o.Stderr)
	}
	if o := x.Shell(t, "echo alive"); string(o.Stdout) != "alive\n" {
		t.Errorf("PID 1 does not answer: %+v", o)
	}
}

// Whatever the tenant does, the agent answers.
func TestAgentAnswersUnderAttack(t *testing.T) {
	for name, attack := range map[string]sandbox.Exec{
		"fork bomb":            {Argv: []string{"bash", "-c", ":(){ :|:& };: ; sleep 600"}},
		"a full disk":          {Argv: []string{"sh", "-c", "head -c 2G /dev/zero > /work/full; sleep 600"}},
		"a full /dev/shm":      {Argv: []string{"sh", "-c", "head -c 2G /dev/zero > /dev/shm/full; sleep 600"}},
		"a gigabyte of output": {Argv: []string{"sh", "-c", "head -c 1G /dev/zero; sleep 600"}, OutputLimit: 1 << 20},
		"many files":           {Argv: []string{"sh", "-c", "cd /work; seq 1 100000 | xargs touch 2>/dev/null; sleep 600"}},
	} {
		t.Run(name, func(t *testing.T) {
			x := small(t, sandbox.Templates()[2])
			id := x.Begin(t, attack)
			for range 5 {
				began := time.Now()
				if _, err := x.Executions(t.Context()); err != nil {
					t.Fatalf("the agent is gone: %v; %+v", err, x.Death())
				}
				t.Logf("answered in %v", time.Since(began))
				frames, err := x.Follow(t.Context(), x.After, 200*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				if n := len(frames); n > 0 {
					x.After = frames[n-1].Seq
				}
			}
			if err := x.Signal(t.Context(), id, sandbox.Kill); err != nil {
				t.Fatal(err)
			}
			x.Await(t, id)
			if o := x.Shell(t, "echo usable"); string(o.Stdout) != "usable\n" {
				t.Errorf("afterwards: %q %q %+v", o.Stdout, o.Stderr, o.Exit)
			}
		})
	}
}

// The flavor's limits hold, and say so.
func TestLimits(t *testing.T) {
	x := small(t, sandbox.Templates()[0])
	if o := x.Code(t, "x = bytearray(1500 << 20)\nx[::4096] = b'1' * len(x[::4096])"); o.Exit.Cause != sandbox.CauseOOM || !o.Exit.StateLost {
		t.Errorf("memory: got %+v %s, want oom and the state lost", o.Exit, o.Stderr)
	}
	if o := x.Code(t, "print('again')"); string(o.Stdout) != "again\n" {
		t.Errorf("after oom: %q %q %+v", o.Stdout, o.Stderr, o.Exit)
	}
	if o := x.Shell(t, "head -c 600M /dev/zero > /work/big; wc -c < /work/big; rm /work/big"); !strings.Contains(string(o.Stderr), "No space left") {
		t.Errorf("disk: got %q %q", o.Stdout, o.Stderr)
	}
	o := x.Code(t, "import subprocess\nps = []\nfor i in range(400): ps.append(subprocess.Popen(['sleep', '60']))")
	if o.Exit.Cause != sandbox.CausePids {
		t.Errorf("tasks: got %+v %s, want cause pids", o.Exit, o.Stderr)
	}
}

// An agent that is killed from outside is a death with its cause.
func TestAgentKilled(t *testing.T) {
	x := small(t, sandbox.Templates()[2])
	x.Begin(t, sandbox.Exec{Argv: []string{"sleep", "600"}})
	for _, pid := range agents(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-x.Dead():
	case <-time.After(time.Minute):
		t.Fatal("its death was not noticed")
	}
	if d := x.Death(); d.Cause != sandbox.CauseAgentLost || !strings.Contains(d.Evidence, "SIGKILL") {
		t.Errorf("got %+v", d)
	}
	if _, err := x.Follow(t.Context(), x.After, time.Second); sandbox.KindOf(err) != sandbox.Stopped {
		t.Errorf("Follow: %v, want stopped", err)
	}
}

// A command that cannot be started is that command's failure, and costs the
// sandbox nothing.
func TestCommandsThatCannotStart(t *testing.T) {
	x := small(t, sandbox.Templates()[2])
	x.Code(t, "kept=yes")
	for name, argv := range map[string][]string{
		"an argument too long": {"echo", strings.Repeat("x", 200<<10)},
		"a NUL in an argument": {"echo", "a\x00b"},
		"a folder":             {"/usr"},
		"no program":           {"/etc/hosts"},
	} {
		if o := x.Await(t, x.Begin(t, sandbox.Exec{Argv: argv})); o.Exit.Code != 126 || len(o.Stderr) == 0 {
			t.Errorf("%s: %+v %q, want exit code 126 and a reason", name, o.Exit, o.Stderr)
		}
	}
	if o := x.Code(t, "echo $kept"); string(o.Stdout) != "yes\n" {
		t.Errorf("the state is gone: %q %+v", o.Stdout, o.Exit)
	}
}

// A kill that the code coped with is not the cause of a later failure.
func TestOOMIsBlamedOnce(t *testing.T) {
	x := small(t, sandbox.Templates()[0])
	if o := x.Code(t, "import subprocess\nsubprocess.run(['python3', '-c', 'x = bytearray(1500 << 20)\\nx[::4096] = b\"1\" * len(x[::4096])']).returncode"); o.Exit.Code != 0 || o.Exit.Result != "-9" {
		t.Fatalf("got %+v %s", o.Exit, o.Stderr)
	}
	if o := x.Code(t, "1 / 0"); o.Exit.Cause != "" {
		t.Errorf("got %+v, want no cause", o.Exit)
	}
}

// The deadline of a first run holds while its interpreter starts, too.
func TestDeadlineBeforeTheKernelIsReady(t *testing.T) {
	x := small(t, sandbox.Templates()[1])
	id := x.Begin(t, sandbox.Exec{Code: "1", Deadline: sandboxtest.Boottime() + time.Millisecond})
	if o := x.Await(t, id); o.Exit.Cause != sandbox.CauseWallTimeout {
		t.Errorf("got %+v %s, want wall_timeout", o.Exit, o.Stderr)
	}
	if o := x.Code(t, "6 * 7"); o.Exit.Result != "42" {
		t.Errorf("afterwards: %q %q %+v", o.Stdout, o.Stderr, o.Exit)
	}
}
