//go:build linux

package native_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// begin opens a backend with the options, and waits until its zygotes are ready.
func begin(t *testing.T, change func(*native.Options)) *native.Backend {
	t.Helper()
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir(), AllowUnenforced: ordinary(), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	change(&opts)
	b, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	native.AwaitZygotes(t.Context(), b)
	return b
}

func python(session string) sandbox.Spec {
	return sandbox.Spec{Session: session, Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]}
}

// forked is an expression that is true in a kernel that a zygote forked.
const forked = "'subprocess' in __import__('sys').modules"

// A forked kernel has no more rights than one that the agent starts, which is
// asked the same beside it.
func TestZygote_KernelIsLockedDown(t *testing.T) {
	const questions = `
import ctypes, os, resource, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, *arguments):
    ctypes.set_errno(0)
    return os.strerror(ctypes.get_errno()) if what(*arguments) < 0 else 'done'
def try_open(path, flags):
    try:
        os.close(os.open(path, flags))
        return 'opened'
    except OSError as error:
        return error.strerror
status = dict(line.split(':\t', 1) for line in open('/proc/self/status').read().splitlines())
answers = [status[k] for k in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp', 'Seccomp_filters', 'Groups', 'Threads', 'Umask')]
answers += [status['Uid'].split()[i] == str(os.getuid()) != '0' for i in range(4)]
answers += [attempt(libc.unshare, 0x10000000), attempt(libc.unshare, 0x20000), attempt(libc.chroot, b'/'), attempt(libc.setuid, 0),
            attempt(libc.mount, b'none', b'/tmp', b'tmpfs', 0, None), attempt(libc.ptrace, 16, 1, 0, 0), attempt(libc.prctl, 24, 0),
            attempt(libc.syscall, 308, 0, 0), attempt(libc.prctl, 28, 0, 0, 0, 0)]
answers += [try_open(path, flags) for path in ('/', '/usr/bin/python3', '/work', '/tmp', '/etc/passwd', '/dev/null', '/proc/1/environ', '/proc/1/maps',
            '/proc/1/root', '/proc/1/fd/0', '/proc/kcore', '/proc/sysrq-trigger', '/proc/self/environ', '/opt/sandwarden/python.py') for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC)]
answers += [try_open(path, os.O_CREAT | os.O_WRONLY) for path in ('/x', '/usr/x', '/etc/x', '/dev/x', '/run/x', '/opt/x', '/work/x', '/tmp/x', '/dev/shm/x')]
answers += [sorted(int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) < 1000)]
answers += [(name, getattr(resource, name), resource.getrlimit(getattr(resource, name))) for name in sorted(dir(resource)) if name.startswith('RLIMIT_')]
answers += [os.readlink('/proc/self/ns/' + n) == os.readlink('/proc/%d/ns/' % child + n) for child in [os.posix_spawn('/bin/sleep', ['sleep', '1'], {})] for n in os.listdir('/proc/self/ns') if n != 'time']
answers += [os.getcwd(), os.getppid(), os.getsid(0) == os.getpid(), open('/proc/self/oom_score_adj').read(), sorted(os.environ.items()), os.cpu_count()]
answers += [socket.gethostname(), open('/proc/self/mountinfo').read().count('\n'), open('/proc/net/dev').read().count(':')]
`
	ask := func(forks int) []string {
		b := begin(t, func(o *native.Options) { o.ZygoteForks = forks })
		x := sandboxtest.NewBox(t, b, python("walls"))
		if got := x.Code(t, forked).Exit.Result; got != map[bool]string{true: "True", false: "False"}[forks > 0] {
			t.Fatalf("forked: %s", got)
		}
		if o := x.Code(t, questions); o.Exit.Code != 0 {
			t.Fatalf("%s", o.Stderr)
		}
		return strings.Split(string(x.Code(t, "print(*answers, sep='\\n')").Stdout), "\n")
	}
	want, got := ask(0), ask(100)
	if len(want) < 90 || len(want) != len(got) {
		t.Fatalf("%d and %d answers", len(want), len(got))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("answer %d is %q, and %q of one that was started", i, got[i], want[i])
		}
	}
}

// One zygote forks many kernels, whoever runs the daemon, with machine code and without.
func TestZygote_ForksOn(t *testing.T) {
	for name, change := range map[string]func(*native.Options){"between": func(*native.Options) {}, "twice": native.ForkTwice} {
		t.Run(name, func(t *testing.T) {
			b := begin(t, func(o *native.Options) { o.ZygoteForks = 100; change(o) })
			zygote := native.ZygotePID(b, "python")
			for i := range 4 {
				x := sandboxtest.NewBox(t, b, python(fmt.Sprint("on", i)))
				if got := x.Code(t, forked+", __import__('os').getppid()").Exit.Result; got != "(True, 1)" {
					t.Errorf("forked, and whose child: %s", got)
				}
			}
			if now := native.ZygotePID(b, "python"); now != zygote {
				t.Errorf("the zygote was process %d and is %d", zygote, now)
			}
		})
	}
}

