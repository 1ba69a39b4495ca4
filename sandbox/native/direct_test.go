//go:build linux

package native_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// late opens a backend whose sandboxes begin without an agent.
func late(t *testing.T) *native.Backend {
	t.Helper()
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 1000 })
	x := sandboxtest.NewBox(t, b, python("late"))
	if native.HasAgent(x.Sandbox) {
		sandboxtest.Skip(t, "each sandbox has an agent here")
	}
	return b
}

func TestDirect_CodeNeedsNoAgent(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("direct"))
	o := x.Code(t, "import sys\nx = 41\nprint('ä', x)\nsys.stderr.write('err\\n')\nx + 1")
	if string(o.Stdout) != "ä 41\n42\n" || string(o.Stderr) != "err\n" || o.Exit.Result != "42" {
		t.Errorf("got %q, %q and %+v", o.Stdout, o.Stderr, o.Exit)
	}
	if o.Exit.Duration <= 0 || o.Exit.CPU <= 0 || o.Exit.Code != 0 || o.Exit.StateLost {
		t.Errorf("got %+v", o.Exit)
	}
	for i := range 20 {
		if got := x.Code(t, "x += 1; x").Exit.Result; got != strconv.Itoa(42+i) {
			t.Errorf("run %d: %s", i, got)
		}
	}
	if o := x.Code(t, "raise SystemExit"); o.Exit.Code != 0 {
		t.Errorf("an exit: %+v", o.Exit)
	}
	if native.HasAgent(x.Sandbox) {
		t.Error("there is an agent")
	}
}

func TestDirect_BoundLate(t *testing.T) {
	spec := python("bound")
	spec.Env = []string{"COLOR=green"}
	x := sandboxtest.NewBox(t, late(t), spec)
	id := x.Begin(t, sandbox.Exec{Code: "import os\nprint(os.environ['COLOR'], os.environ['MORE'], os.getcwd())", Env: []string{"MORE=more"}, Dir: "/tmp"})
	if o := x.Await(t, id); string(o.Stdout) != "green more /tmp\n" {
		t.Errorf("got %q, %q", o.Stdout, o.Stderr)
	}
	if native.HasAgent(x.Sandbox) {
		t.Error("there is an agent")
	}
}

func TestDirect_OutputLimit(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("limit"))
	o := x.Await(t, x.Begin(t, sandbox.Exec{Code: "import sys\nprint('a' * 99)\n_ = sys.stderr.write('b' * 50)", OutputLimit: 120}))
	if len(o.Stdout) != 100 || len(o.Stderr) != 20 || o.Exit.Dropped != 30 {
		t.Errorf("got %d and %d bytes, %d dropped", len(o.Stdout), len(o.Stderr), o.Exit.Dropped)
	}
}

func TestDirect_StartedOnce(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("once"))
	x.Code(t, "n = 0")
	once := sandbox.Exec{ID: "once", Code: "n += 1", OutputLimit: 1 << 10}
	for range 2 {
		if err := x.Start(t.Context(), once); err != nil {
			t.Fatal(err)
		}
		if frames, err := x.Follow(t.Context(), x.After, time.Millisecond); err != nil {
			t.Fatal(err)
		} else if len(frames) > 0 {
			x.After = frames[len(frames)-1].Seq
		}
	}
	if states, err := x.Executions(t.Context()); err != nil || len(states) > 0 || native.HasAgent(x.Sandbox) {
		t.Errorf("it goes on: %v, %v", states, err)
	}
	x.Shell(t, "true") // from here on it is the agent who knows
	if err := x.Start(t.Context(), once); err != nil {
		t.Fatal(err)
	}
	if got := x.Code(t, "n").Exit.Result; got != "1" {
		t.Errorf("it ran %s times", got)
	}
}

