package sandboxtest

import (
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// An AgentKiller is a sandbox under test whose agent can be ended from outside,
// as no caller may.
type AgentKiller interface {
	KillAgent() error
}

// tight is a flavor whose limits are reached soon.
func tight() sandbox.Flavor {
	return sandbox.Flavor{Name: "tight", CPUs: 1, MemoryMB: 256, Pids: 64, DiskMB: 8, Inodes: 1024}
}

// A fate is an execution that is to end for a cause.
type fate struct {
	exec  sandbox.Exec
	wall  time.Duration  // until its deadline; 0 is none
	sent  sandbox.Signal // once it runs
	needs string         // limit that must be enforced here
	want  sandbox.Cause
	lost  bool // the kernel's state, with it
}

// testCauses checks for each cause that an agent or its backend tells: it is
// named, with what was seen, and the sandbox goes on.
func testCauses(t *testing.T, b sandbox.Backend, template sandbox.Template) {
	spec := sandbox.Spec{Session: "causes", Template: template, Flavor: tight()}
	testFates(t, b, template, codeFatesIn(template.Language))
	t.Run("a full disk is blamed for what it did alone", func(t *testing.T) {
		needs(t, b, "disk")
		diskBlamedOnce(t, NewBox(t, b, spec))
	})
	t.Run("an agent that ended takes the sandbox along", func(t *testing.T) { agentLost(t, NewBox(t, b, spec)) })
}

// needs skips a test of a limit that the backend does not enforce here; "" is
// none.
func needs(t *testing.T, b sandbox.Backend, limit string) {
	t.Helper()
	if limit != "" && !slices.Contains(b.Capabilities().Enforced, limit) {
		t.Skipf("the limit of %s is not enforced here", limit)
	}
}

// testFates runs what is to end for a cause, each in a sandbox of its own.
func testFates(t *testing.T, b sandbox.Backend, template sandbox.Template, fates map[string]fate) {
	t.Helper()
	for name, f := range fates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needs(t, b, f.needs)
			endsFor(t, NewBox(t, b, sandbox.Spec{Session: "fates", Template: template, Flavor: tight()}), f)
		})
	}
}

// codeFatesIn are those of code that can be said in the language.
func codeFatesIn(l sandbox.Language) map[string]fate {
	all := codeFates(causesOf(l), linesOf(l))
	maps.DeleteFunc(all, func(_ string, f fate) bool { return f.exec.Code == "" })
	return all
}

func commandFates() map[string]fate {
	shell := func(script string) sandbox.Exec { return sandbox.Exec{Argv: []string{"sh", "-c", script}} }
	burn := func(script string) sandbox.Exec {
		return sandbox.Exec{Argv: []string{"sh", "-c", script}, CPU: 300 * time.Millisecond}
	}
	const spin = "while :; do :; done"
	const brief = `sh -c 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done'`
	return map[string]fate{
		"wall_timeout, interrupted":        {exec: shell("sleep 600"), wall: 100 * time.Millisecond, want: sandbox.CauseWallTimeout},
		"wall_timeout, killed":             {exec: shell("trap '' INT; " + spin), wall: 100 * time.Millisecond, want: sandbox.CauseWallTimeout},
		"cpu_timeout, one process":         {exec: burn(spin), want: sandbox.CauseCPUTimeout},
		"cpu_timeout, many processes":      {exec: burn("for i in 1 2 3 4; do (" + spin + ") & done; wait"), want: sandbox.CauseCPUTimeout},
		"cpu_timeout, one after the other": {exec: burn("while :; do " + brief + "; done"), want: sandbox.CauseCPUTimeout},
		"cpu_timeout, in other sessions":   {exec: burn("for i in 1 2; do setsid sh -c '" + spin + "' & done; wait"), want: sandbox.CauseCPUTimeout},
		"cpu_timeout, killed":              {exec: burn("trap '' INT; " + spin), want: sandbox.CauseCPUTimeout},
		"disk, bytes in /work":             {exec: shell("head -c 64M /dev/zero > /work/full"), needs: "disk", want: sandbox.CauseDisk},
		"disk, bytes in /tmp":              {exec: shell("head -c 64M /dev/zero > /tmp/full"), needs: "disk", want: sandbox.CauseDisk},
		"disk, files":                      {exec: shell("cd /tmp; seq 1 2000 | xargs touch"), needs: "disk", want: sandbox.CauseDisk},
		"disk, without a word of it":       {exec: shell("head -c 64M /dev/zero > /work/full 2> /dev/null"), needs: "disk", want: sandbox.CauseDisk},
		"pids":                             {exec: shell("while :; do sleep 600 & done"), needs: "pids", want: sandbox.CausePids},
		"pids, a fork bomb":                {exec: shell("b() { b | b; }; b"), needs: "pids", want: sandbox.CausePids},
		"oom":                              {exec: shell("tail /dev/zero"), needs: "memory", want: sandbox.CauseOOM},
		"seccomp":                          {exec: sandbox.Exec{Argv: []string{"python3", "-c", pythonForbidden()}}, want: sandbox.CauseSeccomp},
		"seccomp, a child":                 {exec: sandbox.Exec{Argv: []string{"sh", "-c", `python3 -c "$0"`, pythonForbidden()}}, want: sandbox.CauseSeccomp},
		"killed_by_user":                   {exec: shell("sleep 600"), sent: sandbox.Terminate, want: sandbox.CauseKilled},
	}
}

