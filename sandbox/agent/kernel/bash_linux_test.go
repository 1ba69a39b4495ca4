package kernel_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

func TestBash_Cells(t *testing.T) {
	tests := map[string][]cell{
		"output and status": {
			{code: "echo hello; echo oops >&2", stdout: "hello\n", stderr: "oops\n", exits: true},
			{code: "false", exits: true, exit: 1},
			{code: "(exit 7)", exits: true, exit: 7},
			{code: "", exits: true, noStderr: true},
		},
		"state between cells": {
			{code: "x=1; declare -A m=([a]=b); f() { echo \"f $1 $x ${m[a]}\"; }; cd /tmp; export E=env", noStderr: true},
			{code: "f 2; pwd; sh -c 'echo $E'", stdout: "f 2 1 b\n/tmp\nenv\n"},
		},
		"the lines of errors are those of the cell": {
			{code: "echo a\nnosuchcommand\necho b", stdout: "a\nb\n", stderr: "bash: line 2: nosuchcommand: command not found"},
			{code: "echo $LINENO\necho $LINENO", stdout: "1\n2\n"},
			{code: "if true; then", fails: true, stderr: "syntax error"},
			{code: "echo alive", stdout: "alive\n", noStderr: true},
		},
		"exit ends its cell and keeps the state": {
			{code: "declare -r fixed=1; x=$'two\\nlines'; a=(1 '2 3'); shopt -s extglob\nf() { case $1 in @(a|b)) echo match;; esac; }; set -- p q; set -o pipefail", noStderr: true},
			{code: "cd /usr; g() { local hidden=1; echo before; exit 3; echo after; }; g", stdout: "before\n", exits: true, exit: 3, noStderr: true},
			{code: "echo \"$x|${a[1]}|$PWD|$1 $2|$fixed|$0\"; f b; g() { :; }", stdout: "two\nlines|2 3|/usr|p q|1|bash\nmatch\n", noStderr: true},
			{code: "false | true", exits: true, exit: 1},
			{code: "false; exit", exits: true, exit: 1},
			{code: "true; exit 300", exits: true, exit: 300 & 255},
			{code: "for i in 1 2 3; do exit $i; done", exits: true, exit: 1},
		},
		"set -e stays and ends cells, not the kernel": {
			{code: "set -euo pipefail; v=kept"},
			{code: "echo one; false; echo two", stdout: "one\n", exits: true, exit: 1, noStderr: true},
			{code: "echo $v $-", exits: true, not: "two", stdout: "kept ehuBc\n"},
			{code: "echo $undefined", stderr: "undefined: unbound variable", exits: true, exit: 1},
			{code: "set +eu; false; echo on", stdout: "on\n"},
		},
		"set -x shows the user's commands alone": {
			{code: "set -x"},
			{code: "echo a", stderr: "echo a", not: "sandwarden_"},
			{code: "exit 2", exits: true, exit: 2, not: "sandwarden_"},
			{code: "set +x", not: "sandwarden_"},
			{code: "echo b", noStderr: true},
		},
		"loops of the kernel are not the user's": {
			{code: "break"},
			{code: "continue"},
			{code: "break 5; echo never"},
			{code: "continue 9"},
			{code: "for i in 1 2 3; do [ $i = 2 ] && break; echo $i; done", stdout: "1\n"},
			{code: "return 4 2>/dev/null; echo on", stdout: "on\n"},
		},
		"traps on EXIT run when the cell exits": {
			{code: "trap 'echo bye $?; exit 9' EXIT; trap -p INT >/dev/null"},
			{code: "echo still; ( trap 'echo sub' EXIT ); ( exit 2 )", stdout: "still\nsub\n", exits: true, exit: 2},
			{code: "exit 5", stdout: "bye 5\n", exits: true, exit: 9},
			{code: "exit 6", exits: true, exit: 6, not: "bye"},
			{code: "trap 'echo never' EXIT; trap - EXIT; trap 'echo never' 0; trap EXIT; exit 0", exits: true, not: "never"},
		},
		"bytes and characters": {
			{code: "echo 'grün ✓ 𝄞'; printf '\\xff\\x00\\xfe'", stdout: "grün ✓ 𝄞\n\xff\x00\xfe"},
			{code: "x=ß; echo ${#x}", stdout: "1\n"},
			{code: "IFS=:; x=a:b; set -- $x; echo $2", stdout: "b\n"},
			{code: "echo \"[$IFS]\"", stdout: "[:]\n"},
		},
		"children do not have the control channel": {
			{code: `for f in /proc/self/fd/*; do [ -S "$f" ] && echo "$f"; done; /bin/sh -c 'for f in /proc/self/fd/*; do [ -S "$f" ] && echo "child $f"; done; true'`, not: "child"},
			{code: "exec 3>/dev/null; echo x >&3; exit 0", exits: true},
			{code: "cat <<< here; read -r line; echo \"$?\"", stdout: "here\n1\n"},
		},
		"a failed exec": {
			{code: "exec /nosuch", stderr: "No such file", exits: true, exit: 127},
			{code: "sleep 60 & echo $?", stdout: "0\n"},
			{code: "echo alive", stdout: "alive\n"},
		},
		"output of many lines": {
			{code: "for ((i=0;i<3000;i++)); do echo $i; done", not: "sandwarden"},
		},
	}
	for name, cells := range tests {
		t.Run(name, func(t *testing.T) { check(t, start(t, sandbox.Bash), cells) })
	}
}

func TestBash_InterruptKeepsState(t *testing.T) {
	p := start(t, sandbox.Bash)
	for _, code := range []string{
		"n=1; echo begun; sleep 60; echo after",
		"n=2; echo begun; while :; do :; done",
		"n=3; echo begun; f() { while :; do sleep 0.01; done; }; f",
	} {
		p.begin(code)
		p.out[0].until(t, "begun\n")
		p.interrupt()
		o := p.end()
		if o.OK || !o.Interrupted || *o.Exit != 130 || o.stdout != "begun\n" {
			t.Fatalf("%s\ngave %s", code, o)
		}
		if got := p.run("echo $n").stdout; got != code[2:3]+"\n" {
			t.Fatalf("n is %q after %s", got, code)
		}
	}
	p.interrupt()
	time.Sleep(50 * time.Millisecond) // it is on its way, and not for the next cell
	if o := p.run("echo alive $n"); o.stdout != "alive 3\n" || !o.OK {
		t.Fatalf("after an interrupt between cells: %s", o)
	}
}

func TestBash_LargeCell(t *testing.T) {
	p := start(t, sandbox.Bash)
	text := strings.Repeat("0123456789abcdeß", 1<<16)
	if o := p.run("x='" + text + "'; echo ${#x}"); o.stdout != "1048576\n" {
		t.Fatalf("a cell of 1.1 MB gave %.200s", o)
	}
	if o := p.run("exit 1"); *o.Exit != 1 {
		t.Fatalf("exit gave %s", o)
	}
	if o := p.run("echo ${#x}"); o.stdout != "1048576\n" {
		t.Fatalf("after exit, the length is %s", o)
	}
}

func TestBash_EndsWithItsAgent(t *testing.T) {
	p := start(t, sandbox.Bash)
	p.run("true")
	p.control.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the kernel ended with %v", err)
	}
}