// What a kernel cannot be asked, or says that is more than a plain end, brings the
// agent, which goes on where the daemon was: nothing is lost of state and output.
func TestDirect_AgentWhenNeeded(t *testing.T) {
	b := late(t)
	for name, c := range map[string]struct {
		exec   sandbox.Exec
		stdout string
		code   int
	}{
		"a command":             {sandbox.Exec{Argv: []string{"echo", "hi"}}, "hi\n", 0},
		"code that fails":       {sandbox.Exec{Code: "print('before')\n1 / 0"}, "before\n", 1},
		"an exit status":        {sandbox.Exec{Code: "print('before')\nexit(3)"}, "before\n", 3},
		"code that takes long":  {sandbox.Exec{Code: "import time\nprint('one')\ntime.sleep(0.3)\nprint('two')"}, "one\ntwo\n", 0},
		"code that is silent":   {sandbox.Exec{Code: "import time\ntime.sleep(0.3)\nprint('two')"}, "two\n", 0},
		"code that computes":    {sandbox.Exec{Code: "sum(range(9_000_000))"}, "40499995500000\n", 0},
		"much output":           {sandbox.Exec{Code: "for i in range(30000): print(i)"}, numbers(30000), 0},
		"a long line":           {sandbox.Exec{Code: "print('x' * 200_000)"}, strings.Repeat("x", 200_000) + "\n", 0},
		"a long result":         {sandbox.Exec{Code: "'y' * 9000"}, "'" + strings.Repeat("y", 9000) + "'\n", 0},
		"a picture":             {sandbox.Exec{Code: "class P:\n    def _repr_html_(self): return '<b>'\n    def __repr__(self): return 'P'\nP()"}, "P\n", 0},
		"long code":             {sandbox.Exec{Code: "#" + strings.Repeat("z", 300_000) + "\nprint('done')"}, "done\n", 0},
		"input":                 {sandbox.Exec{Code: "print(1)", Stdin: true}, "1\n", 0},
		"a tight limit of time": {sandbox.Exec{Code: "print(1)", CPU: 500 * time.Millisecond}, "1\n", 0},
		"a thread that stays":   {sandbox.Exec{Code: "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint(1)"}, "1\n", 0},
		"a process that stays":  {sandbox.Exec{Code: "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\nprint(1)"}, "1\n", 0},
		"a task that stays":     {sandbox.Exec{Code: "import asyncio\nasync def later(): await asyncio.sleep(60)\ntask = asyncio.create_task(later())\nawait asyncio.sleep(0)\nprint(1)"}, "1\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := sandboxtest.NewBox(t, b, python("needed"))
			x.Code(t, "kept = 7\nprint('first')")
			if native.HasAgent(x.Sandbox) {
				t.Error("there is an agent already")
			}
			o := x.Await(t, x.Begin(t, c.exec))
			if string(o.Stdout) != c.stdout || o.Exit.Code != c.code || o.Exit.StateLost || o.Exit.Cause != "" {
				t.Errorf("got %.200q, %.300q, %+v", o.Stdout, o.Stderr, o.Exit)
			}
			if got := x.Code(t, "kept").Exit.Result; got != "7" {
				t.Errorf("the state afterwards: %q", got)
			}
			awaitAgent(t, x.Sandbox)
		})
	}
}

func numbers(n int) string {
	var all strings.Builder
	for i := range n {
		fmt.Fprintln(&all, i)
	}
	return all.String()
}

// awaitAgent waits until there is one.
func awaitAgent(t *testing.T, x sandbox.Sandbox) {
	t.Helper()
	await(t, "an agent", func() bool { return native.HasAgent(x) })
}

// await waits until something is so.
func await(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !isSo(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("there is not %s", what)
		}
	}
}

// A display is told in its place, with what was heard before.
func TestDirect_Display(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("display"))
	id := x.Begin(t, sandbox.Exec{Code: "class P:\n    def _repr_html_(self): return '<b>'\ndisplay(P())"})
	frames, err := x.Follow(t.Context(), 0, 10*time.Second)
	if err != nil || len(frames) == 0 || frames[0].Exec != id || frames[0].Stream != sandbox.Display || string(frames[0].Data) != "<b>" {
		t.Errorf("got %+v, %v", frames, err)
	}
}

