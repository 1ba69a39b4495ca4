package sandboxtest

import (
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// lines are the same small programs in each language.
type lines struct{ set, show, want, fail, failure, sleep, ignore string }

func linesOf(l sandbox.Language) lines {
	switch l {
	case sandbox.Node:
		return lines{
			set: "const seven = 7\nfunction twice(x) {\n  return x * 2\n}\n", show: "console.log(twice(seven))", want: "14\n",
			fail: "null.field", failure: "TypeError", sleep: "await new Promise(r => setTimeout(r, 600000))",
			ignore: "process.on('SIGINT', () => {}); for (;;) { try { for (;;) {} } catch {} }",
		}
	case sandbox.Bash:
		return lines{
			set: "seven=7\ntwice() {\n  echo $(($1 * 2))\n}\n", show: "twice $seven", want: "14\n",
			fail: "false", sleep: "sleep 600", ignore: "trap '' INT; while :; do :; done",
		}
	case sandbox.Python:
	}
	return lines{
		set: "seven = 7\ndef twice(x):\n\n    return x * 2\n", show: "print(twice(seven))", want: "14\n",
		fail: "1 / 0", failure: "ZeroDivisionError", sleep: "import time; time.sleep(600)",
		ignore: "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
	}
}

func codeState(t *testing.T, b *Box) {
	l := linesOf(b.Language)
	if o := b.Code(t, l.set); o.Exit.Code != 0 {
		t.Fatalf("%+v %s", o.Exit, o.Stderr)
	}
	if o := b.Code(t, l.show); string(o.Stdout) != l.want || o.Exit.Code != 0 {
		t.Errorf("got %q %q, %+v; want %q", o.Stdout, o.Stderr, o.Exit, l.want)
	}
}

func codeFails(t *testing.T, b *Box) {
	l := linesOf(b.Language)
	o := b.Code(t, l.fail)
	if o.Exit.Code != 1 || o.Exit.Cause != "" || o.Exit.StateLost {
		t.Errorf("got %+v, want exit code 1 alone", o.Exit)
	}
	if l.failure != "" && (o.Exit.Failure == nil || o.Exit.Failure.Name != l.failure || !strings.Contains(string(o.Stderr), l.failure)) {
		t.Errorf("got %+v and %q, want %s", o.Exit.Failure, o.Stderr, l.failure)
	}
}

func codeInterrupted(t *testing.T, b *Box) {
	l := linesOf(b.Language)
	b.Code(t, l.set)
	o := b.Await(t, b.Begin(t, sandbox.Exec{Code: l.sleep, Deadline: Boottime() + 300*time.Millisecond}))
	if o.Exit.Cause != sandbox.CauseWallTimeout || o.Exit.StateLost {
		t.Errorf("got %+v, want wall_timeout with the state kept", o.Exit)
	}
	if o := b.Code(t, l.show); string(o.Stdout) != l.want {
		t.Errorf("afterwards: got %q %q, want %q", o.Stdout, o.Stderr, l.want)
	}
}

func codeKilled(t *testing.T, b *Box) {
	l := linesOf(b.Language)
	b.Code(t, l.set)
	o := b.Await(t, b.Begin(t, sandbox.Exec{Code: l.ignore, Deadline: Boottime() + 300*time.Millisecond}))
	if o.Exit.Cause != sandbox.CauseWallTimeout || !o.Exit.StateLost {
		t.Errorf("got %+v, want wall_timeout with the state lost", o.Exit)
	}
	if o := b.Code(t, l.set+l.show); string(o.Stdout) != l.want {
		t.Errorf("afterwards: got %q %q, want a fresh kernel", o.Stdout, o.Stderr)
	}
}

func codeBusy(t *testing.T, b *Box) {
	l := linesOf(b.Language)
	b.Code(t, l.set)
	id := b.Begin(t, sandbox.Exec{Code: l.sleep})
	err := b.Start(t.Context(), sandbox.Exec{ID: "second", Code: l.show, OutputLimit: 1000})
	if sandbox.KindOf(err) != sandbox.Exhausted {
		t.Errorf("a second piece of code: %v, want exhausted", err)
	}
	if err := b.Signal(t.Context(), id, sandbox.Kill); err != nil {
		t.Fatal(err)
	}
	if o := b.Await(t, id); !o.Exit.StateLost {
		t.Errorf("a killed kernel: %+v", o.Exit)
	}
}
