package sandboxtest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// patience bounds each wait of the suite. It is no figure: only a hang is
// longer.
const patience = time.Minute

// TestBackend checks that a backend keeps what [sandbox.Backend] and
// [sandbox.Sandbox] promise. open returns a backend that the test closes.
// Templates that cannot be used on this host are skipped, with the reason.
func TestBackend(t *testing.T, open func(t *testing.T) sandbox.Backend) {
	b := open(t)
	if err := b.Ready(); err != nil {
		Skip(t, "the backend cannot run here: %v", err)
	}
	if usual, ok := usable(b); ok { // what is the same for all templates
		t.Run("files", func(t *testing.T) { testFiles(t, b, usual) })
		t.Run("causes", func(t *testing.T) { testFates(t, b, usual, commandFates()) })
	}
	for _, status := range b.Capabilities().Templates {
		t.Run(status.Template.Name, func(t *testing.T) {
			if status.Err != nil {
				Skip(t, "the template cannot be used here: %v", status.Err)
			}
			testTemplate(t, b, status.Template)
			t.Run("causes", func(t *testing.T) { testCauses(t, b, status.Template) })
		})
	}
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// usable is the first template that can be used.
func usable(b sandbox.Backend) (sandbox.Template, bool) {
	for _, status := range b.Capabilities().Templates {
		if status.Err == nil {
			return status.Template, true
		}
	}
	return sandbox.Template{}, false
}

// testTemplate runs all that holds for every template, on sandboxes of one.
func testTemplate(t *testing.T, b sandbox.Backend, template sandbox.Template) {
	spec := sandbox.Spec{Session: "suite", Template: template, Flavor: sandbox.Flavors()[0]}
	testBoxes(t, b, spec, map[string]func(*testing.T, *Box){
		"a command's output and exit code":        commandResult,
		"a program that is not there is a result": commandNotFound,
		"bytes come exactly as they were written": exactBytes,
		"starting is idempotent":                  idempotent,
		"a command ends at its deadline":          commandDeadline,
		"signals":                                 signals,
		"stdin by offset":                         stdin,
		"what is not acknowledged is kept":        acknowledgement,
		"a full ring makes the program wait":      backpressure,
		"output beyond the limit is counted":      outputLimit,
		"what a command leaves behind is ended":   leftovers,
		"code keeps its state":                    codeState,
		"code that fails":                         codeFails,
		"an interrupted run keeps the state":      codeInterrupted,
		"a run that ignores it loses the state":   codeKilled,
		"the kernel runs one piece at a time":     codeBusy,
		"code and transfers see the same files":   filesAndCode,
		"a sandbox is gone after Destroy":         destroyed,
	})
}

// testBoxes runs tests beside each other, each on a sandbox of its own.
func testBoxes(t *testing.T, b sandbox.Backend, spec sandbox.Spec, tests map[string]func(*testing.T, *Box)) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, NewBox(t, b, spec))
		})
	}
}

// A Box is a sandbox under test, with a cursor.
type Box struct {
	sandbox.Sandbox
	After    uint64
	Language sandbox.Language
	execs    int
}

// NewBox makes a sandbox that is destroyed at the test's end.
func NewBox(t *testing.T, b sandbox.Backend, spec sandbox.Spec) *Box {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	id := sandbox.ID(fmt.Sprintf("sb-%x", time.Now().UnixNano()))
	box, err := b.Create(ctx, id, spec)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := box.Destroy(ctx); err != nil {
			t.Errorf("Destroy: %v", err)
		}
	})
	return &Box{Sandbox: box, Language: spec.Template.Language}
}

// An Outcome is what became of one execution.
type Outcome struct {
	Stdout, Stderr []byte
	Exit           sandbox.Exit
}

// Begin starts an execution under a new id, which it returns.
func (b *Box) Begin(t *testing.T, x sandbox.Exec) sandbox.ExecID {
	t.Helper()
	b.execs++
	x.ID = sandbox.ExecID(fmt.Sprintf("x%d", b.execs))
	if x.OutputLimit == 0 {
		x.OutputLimit = 64 << 20
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Start(ctx, x); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return x.ID
}

// Await follows until the execution has ended.
func (b *Box) Await(t *testing.T, id sandbox.ExecID) Outcome {
	t.Helper()
	var o Outcome
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		frames, err := b.Follow(t.Context(), b.After, time.Second)
		if err != nil {
			t.Fatalf("Follow: %v", err)
		}
		for _, f := range frames {
			b.After = f.Seq
			if f.Exec != id {
				continue
			}
			switch {
			case f.Exit != nil:
				o.Exit = *f.Exit
				return o
			case f.Stream == sandbox.Stdout:
				o.Stdout = append(o.Stdout, f.Data...)
			case f.Stream == sandbox.Stderr:
				o.Stderr = append(o.Stderr, f.Data...)
			}
		}
	}
	t.Fatalf("execution %s did not end; stdout %.200q, stderr %.200q", id, o.Stdout, o.Stderr)
	return o
}

