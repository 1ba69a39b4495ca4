//go:build linux

package native_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// control finds the interpreter's control channel, which its driver hides, and
// makes frames for it.
const control = `
import base64, json, os, socket, struct, time
def target(fd):
    try:
        return os.readlink("/proc/self/fd/%d" % fd)
    except OSError:
        return ""
channel = next(fd for fd in range(3, 4096) if target(fd).startswith("socket:"))
def frame(message):
    body = json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body
def send(data):
    while data:
        data = data[os.write(channel, data):]
`

// Whoever speaks on the control channel in the driver's place harms nobody but
// itself: its run ends, and the next one works.
func TestForgedControl(t *testing.T) {
	for name, attack := range map[string]string{
		"a flood of others' ends": `w = frame({"done": {"id": "nobody", "ok": True}}) * 500
while True: send(w)`,
		"a frame too large":       `send(struct.pack(">I", 1 << 31) + b"x"); time.sleep(600)`,
		"half a frame":            `send(struct.pack(">I", 1 << 20) + b"{"); time.sleep(600)`,
		"deep nesting":            `send(struct.pack(">I", 1 << 20) + b"[" * (1 << 20)); time.sleep(600)`,
		"a display too large":     `send(frame({"display": {"mime": "image/png", "data": base64.b64encode(b"x" * 700000).decode()}})); time.sleep(600)`,
		"the channel closed":      `os.close(channel); time.sleep(600)`,
		"the channel shut":        `socket.socket(fileno=channel).shutdown(2); time.sleep(600)`,
		"an early end":            `send(frame({"done": {"id": "1", "ok": True}})); os.kill(os.getpid(), 19)`,
		"descriptors passed over": `socket.send_fds(socket.socket(fileno=os.dup(channel)), [frame({"done": {"id": "nobody", "ok": True}})], [0] * 200); os._exit(3)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := small(t, sandbox.Templates()[0])
			id := x.Begin(t, sandbox.Exec{Code: control + attack})
			if !endsBy(t, x, id, 3*time.Second) {
				if err := x.Signal(t.Context(), id, sandbox.Kill); err != nil {
					t.Fatalf("the agent does not answer: %v", err)
				}
				x.Await(t, id)
			}
			again := x.Begin(t, sandbox.Exec{Code: "print('usable')"})
			if !endsBy(t, x, again, 3*time.Second) { // the interpreter stands still; ending it must be possible
				if err := x.Signal(t.Context(), again, sandbox.Kill); err != nil {
					t.Fatal(err)
				}
				x.Await(t, again)
			}
			if o := x.Code(t, "print('usable')"); string(o.Stdout) != "usable\n" {
				t.Errorf("afterwards: %q %q %+v", o.Stdout, o.Stderr, o.Exit)
			}
		})
	}
}

// endsBy reports whether an execution ends within a while.
func endsBy(t *testing.T, x *sandboxtest.Box, id sandbox.ExecID, wait time.Duration) bool {
	t.Helper()
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); {
		frames, err := x.Follow(t.Context(), x.After, 100*time.Millisecond)
		if err != nil {
			t.Fatalf("the agent is gone: %v; %+v", err, x.Death())
		}
		for _, f := range frames {
			x.After = f.Seq
			if f.Exec == id && f.Exit != nil {
				return true
			}
		}
	}
	return false
}

// Processes that fork and end faster than they can be listed still end with
// their execution.
func TestNoProcessOutlivesItsExecution(t *testing.T) {
	if ordinary() {
		t.Skip("without control groups a program can take its mark off")
	}
	x := small(t, sandbox.Templates()[0])
	id := x.Begin(t, sandbox.Exec{Argv: []string{"/usr/bin/python3", "-c", `
import os
for i in range(5):
    if os.fork() == 0:
        os.setsid()
        while True:
            try:
                if os.fork(): os._exit(0)
            except OSError: pass
while True: pass`}})
	endsBy(t, x, id, time.Second)
	if err := x.Signal(t.Context(), id, sandbox.Kill); err != nil {
		t.Fatal(err)
	}
	x.Await(t, id)
	o := x.Shell(t, "cat /proc/[0-9]*/comm | grep -c python")
	if got := strings.TrimSpace(string(o.Stdout)); got != "0" {
		t.Errorf("%s processes are left", got)
	}
}

// A flood of signals does not make PID 1 miss the end of a child.
func TestSignalFlood(t *testing.T) {
	x := small(t, sandbox.Templates()[0])
	flood := x.Begin(t, sandbox.Exec{Argv: []string{"/usr/bin/python3", "-c", `
import os
while True:
    for s in range(1, 65):
        try: os.kill(1, s)
        except OSError: pass`}})
	for range 50 {
		x.Shell(t, "true")
	}
	if err := x.Signal(t.Context(), flood, sandbox.Kill); err != nil {
		t.Fatal(err)
	}
	x.Await(t, flood)
}

// Memory that is not a process's own counts too.
func TestHiddenMemoryCounts(t *testing.T) {
	if ordinary() {
		t.Skip("nobody counts memory")
	}
	for name, attack := range map[string]string{
		"unix sockets": `
import os, socket, time
for i in range(8):
    if os.fork() == 0:
        held = []
        while True:
            try:
                a, b = socket.socketpair()
                a.setblocking(False)
                held.append((a, b))
                while True: a.send(b"x" * 65536)
            except BlockingIOError: pass
            except OSError: time.sleep(600)
if os.wait()[1]: raise MemoryError`,
		"shared memory of System V": `
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for i in range(100):
    at = libc.shmat(libc.shmget(0, 50 << 20, 0o1600), None, 0)
    ctypes.memset(at, 1, 50 << 20)
    libc.shmdt(ctypes.c_void_p(at))`,
		"anonymous files": `
import os
while True:
    fd = os.memfd_create("x")
    for i in range(50): os.write(fd, b"x" * (1 << 20))`,
	} {
		t.Run(name, func(t *testing.T) {
			x := small(t, sandbox.Templates()[0])
			if o := x.Code(t, attack); o.Exit.Cause != sandbox.CauseOOM {
				t.Errorf("got %+v %s, want out of memory", o.Exit, o.Stderr)
			}
		})
	}
}

// A signal that claims to come from the kernel does not reach the agent, which
// would believe it.
func TestForgedFaults(t *testing.T) {
	x := small(t, sandbox.Templates()[0])
	o := x.Code(t, `
import ctypes, fcntl, os, signal, socket
libc = ctypes.CDLL(None, use_errno=True)
for s in (4, 5, 7, 8, 11, 16, 31):
    libc.sigqueue(1, s, 0)
info = (ctypes.c_int * 32)(11, 0, -1)
libc.syscall(424, os.pidfd_open(1), 11, info, 0)
a, b = socket.socketpair()
try:
    fcntl.fcntl(a, fcntl.F_SETOWN, 1)
    fcntl.fcntl(a, 10, 11)
except OSError as e:
    print("refused", e.errno)
fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
_ = b.send(b"x")
`)
	if o.Exit.Code != 0 || strings.TrimSpace(string(o.Stdout)) != "refused 1" {
		t.Errorf("got %q %q %+v", o.Stdout, o.Stderr, o.Exit)
	}
	if o := x.Shell(t, "echo alive"); string(o.Stdout) != "alive\n" {
		t.Errorf("the agent does not answer: %+v %+v", o, x.Death())
	}
}

// Buffers of connections within the sandbox are bounded, though they are not
// memory of a process.
func TestSocketBuffersAreBounded(t *testing.T) {
	x := small(t, sandbox.Templates()[0])
	o := x.Code(t, `
import socket
server = socket.create_server(("127.0.0.1", 0), backlog=4096)
held, pairs = 0, []
try:
    for _ in range(1500):
        c = socket.create_connection(server.getsockname(), timeout=1)
        pairs += [c, server.accept()[0]]
        c.setblocking(False)
        try:
            while True:
                held += c.send(b"x" * 65536)
        except BlockingIOError:
            pass
except OSError as e:
    print(e)
print(held >> 20)
`)
	lines := strings.Fields(string(o.Stdout))
	if len(lines) == 0 {
		t.Fatalf("got %q %+v", o.Stderr, o.Exit)
	}
	held, err := strconv.Atoi(lines[len(lines)-1])
	if err != nil || held > 400 {
		t.Errorf("connections held %d MiB, %v; %s", held, err, o.Stdout)
	}
}

// What a thread prints between runs is bounded, and the run after has all of
// its own.
func TestOutputBetweenRuns(t *testing.T) {
	x := small(t, sandbox.Templates()[0])
	x.Code(t, "import os, threading\nstop = False\ndef flood():\n    while not stop: os.write(1, b'x' * 65536)\nthreading.Thread(target=flood, daemon=True).start()")
	id := x.Begin(t, sandbox.Exec{Argv: []string{"sleep", "0.5"}})
	bytes := 0
	for ended := false; !ended; {
		frames, err := x.Follow(t.Context(), x.After, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			x.After = f.Seq
			if f.Exec == "" {
				bytes += len(f.Data)
			}
			ended = ended || f.Exec == id && f.Exit != nil
		}
	}
	if bytes > 64<<10 {
		t.Errorf("%d bytes came between runs", bytes)
	}
}