func codeFates(c causes, l lines) map[string]fate {
	const soon = 300 * time.Millisecond
	code := func(text string) sandbox.Exec { return sandbox.Exec{Code: text} }
	burn := func(text string) sandbox.Exec { return sandbox.Exec{Code: text, CPU: soon} }
	return map[string]fate{
		"wall_timeout, interrupted": {exec: code(l.sleep), wall: soon, want: sandbox.CauseWallTimeout},
		"wall_timeout, killed":      {exec: code(l.ignore), wall: soon, want: sandbox.CauseWallTimeout, lost: true},
		"cpu_timeout, interrupted":  {exec: burn(c.spin), want: sandbox.CauseCPUTimeout},
		"cpu_timeout, by children":  {exec: burn(c.spawn), want: sandbox.CauseCPUTimeout},
		"cpu_timeout, killed":       {exec: burn(l.ignore), want: sandbox.CauseCPUTimeout, lost: true},
		"disk":                      {exec: code(c.fill), needs: "disk", want: sandbox.CauseDisk},
		"disk, a page of a file":    {exec: code(c.touch), needs: "disk", want: sandbox.CauseDisk, lost: true},
		"pids":                      {exec: code(c.fork), needs: "pids", want: sandbox.CausePids},
		"pids, threads":             {exec: code(c.threads), needs: "pids", want: sandbox.CausePids},
		"oom":                       {exec: code(c.eat), needs: "memory", want: sandbox.CauseOOM, lost: true},
		"seccomp":                   {exec: code(c.forbidden), want: sandbox.CauseSeccomp, lost: true},
		"crashed, an exit":          {exec: code(c.exit), want: sandbox.CauseCrashed, lost: true},
		"crashed, a signal":         {exec: code(c.crash), want: sandbox.CauseCrashed, lost: true},
		"killed_by_user":            {exec: code(l.sleep), sent: sandbox.Kill, want: sandbox.CauseKilled, lost: true},
	}
}

// endsFor runs an execution to its end, and then the next one.
func endsFor(t *testing.T, b *Box, f fate) {
	l := linesOf(b.Language)
	b.Code(t, l.set)
	if f.wall > 0 {
		f.exec.Deadline = Boottime() + f.wall
	}
	id := b.Begin(t, f.exec)
	if f.sent != "" {
		if err := b.Signal(t.Context(), id, f.sent); err != nil {
			t.Fatal(err)
		}
	}
	o := b.Await(t, id)
	t.Logf("evidence: %s", o.Exit.Evidence)
	if o.Exit.Cause != f.want || o.Exit.Evidence == "" || o.Exit.Code == 0 || o.Exit.StateLost != f.lost {
		t.Errorf("got %+v, %.300q; want cause %s with evidence, the state lost: %v", o.Exit, o.Stderr, f.want, f.lost)
	}
	again := l.show
	if f.lost {
		again = l.set + l.show
	}
	if o := b.Code(t, again); string(o.Stdout) != l.want || o.Exit.Code != 0 {
		t.Errorf("afterwards, code: %q %q %+v", o.Stdout, o.Stderr, o.Exit)
	}
	if o := b.Shell(t, "echo usable"); string(o.Stdout) != "usable\n" {
		t.Errorf("afterwards, a command: %q %q %+v", o.Stdout, o.Stderr, o.Exit)
	}
}