func TestDirect_Deadline(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("deadline"))
	x.Code(t, "kept = 7")
	for _, code := range []string{"while True: pass", "import time\ntime.sleep(60)"} {
		began := time.Now()
		o := x.Await(t, x.Begin(t, sandbox.Exec{Code: code, Deadline: sandboxtest.Boottime() + 10*time.Millisecond}))
		if o.Exit.Cause != sandbox.CauseWallTimeout || o.Exit.StateLost || o.Exit.Duration > time.Since(began) {
			t.Errorf("got %+v", o.Exit)
		}
	}
	if got := x.Code(t, "kept").Exit.Result; got != "7" {
		t.Errorf("the state afterwards: %q", got)
	}
}

func TestDirect_KernelEnds(t *testing.T) {
	b := late(t)
	for name, code := range map[string]string{
		"in a run":     "print('last')\nimport os, sys\nsys.stdout.flush()\nos._exit(3)",
		"by a signal":  "print('last')\nimport os, sys\nsys.stdout.flush()\nos.kill(os.getpid(), 9)",
		"between runs": "print('last')\nimport os, signal\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(3))\n_ = signal.setitimer(signal.ITIMER_REAL, 0.05)",
	} {
		t.Run(name, func(t *testing.T) {
			x := sandboxtest.NewBox(t, b, python("ends"))
			x.Code(t, "gone = 7")
			o := x.Await(t, x.Begin(t, sandbox.Exec{Code: code}))
			if name == "between runs" {
				await(t, "the end of the kernel", func() bool { return native.KernelHasEnded(x.Sandbox) })
				o = x.Code(t, "'fresh'")
			} else if string(o.Stdout) != "last\n" || o.Exit.Cause != sandbox.CauseCrashed {
				t.Errorf("got %q, %+v", o.Stdout, o.Exit)
			}
			if !o.Exit.StateLost || o.Exit.Evidence == "" {
				t.Errorf("got %+v", o.Exit)
			}
			if o := x.Code(t, "gone"); o.Exit.Failure == nil || o.Exit.Failure.Name != "NameError" {
				t.Errorf("got %+v", o.Exit)
			}
		})
	}
}

// What a tenant says on the control channel in the kernel's name is its own loss.
func TestDirect_KernelLies(t *testing.T) {
	b := late(t)
	const say = "import os\ndef say(*words):\n    fd = max(int(n) for n in os.listdir('/proc/self/fd'))\n" +
		"    for fd in sorted((int(n) for n in os.listdir('/proc/self/fd')), reverse=True):\n" +
		"        try:\n            if os.readlink('/proc/self/fd/%d' % fd).startswith('socket'): break\n        except OSError: pass\n" +
		"    for w in words:\n        os.write(fd, len(w).to_bytes(4, 'big') + w if isinstance(w, bytes) else bytes(w))\n"
	for name, lie := range map[string]string{
		"the end of another run":  `say(b'{"done":{"id":"999","ok":true,"interrupted":false}}')`,
		"its own end, twice":      `say(b'{"done":{"id":"2","ok":true,"interrupted":false}}', b'{"done":{"id":"2","ok":true,"interrupted":false}}')`,
		"that it is ready":        `say(b'{"ready":{"version":"1"}}')`,
		"nonsense":                `say(b'nonsense')`,
		"a size beyond all":       `say([255, 255, 255, 255])`,
		"a part of a frame":       `say([0, 0, 1, 0, 65])`,
		"more than anybody reads": `say(b'x' * 100000)`,
	} {
		t.Run(name, func(t *testing.T) {
			x := sandboxtest.NewBox(t, b, python("lies"))
			x.Code(t, say)
			said := sandbox.Exec{Code: lie, Deadline: sandboxtest.Boottime() + 2*time.Second}
			x.Await(t, x.Begin(t, said)) // whatever it says of itself
			if got := x.Shell(t, "echo lives"); string(got.Stdout) != "lives\n" {
				t.Errorf("afterwards a command says %q, %q", got.Stdout, got.Stderr)
			}
			for range 3 { // answers may be a tenant's, and late, but there are some
				x.Await(t, x.Begin(t, sandbox.Exec{Code: "1 + 1", Deadline: sandboxtest.Boottime() + 2*time.Second}))
			}
		})
	}
}

