package agent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
)

// patience bounds each wait of a conversation.
const patience = time.Minute

// A talk is a daemon's conversation with one agent: with a real one, which may
// be recorded, or with a recording.
type talk struct {
	*agent.Client
	after uint64 // the cursor
	heard map[sandbox.ExecID]*heard
}

// heard is what came of one execution.
type heard struct {
	stdout, stderr string
	exit           *sandbox.Exit
}

// listen reads on until enough has come of an execution.
func (c *talk) listen(t *testing.T, id sandbox.ExecID, enough func(*heard) bool) *heard {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if enough(c.of(id)) {
			return c.of(id)
		}
		frames, err := c.Follow(t.Context(), c.after, time.Second)
		if err != nil {
			t.Fatalf("Follow after %d: %v", c.after, err)
		}
		for _, f := range frames {
			c.after = f.Seq
			c.of(f.Exec).hear(f)
		}
	}
	t.Fatalf("not enough came of %s: %+v", id, c.of(id))
	return nil
}

// of is what came of an execution up to now.
func (c *talk) of(id sandbox.ExecID) *heard {
	if c.heard == nil {
		c.heard = make(map[sandbox.ExecID]*heard)
	}
	if c.heard[id] == nil {
		c.heard[id] = &heard{}
	}
	return c.heard[id]
}

func (h *heard) hear(f sandbox.Frame) {
	switch f.Stream {
	case sandbox.Stdout:
		h.stdout += string(f.Data)
	case sandbox.Stderr:
		h.stderr += string(f.Data)
	case sandbox.Display:
	}
	if f.Exit != nil {
		h.exit = f.Exit
	}
}

func ended(h *heard) bool { return h.exit != nil }

func (c *talk) begin(t *testing.T, x sandbox.Exec) {
	t.Helper()
	x.OutputLimit = 1 << 20
	if err := c.Start(t.Context(), x); err != nil {
		t.Fatalf("Start %s: %v", x.ID, err)
	}
}

// firstDaemon begins work, and goes away with some of it running and some of
// its output not acknowledged. It returns the cursor that it had acknowledged.
func firstDaemon(t *testing.T, c *talk) (acknowledged uint64) {
	t.Helper()
	shell := func(id sandbox.ExecID, script string) sandbox.Exec {
		return sandbox.Exec{ID: id, Argv: []string{"sh", "-c", script}}
	}
	c.begin(t, shell("command", "echo out; echo err >&2; exit 3"))
	first := c.listen(t, "command", ended)
	if first.stdout != "out\n" || first.stderr != "err\n" || first.exit.Code != 3 || first.exit.Cause != "" {
		t.Errorf("a command: %+v, %+v", first, first.exit)
	}

	c.begin(t, sandbox.Exec{ID: "code", Code: "print('kept')\n6 * 7"})
	before := c.after
	c.await(t, sandbox.ExecState{ID: "code"})
	for range 2 { // the second time as one that lost the answer
		c.after = before
		delete(c.heard, "code")
		if code := c.listen(t, "code", ended); code.stdout != "kept\n42\n" || code.exit.Result != "42" {
			t.Errorf("code: %+v, %+v", code, code.exit)
		}
	}

	busy(t, c)
	stdin(t, c, "stdin", 0, "hello ", "world\n")
	c.listen(t, "stdin", func(h *heard) bool { return strings.HasSuffix(h.stdout, "world\n") })
	acknowledged = c.after
	c.begin(t, shell("long", "echo begun; trap 'echo ended; exit 5' TERM; while :; do sleep 0.05; done"))
	c.begin(t, shell("unread", "echo unread; exit 4"))
	c.await(t, sandbox.ExecState{ID: "unread"})
	return acknowledged
}

// busy has the kernel refuse a second piece of code, and interrupts the first.
func busy(t *testing.T, c *talk) {
	t.Helper()
	c.begin(t, sandbox.Exec{ID: "sleep", Code: "print('asleep', flush=True)\nimport time; time.sleep(600)"})
	c.listen(t, "sleep", func(h *heard) bool { return h.stdout != "" })
	if err := c.Start(t.Context(), sandbox.Exec{ID: "second", Code: "1"}); sandbox.KindOf(err) != sandbox.Exhausted {
		t.Errorf("a second piece of code: %v, want exhausted", err)
	}
	if err := c.Signal(t.Context(), "sleep", sandbox.Interrupt); err != nil {
		t.Fatal(err)
	}
	if exit := c.listen(t, "sleep", ended).exit; exit.Cause != sandbox.CauseKilled || exit.Failure == nil || exit.StateLost {
		t.Errorf("interrupted: %+v", exit)
	}
}

// stdin writes pieces from an offset on, each twice: once to a new command, when
// the offset is 0.
func stdin(t *testing.T, c *talk, id sandbox.ExecID, offset uint64, pieces ...string) {
	t.Helper()
	if offset == 0 {
		c.begin(t, sandbox.Exec{ID: id, Argv: []string{"cat"}, Stdin: true})
	}
	for _, piece := range pieces {
		for range 2 {
			if n, err := c.WriteStdin(t.Context(), id, offset, []byte(piece)); err != nil || n != len(piece) {
				t.Fatalf("WriteStdin at %d: %d, %v", offset, n, err)
			}
		}
		offset += uint64(len(piece))
	}
}

// await asks until an execution is as wanted.
func (c *talk) await(t *testing.T, want sandbox.ExecState) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		states, err := c.Executions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(states, want) {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("%+v did not come", want)
}

// secondDaemon takes over what the first one left, and sees all of it to its
// end.
func secondDaemon(t *testing.T, c *talk) {
	t.Helper()
	states, err := c.Executions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []sandbox.ExecState{{ID: "long", Running: true}, {ID: "stdin", Running: true}, {ID: "unread"}} {
		if !slices.Contains(states, want) {
			t.Errorf("Executions = %v, want %v among them", states, want)
		}
	}
	c.begin(t, sandbox.Exec{ID: "unread", Argv: []string{"sh", "-c", "echo unread; exit 4"}}) // it runs once
	if h := c.listen(t, "unread", ended); h.stdout != "unread\n" || h.exit.Code != 4 {
		t.Errorf("what was not read: %+v, %+v", h, h.exit)
	}

	stdin(t, c, "stdin", uint64(len("hello world\n")), "again\n")
	if _, err := c.WriteStdin(t.Context(), "stdin", 0, nil); err != nil {
		t.Fatal(err)
	}
	if h := c.listen(t, "stdin", ended); h.stdout != "again\n" || h.exit.Code != 0 {
		t.Errorf("stdin: %+v, %+v", h, h.exit)
	}
	if err := c.Signal(t.Context(), "long", sandbox.Terminate); err != nil {
		t.Fatal(err)
	}
	if h := c.listen(t, "long", ended); h.stdout != "begun\nended\n" || h.exit.Code != 5 || h.exit.Cause != sandbox.CauseKilled {
		t.Errorf("a signal: %+v, %+v", h, h.exit)
	}
	if _, err := c.WriteStdin(t.Context(), "nobody", 0, []byte("x")); sandbox.KindOf(err) != sandbox.NotFound {
		t.Errorf("stdin of nobody: %v, want not found", err)
	}
	if _, err := c.Follow(t.Context(), c.after, time.Millisecond); err != nil { // the last acknowledgement
		t.Fatal(err)
	}
	if states, err := c.Executions(t.Context()); err != nil || len(states) != 0 {
		t.Errorf("Executions = %v, %v; want none at the end", states, err)
	}
}
