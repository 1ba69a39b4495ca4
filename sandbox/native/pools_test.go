//go:build linux

package native_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// ready waits until a template has a ready sandbox.
func ready(t *testing.T, b *native.Backend, template string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if native.ReadySandboxes(b, template) > 0 {
			return
		}
	}
	t.Fatal("no sandbox gets ready")
}

// hello is code that tells a variable, the host's name and the working directory.
func hello(l sandbox.Language) string {
	switch l {
	case sandbox.Python:
		return "import os, socket; print(os.environ['GREETING'], socket.gethostname(), os.getcwd(), os.popen('echo $GREETING').read(), sep='|')"
	case sandbox.Node:
		return "console.log([process.env.GREETING, require('os').hostname(), process.cwd(), require('child_process').execSync('echo \"$GREETING\"').toString()].join('|'))"
	case sandbox.Bash:
		return `echo "$GREETING|$(hostname)|$PWD|$(sh -c 'echo "$GREETING"')"`
	}
	return ""
}

// What a session names is there in a sandbox that was ready before.
func TestReady_BoundLate(t *testing.T) {
	b := begin(t, warm)
	for _, status := range b.Capabilities().Templates {
		t.Run(status.Template.Name, func(t *testing.T) {
			if status.Err != nil {
				sandboxtest.Skip(t, "the template cannot be used here: %v", status.Err)
			}
			ready(t, b, status.Template.Name)
			taken := native.TakenReady(b)
			x := sandboxtest.NewBox(t, b, sandbox.Spec{
				Session: "a.name", Template: status.Template, Flavor: sandbox.Flavors()[2], Env: []string{"GREETING=it's $HOME", "EMPTY="},
			})
			if native.TakenReady(b) != taken+1 {
				t.Error("the sandbox was not a ready one")
			}
			id := x.Begin(t, sandbox.Exec{Code: hello(status.Template.Language), Dir: "/tmp"})
			if got, want := strings.TrimSpace(string(x.Await(t, id).Stdout)), "it's $HOME|a-name|/tmp|it's $HOME"; got != want {
				t.Errorf("code saw %q, want %q", got, want)
			}
			if status.Template.Language == sandbox.Python {
				if got := x.Code(t, forked).Exit.Result; got != "True" {
					t.Errorf("forked: %s", got)
				}
			}
			if got := string(x.Shell(t, "echo $GREETING; df -m /work /tmp | awk 'NR>1{print $2}'; df -i /work | awk 'NR>1{print $2}'; hostname").Stdout); got != "it's $HOME\n2048\n2048\n262144\na-name\n" {
				t.Errorf("a command saw %q", got)
			}
		})
	}
}

// The limits are those of the flavor that was asked for, not of the ready one.
func TestReady_Limits(t *testing.T) {
	b := begin(t, warm)
	ready(t, b, "python")
	spec := python("limits")
	spec.Flavor.MemoryMB, spec.Flavor.Pids, spec.Flavor.DiskMB = 64, 20, 16
	x := sandboxtest.NewBox(t, b, spec)
	if o := x.Code(t, "b = bytearray(100 << 20)"); o.Exit.Cause != sandbox.CauseOOM {
		t.Errorf("100 MiB of 64: %+v", o.Exit)
	}
	if o := x.Shell(t, "head -c 17M /dev/zero > /work/big; for i in $(seq 30); do sleep 0.2 & done 2>&1 | grep -c -i 'cannot fork\\|unavailable'"); o.Exit.Cause == sandbox.CauseNone && !strings.Contains(string(o.Stderr), "No space") {
		t.Errorf("17 MiB of 16: %+v %s", o.Exit, o.Stderr)
	}
}

// A variable that an interpreter reads only at its start has a new one started.
func TestReady_ReadAtStart(t *testing.T) {
	b := begin(t, warm)
	ready(t, b, "python")
	spec := python("cold")
	spec.Env = []string{"LC_ALL=C", "PYTHONPATH=/tmp"}
	x := sandboxtest.NewBox(t, b, spec)
	if got := x.Code(t, forked).Exit.Result; got != "False" {
		t.Errorf("forked: %s", got)
	}
	if got := x.Code(t, "import sys, os; ('/tmp' in sys.path, os.environ['LC_ALL'])").Exit.Result; got != "(True, 'C')" {
		t.Errorf("it saw %s", got)
	}
}

// A directory that is not there is the caller's fault, as with a new interpreter.
func TestReady_NoSuchDirectory(t *testing.T) {
	b := begin(t, warm)
	ready(t, b, "python")
	x := sandboxtest.NewBox(t, b, python("lost"))
	o := x.Await(t, x.Begin(t, sandbox.Exec{Code: "1", Dir: "/work/nowhere"}))
	if o.Exit.Code == 0 || !strings.Contains(o.Exit.Evidence, "could not be started") {
		t.Errorf("%+v", o.Exit)
	}
	if got := x.Code(t, "1 + 1").Exit.Result; got != "2" {
		t.Errorf("afterwards: %q", got)
	}
}

// Nothing of a session is left for the next.
func TestReady_NeverReused(t *testing.T) {
	b := begin(t, warm)
	seen := map[string]bool{}
	for range 4 {
		ready(t, b, "python")
		x, err := b.Create(t.Context(), sandbox.ID("sb-once"), python("once"))
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Start(t.Context(), sandbox.Exec{ID: "a", Code: "import os; print(os.getuid(), os.listdir('/work'), os.listdir('/tmp'), 'mine' in globals(), file=open('/work/file', 'w')); mine = 1; print(open('/work/file').read())", OutputLimit: 1000}); err != nil {
			t.Fatal(err)
		}
		text, _, _ := frames(t, x, 0, "a")
		if seen[text] || !strings.HasSuffix(strings.TrimSpace(text), "[] [] False") {
			t.Errorf("a session saw %q", text)
		}
		seen[text] = true
		if err := x.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A sandbox that was ready outlives its daemon like any other, with what its
// session named; those still ready do not.
func TestReady_Adopted(t *testing.T) {
	if ordinary() {
		t.Skip("its sandboxes do not outlive their daemon")
	}
	opts := native.Options{StateDir: t.TempDir(), RuntimeDir: t.TempDir()}
	warm(&opts)
	old, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	ready(t, old, "python")
	spec := python("heirloom")
	spec.Env = []string{"GREETING=hello"}
	x, err := old.Create(t.Context(), "sb-heirloom", spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := native.Abandon(x); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	opts.Claimed = []sandbox.ID{"sb-heirloom"}
	fresh, err := native.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := fresh.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	if ids, err := fresh.List(t.Context()); err != nil || len(ids) != 1 {
		t.Errorf("listed: %v, %v", ids, err)
	}
	heir, err := fresh.Adopt(t.Context(), "sb-heirloom")
	if err != nil {
		t.Fatal(err)
	}
	if err := heir.Start(t.Context(), sandbox.Exec{ID: "a", Code: hello(sandbox.Python), OutputLimit: 1000}); err != nil {
		t.Fatal(err)
	}
	if text, _, _ := frames(t, heir, 0, "a"); text != "hello|heirloom|/work|hello\n\n" {
		t.Errorf("it saw %q", text)
	}
	if err := heir.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := x.Destroy(t.Context()); err != nil { // what the old daemon holds of it
		t.Error(err)
	}
}