// What a run has left is not what a later one fails of.
func TestDirect_FullDisk(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("full"))
	o := x.Code(t, "try:\n    with open('/work/all', 'wb') as f:\n        for _ in range(600): f.write(bytes(1 << 20))\nexcept OSError: print('full')")
	if string(o.Stdout) != "full\n" || o.Exit.Code != 0 {
		t.Errorf("got %q, %q, %+v", o.Stdout, o.Stderr, o.Exit)
	}
	if o := x.Code(t, "1 / 0"); o.Exit.Cause != "" {
		t.Errorf("an error of its own is blamed on %s: %s", o.Exit.Cause, o.Exit.Evidence)
	}
}

// Who has no descriptor left is told so, and loses nothing.
func TestDirect_NoDescriptorLeft(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("descriptors"))
	x.Code(t, "kept = 7")
	if _, err := x.Follow(t.Context(), x.After, time.Millisecond); err != nil { // which gives back what the run held
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	var errs []error
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	for id, e := range map[sandbox.ExecID]sandbox.Exec{"code": {Code: "kept"}, "command": {Argv: []string{"true"}}} {
		e.ID = id
		errs = append(errs, x.Start(t.Context(), e))
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if sandbox.KindOf(err) != sandbox.Exhausted {
			t.Errorf("got %v", err)
		}
	}
	if got := x.Code(t, "kept").Exit; got.Result != "7" || got.StateLost {
		t.Errorf("afterwards: %+v", got)
	}
}

// What is printed between two runs is neither's.
func TestDirect_BetweenRuns(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("between"))
	x.Code(t, "import signal\ndef tell(*a): print('nobody asked')\n_ = signal.signal(signal.SIGALRM, tell)\n_ = signal.setitimer(signal.ITIMER_REAL, 0.05)")
	await(t, "output that nobody asked for", func() bool { return native.HasPrinted(x.Sandbox) })
	if o := x.Code(t, "print('asked')"); string(o.Stdout) != "asked\n" {
		t.Errorf("got %q", o.Stdout)
	}
	awaitAgent(t, x.Sandbox)
}

// Files and signals wait for what goes on, and come to the right one.
func TestDirect_SideBySide(t *testing.T) {
	x := sandboxtest.NewBox(t, late(t), python("beside"))
	id := x.Begin(t, sandbox.Exec{Code: "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('interrupted')"})
	if err := x.Signal(t.Context(), id, sandbox.Interrupt); err != nil {
		t.Fatal(err)
	}
	if o := x.Await(t, id); string(o.Stdout) != "interrupted\n" || o.Exit.Code != 0 {
		t.Errorf("got %q, %+v", o.Stdout, o.Exit)
	}
}

// A daemon that ends leaves to the next what nobody has taken yet.
func TestDirect_LeftToTheNext(t *testing.T) {
	old, opts := heirOf(t)
	x := create(t, old)
	if err := x.Start(t.Context(), sandbox.Exec{ID: "first", Code: "kept = 7\nprint('first')", OutputLimit: 1 << 10}); err != nil {
		t.Fatal(err)
	}
	if _, cursor, _ := frames(t, x, 0, "first"); cursor != 2 {
		t.Errorf("the cursor is %d", cursor)
	}
	if err := x.Start(t.Context(), sandbox.Exec{ID: "untold", Code: "print('untold')", OutputLimit: 1 << 10}); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	y := adopted(t, opts)
	states, err := y.Executions(t.Context())
	if err != nil || len(states) != 1 || states[0] != (sandbox.ExecState{ID: "untold"}) {
		t.Errorf("got %+v, %v", states, err)
	}
	if text, cursor, exit := frames(t, y, 2, "untold"); text != "untold\n" || exit.Code != 0 || cursor != 4 {
		t.Errorf("got %q, %d, %+v", text, cursor, exit)
	}
	if err := y.Start(t.Context(), sandbox.Exec{ID: "more", Code: "print(kept)", OutputLimit: 1 << 10}); err != nil {
		t.Fatal(err)
	}
	if text, cursor, exit := frames(t, y, 4, "more"); text != "7\n" || exit.StateLost || cursor != 6 {
		t.Errorf("got %q, %d, %+v", text, cursor, exit)
	}
}