// Kernels of one zygote have random numbers of their own.
func TestZygote_Random(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks, o.Preimport = 100, []string{"random", "uuid", "tempfile"} })
	seen := map[string]bool{}
	for i := range 3 {
		x := sandboxtest.NewBox(t, b, python(fmt.Sprint("r", i)))
		for _, expression := range []string{"random.random()", "uuid.uuid4().hex", "random.SystemRandom().random()", "next(tempfile._get_candidate_names())"} {
			o := x.Code(t, "import random, tempfile, uuid\n"+expression)
			if o.Exit.Code != 0 || seen[o.Exit.Result] {
				t.Errorf("%s gave %q %s", expression, o.Exit.Result, o.Stderr)
			}
			seen[o.Exit.Result] = true
		}
	}
}

// A zygote that has forked enough, or has ended, is replaced; sandboxes begin in
// any case.
func TestZygote_Replaced(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 2 })
	first := native.ZygotePID(b, "python")
	n := 0
	isForked := func() bool {
		n++
		x := sandboxtest.NewBox(t, b, python(fmt.Sprint("s", n)))
		return x.Code(t, forked).Exit.Result == "True"
	}
	for range 2 {
		if !isForked() {
			t.Error("a kernel was not forked")
		}
	}
	awaitZygote(t, b, first)
	second := native.ZygotePID(b, "python")
	native.KillZygote(b, "python")
	isForked() // whether it is depends on how fast the next one comes
	awaitZygote(t, b, second)
	if !isForked() {
		t.Error("the third zygote does not fork")
	}
}

// awaitZygote waits for another zygote than that.
func awaitZygote(t *testing.T, b *native.Backend, before int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if now := native.ZygotePID(b, "python"); now != 0 && now != before {
			return
		}
	}
	t.Fatal("no other zygote came")
}

func TestZygote_Preimport(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	b := begin(t, func(o *native.Options) {
		o.ZygoteForks, o.Preimport = 100, []string{"html.parser", "no_such_module"}
		o.Logger = slog.New(slog.NewTextHandler(&locked{&mu, &log}, nil))
	})
	x := sandboxtest.NewBox(t, b, python("modules"))
	if got := x.Code(t, "import sys; 'html.parser' in sys.modules, 'no_such_module' in sys.modules").Exit.Result; got != "(True, False)" {
		t.Errorf("loaded: %s", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "module=no_such_module") {
		t.Errorf("the log says nothing of the module that is not there:\n%s", log.String())
	}
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

// Write implements [io.Writer].
func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Code runs in a forked kernel as in one that was started: what the driver's own
// tests cannot see.
func TestZygote_KernelBehaves(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 100 })
	x := sandboxtest.NewBox(t, b, python("behaves"))
	for code, want := range map[string]string{
		"__name__": "'__main__'",
		"import sys; (sys.argv, sys.flags.isolated, sys.flags.utf8_mode, sys.path[0])":                                               "([''], 1, 1, '')",
		"import asyncio; await asyncio.sleep(0, 5)":                                                                                  "5",
		"import subprocess; subprocess.run(['echo', 'hi'], capture_output=True).stdout":                                              "b'hi\\n'",
		"import threading; t = threading.Thread(target=lambda: None); t.start(); t.join(); threading.main_thread().is_alive()":       "True",
		"import multiprocessing as m; p = m.get_context('fork').Process(target=print, args=('x',)); p.start(); p.join(); p.exitcode": "0",
		"import signal; signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN":                                                          "True",
		"import os; [k for k in os.environ if 'SANDWARDEN' in k and k != 'SANDWARDEN_EXECUTION']":                                    "[]",
		"import hashlib; hashlib.sha256(b'').hexdigest()[:8]":                                                                        "'e3b0c442'",
		// libc knows the processor by what the host's kernel writes for each thread.
		"import ctypes, os; all((os.sched_setaffinity(0, {c}), ctypes.CDLL(None).sched_getcpu() == c)[1] for c in os.sched_getaffinity(0))": "True",
		"'sandwarden_kernel' in __import__('sys').modules": "False",
	} {
		if o := x.Code(t, code); o.Exit.Result != want {
			t.Errorf("%s\n got %q %s\nwant %q", code, o.Exit.Result, o.Stderr, want)
		}
	}
}