// diskBlamedOnce checks that failures which are not the full disk's are told as
// what they are.
func diskBlamedOnce(t *testing.T, b *Box) {
	fail := linesOf(b.Language).fail
	full := b.Shell(t, "head -c 64M /dev/zero > /work/full")
	other := b.Code(t, fail)
	again := b.Shell(t, "head -c 1 /dev/zero > /work/more")
	b.Shell(t, "rm /work/full")
	later := b.Shell(t, "echo 'No space left on device' >&2; exit 1")
	for what, is := range map[string]struct{ got, want sandbox.Cause }{
		"it filled the disk":              {full.Exit.Cause, sandbox.CauseDisk},
		"it failed for another reason":    {other.Exit.Cause, sandbox.CauseNone},
		"it met the full disk":            {again.Exit.Cause, sandbox.CauseDisk},
		"it failed when there was room":   {later.Exit.Cause, sandbox.CauseNone},
		"it filled the disk and ended so": {b.Shell(t, "head -c 64M /dev/zero > /work/full || true").Exit.Cause, sandbox.CauseNone},
	} {
		if is.got != is.want {
			t.Errorf("%s: cause %q, want %q", what, is.got, is.want)
		}
	}
}

func agentLost(t *testing.T, b *Box) {
	killer, ok := b.Sandbox.(AgentKiller)
	if !ok {
		t.Skip("the agent of this backend cannot be ended from outside")
	}
	b.Begin(t, sandbox.Exec{Argv: []string{"sleep", "600"}})
	if err := killer.KillAgent(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.Dead():
	case <-time.After(patience):
		t.Fatal("its death was not noticed")
	}
	if d := b.Death(); d.Cause != sandbox.CauseAgentLost || d.Evidence == "" {
		t.Errorf("died of %+v, want agent_lost with evidence", d)
	}
	if _, err := b.Follow(t.Context(), b.After, time.Second); sandbox.KindOf(err) != sandbox.Stopped {
		t.Errorf("Follow: %v, want stopped", err)
	}
}

// causes are programs that end for a cause, in one language; empty where the
// language has none.
type causes struct {
	spin, spawn, fill, touch, fork, threads, eat, forbidden, exit, crash string
}

func causesOf(l sandbox.Language) causes {
	switch l {
	case sandbox.Node:
		return causes{
			spin:      "for (;;) {}",
			spawn:     "require('child_process').execSync('while :; do :; done')",
			fill:      "{ const fs = require('fs'), f = fs.openSync('/work/full', 'w'); for (;;) fs.writeSync(f, Buffer.alloc(1 << 20)) }",
			fork:      "for (;;) { const c = require('child_process').spawn('sleep', ['600']); c.on('error', () => {}); if (!c.pid) throw new Error('no more') }",
			eat:       "{ const held = []; for (;;) held.push(Buffer.alloc(16 << 20, 1)) }",
			forbidden: "process.kill(process.pid, 'SIGSYS'); for (;;) {}",
			crash:     "process.abort()",
		}
	case sandbox.Bash:
		return causes{
			spin:      "while :; do :; done",
			spawn:     "for i in 1 2 3; do sh -c 'while :; do :; done' & done; wait",
			fill:      "head -c 64M /dev/zero > /work/full",
			eat:       "x=x; while :; do x=$x$x; done",
			forbidden: "exec python3 -c '" + pythonForbidden() + "'",
			exit:      "exec sh -c 'exit 3'",
			crash:     "kill -KILL $$",
		}
	case sandbox.Python:
	}
	return causes{
		spin:  "while True: pass",
		spawn: "import subprocess\nps = [subprocess.Popen(['sh', '-c', 'while :; do :; done']) for _ in range(3)]\nfor p in ps: p.wait()",
		fill:  "with open('/work/full', 'wb') as f:\n    while True: f.write(b'x' * (1 << 20))",
		touch: "import mmap\nf = open('/work/sparse', 'wb+')\nf.truncate(64 << 20)\nm = mmap.mmap(f.fileno(), 64 << 20)\nfor i in range(0, 64 << 20, 4096): m[i] = 1",
		fork:  "import os\nwhile os.system('setsid sleep 600 &') == 0: pass\nraise OSError('no more')",
		threads: `
import threading
over = threading.Event()
ts = []
try:
    while True:
        ts.append(threading.Thread(target=over.wait))
        ts[-1].start()
finally:
    over.set()
    for t in ts[:-1]: t.join()`,
		eat:       "x = bytearray(400 << 20)\nx[::4096] = b'1' * len(x[::4096])",
		forbidden: pythonForbidden(),
		exit:      "import os; os._exit(3)",
		crash:     "import ctypes; ctypes.string_at(0)",
	}
}

// pythonForbidden makes a call by the convention of another architecture, which
// filters kill for, where there is such a convention.
func pythonForbidden() string {
	if runtime.GOARCH != "amd64" {
		return "import os, signal; os.kill(os.getpid(), signal.SIGSYS)"
	}
	return `
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=7)
_ = code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3") # mov eax, 20 (getpid); int 0x80; ret
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()`
}