// One that is killed leaves kernels of which nobody knows what they were asked. They
// keep their state, unless they are busy with it for good.
func TestDirect_KilledDaemon(t *testing.T) {
	for name, c := range map[string]struct {
		code, want string
		lost       bool
	}{
		"between runs": {"", "7", false},
		"in a run":     {"kept = 8\nprint('nobody hears it')", "8", false},
		"that ended":   {"import os\nos._exit(0)", "", true},
		"for good":     {"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			old, opts := heirOf(t)
			x := create(t, old)
			if err := x.Start(t.Context(), sandbox.Exec{ID: "first", Code: "kept = 7\nprint('first')", OutputLimit: 1 << 10}); err != nil {
				t.Fatal(err)
			}
			_, cursor, _ := frames(t, x, 0, "first")
			if c.code != "" {
				if err := native.SendAndForget(t.Context(), x, c.code); err != nil {
					t.Fatal(err)
				}
				if name == "that ended" {
					await(t, "the end of the kernel", func() bool { return native.KernelHasEnded(x) })
				}
			}
			if err := native.Abandon(x); err != nil {
				t.Fatal(err)
			}
			y := adopted(t, opts)
			again := y.Start(t.Context(), sandbox.Exec{ID: "nobody knows", Code: "kept = 9", OutputLimit: 1 << 10, Again: true})
			if e, ok := errors.AsType[*sandbox.Error](again); !ok || e.Kind != sandbox.NotFound || e.Cause != sandbox.CauseAgentLost || e.Remedy == "" {
				t.Errorf("what may have been run: %v", again)
			}
			command := sandbox.Exec{ID: "command", Argv: []string{"echo", "begun"}, OutputLimit: 1 << 10, Again: true} // which an agent would know
			if err := y.Start(t.Context(), command); err != nil {
				t.Error(err)
			}
			text, cursor, _ := frames(t, y, cursor, "command")
			if text != "begun\n" {
				t.Errorf("a command that was not begun says %q", text)
			}
			if err := y.Start(t.Context(), sandbox.Exec{ID: "more", Code: "kept", OutputLimit: 1 << 10}); err != nil {
				t.Fatal(err)
			}
			_, _, exit := frames(t, y, cursor, "more")
			if exit.Result != c.want || exit.StateLost != c.lost {
				t.Errorf("got %+v", exit)
			}
		})
	}
}

// heirOf opens a backend whose sandboxes are left to another.
func heirOf(t *testing.T) (*native.Backend, native.Options) {
	t.Helper()
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir(), ZygoteForks: 100, AllowUnenforced: ordinary()}
	b, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.WithoutCancel(t.Context())) }) // the test may have
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	if !b.Capabilities().Survives {
		sandboxtest.Skip(t, "sandboxes do not outlive their daemon here")
	}
	native.AwaitZygotes(t.Context(), b)
	return b, opts
}

func create(t *testing.T, b *native.Backend) sandbox.Sandbox {
	t.Helper()
	x, err := b.Create(t.Context(), "sb-left", spec())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Destroy(context.WithoutCancel(t.Context())) }) // what its daemon holds of it
	if native.HasAgent(x) {
		sandboxtest.Skip(t, "each sandbox has an agent here")
	}
	return x
}

// adopted is the sandbox as the next daemon has it.
func adopted(t *testing.T, opts native.Options) sandbox.Sandbox {
	t.Helper()
	opts.Claimed = []sandbox.ID{"sb-left"}
	b, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Adopt(t.Context(), "sb-left")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := y.Destroy(ctx); err != nil {
			t.Error(err)
		}
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return y
}