// Shell runs a shell command to its end.
func (b *Box) Shell(t *testing.T, script string) Outcome {
	t.Helper()
	return b.Await(t, b.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", script}}))
}

// Code runs code to its end.
func (b *Box) Code(t *testing.T, code string) Outcome {
	t.Helper()
	return b.Await(t, b.Begin(t, sandbox.Exec{Code: code}))
}

func commandResult(t *testing.T, b *Box) {
	o := b.Shell(t, "echo out; echo err >&2; exit 3")
	if string(o.Stdout) != "out\n" || string(o.Stderr) != "err\n" || o.Exit.Code != 3 || o.Exit.Cause != "" {
		t.Errorf("got %q, %q, %+v", o.Stdout, o.Stderr, o.Exit)
	}
}

func commandNotFound(t *testing.T, b *Box) {
	o := b.Await(t, b.Begin(t, sandbox.Exec{Argv: []string{"no-such-program"}}))
	if o.Exit.Code != 127 || !strings.Contains(string(o.Stderr), "not found") {
		t.Errorf("got %q, %+v; want exit code 127 and a reason", o.Stderr, o.Exit)
	}
}

func exactBytes(t *testing.T, b *Box) {
	o := b.Shell(t, `printf '\000\377\n\r\303'; printf '\251' >&2; seq 1 20000`)
	var want bytes.Buffer
	want.WriteString("\x00\xff\n\r\xc3")
	for i := range 20000 {
		fmt.Fprintf(&want, "%d\n", i+1)
	}
	if !bytes.Equal(o.Stdout, want.Bytes()) || string(o.Stderr) != "\xa9" {
		t.Errorf("got %d bytes, want %d; stderr %q", len(o.Stdout), want.Len(), o.Stderr)
	}
}

func idempotent(t *testing.T, b *Box) {
	x := sandbox.Exec{ID: "once", Argv: []string{"sh", "-c", "echo ran >> /work/log; sleep 0.2"}, OutputLimit: 1 << 20}
	for range 3 {
		if err := b.Start(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	b.Await(t, x.ID)
	if o := b.Shell(t, "cat /work/log"); string(o.Stdout) != "ran\n" {
		t.Errorf("it ran more than once: %q", o.Stdout)
	}
}

func commandDeadline(t *testing.T, b *Box) {
	id := b.Begin(t, sandbox.Exec{Argv: []string{"sleep", "600"}, Deadline: Boottime() + 100*time.Millisecond})
	if o := b.Await(t, id); o.Exit.Cause != sandbox.CauseWallTimeout || o.Exit.Code == 0 {
		t.Errorf("got %+v, want cause wall_timeout", o.Exit)
	}
	id = b.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", "trap '' INT TERM; sleep 600 & wait; sleep 600"}, Deadline: Boottime() + 100*time.Millisecond})
	if o := b.Await(t, id); o.Exit.Cause != sandbox.CauseWallTimeout || o.Exit.Code != 128+9 {
		t.Errorf("one that ignores the interrupt: got %+v, want a kill", o.Exit)
	}
}

func signals(t *testing.T, b *Box) {
	for s, want := range map[sandbox.Signal]int{sandbox.Interrupt: 128 + 2, sandbox.Terminate: 128 + 15, sandbox.Kill: 128 + 9} {
		id := b.Begin(t, sandbox.Exec{Argv: []string{"sleep", "600"}})
		if err := b.Signal(t.Context(), id, s); err != nil {
			t.Fatal(err)
		}
		if o := b.Await(t, id); o.Exit.Code != want || o.Exit.Cause != sandbox.CauseKilled {
			t.Errorf("%s: got %+v, want code %d", s, o.Exit, want)
		}
	}
	if err := b.Signal(t.Context(), "unknown", sandbox.Kill); err != nil {
		t.Errorf("a signal to what is over: %v", err)
	}
}

func stdin(t *testing.T, b *Box) {
	id := b.Begin(t, sandbox.Exec{Argv: []string{"cat"}, Stdin: true})
	for _, piece := range []struct {
		offset uint64
		data   string
	}{{0, "hello "}, {3, "lo world\n"}, {0, "hello"}} { // pieces may come twice
		if n, err := b.WriteStdin(t.Context(), id, piece.offset, []byte(piece.data)); err != nil || n != len(piece.data) {
			t.Fatalf("WriteStdin(%d, %q) = %d, %v", piece.offset, piece.data, n, err)
		}
	}
	if _, err := b.WriteStdin(t.Context(), id, 0, nil); err != nil {
		t.Fatal(err)
	}
	if o := b.Await(t, id); string(o.Stdout) != "hello world\n" {
		t.Errorf("got %q", o.Stdout)
	}
}

func acknowledgement(t *testing.T, b *Box) {
	id := b.Begin(t, sandbox.Exec{Argv: []string{"echo", "kept"}})
	first := followAll(t, b, 0)
	second := followAll(t, b, 0)
	if len(first) == 0 || len(first) != len(second) {
		t.Fatalf("read %d frames, then %d", len(first), len(second))
	}
	states, err := b.Executions(t.Context())
	if err != nil || !slices.Contains(states, sandbox.ExecState{ID: id}) {
		t.Errorf("Executions = %v, %v; want the one that is not acknowledged", states, err)
	}
	last := first[len(first)-1].Seq
	if _, err := b.Follow(t.Context(), last, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if states, err := b.Executions(t.Context()); err != nil || len(states) != 0 {
		t.Errorf("Executions = %v, %v; want none after the acknowledgement", states, err)
	}
	b.After = last
}

// followAll reads from a cursor until an exit comes, acknowledging nothing.
func followAll(t *testing.T, b *Box, after uint64) []sandbox.Frame {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		frames, err := b.Follow(t.Context(), after, 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(frames); n > 0 && frames[n-1].Exit != nil {
			return frames
		}
	}
	t.Fatal("no exit came")
	return nil
}

func backpressure(t *testing.T, b *Box) {
	const size = 8 << 20 // more than any ring
	id := b.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", fmt.Sprintf("head -c %d /dev/zero; echo done > /work/done", size)}})
	if o := b.Shell2(t, id, "sleep 0.3; cat /work/done"); o.Exit.Code == 0 {
		t.Error("the program went on though nobody read")
	}
	if o := b.Await(t, id); len(o.Stdout) != size || o.Exit.Dropped != 0 {
		t.Errorf("got %d bytes, %d dropped; want all %d", len(o.Stdout), o.Exit.Dropped, size)
	}
}

// Shell2 runs a command whose own end is learnt without reading the output of
// another, which waits: it asks until it no longer runs.
func (b *Box) Shell2(t *testing.T, other sandbox.ExecID, script string) Outcome {
	t.Helper()
	id := b.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", script}})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		states, err := b.Executions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(states, sandbox.ExecState{ID: other, Running: true}) {
			return Outcome{} // it ended, though nobody read it
		}
		if slices.Contains(states, sandbox.ExecState{ID: id}) {
			return Outcome{Exit: sandbox.Exit{Code: -1}}
		}
	}
	t.Fatal("the command did not end")
	return Outcome{}
}

func outputLimit(t *testing.T, b *Box) {
	id := b.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", "head -c 50000000 /dev/zero; exit 4"}, OutputLimit: 1000})
	o := b.Await(t, id)
	if len(o.Stdout) != 1000 || o.Exit.Dropped != 50000000-1000 || o.Exit.Code != 4 {
		t.Errorf("kept %d, %+v", len(o.Stdout), o.Exit)
	}
}

func leftovers(t *testing.T, b *Box) {
	o := b.Shell(t, "setsid sleep 987 & (setsid sh -c 'trap \"\" TERM HUP; sleep 987' &) ; nohup sleep 987 >/dev/null 2>&1 & echo started")
	if string(o.Stdout) != "started\n" {
		t.Fatalf("got %q %q", o.Stdout, o.Stderr)
	}
	left := b.Shell(t, "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done | grep '[s]leep 987'")
	if len(left.Stdout) > 0 {
		t.Errorf("processes are left: %s", left.Stdout)
	}
}

func destroyed(t *testing.T, b *Box) {
	if err := b.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.Dead():
	case <-time.After(patience):
		t.Fatal("Dead is not closed")
	}
	if err := b.Start(t.Context(), sandbox.Exec{ID: "late", Argv: []string{"true"}}); sandbox.KindOf(err) != sandbox.Stopped {
		t.Errorf("Start after the end: %v", err)
	}
	if err := b.Destroy(t.Context()); err != nil {
		t.Errorf("a second Destroy: %v", err)
	}
}
