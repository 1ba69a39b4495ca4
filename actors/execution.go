package actors

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A phase is how far an execution has come.
type phase int

// The phases, in order. An execution may go from queued to finished at once.
const (
	queued   phase = iota // accepted; not yet with the sandbox
	running               // begun; Start may still be on its way
	exited                // its exit is known, and all its output is here
	finished              // told to everybody
)

// A handover is how far the call of Start has come.
type handover int

// The handovers.
const (
	notCalled handover = iota
	calling
	returned
)

// An execution is what is known of one run of code or of a command. It is kept
// until it is finished; then only its caller holds it. Its address is its
// token. What is below the line is guarded by the journal's mutex.
type execution struct {
	id       sandbox.ExecID
	exec     sandbox.Exec // without its deadline
	key      string       // idempotency key; empty mostly
	digest   []byte       // of what was asked for with the key
	detached bool         // it goes on when nobody waits for it
	timeout  time.Duration
	queued   time.Time
	handed   chan struct{} // closed when Start has returned
	done     chan struct{} // closed by the journal when the phase becomes finished

	// ----
	phase    phase
	begun    time.Time
	deadline time.Duration // by the clock of Options
	start    handover
	startErr error
	canceled bool // nobody wants it any more
	signaled bool // somebody asked for a signal
	exit     sandbox.Exit
	err      error // why there is no exit: it never ran
	stdout   joiner
	stderr   joiner
	noted    int64 // bytes of text that were noted
	spent    int64 // bytes of the ledger for it
	cut      bool  // no more text is kept
	dropped  int64 // bytes that were not
	richSize int64
	// What is in the ledger, as far as an answer may hold it.
	output    transcript
	omitted   int64 // bytes of text that are in the ledger alone
	total     int64 // bytes of text in the ledger
	rich      []sandbox.Rich
	richNoted int
	wake      chan struct{} // closed when more was written; nil when nobody waits
}

// digested is a digest of what an execution is to do.
func digested(x *sandbox.Exec) []byte {
	sum := sha256.New()
	for _, word := range append(append([]string{x.Code, x.Dir}, x.Argv...), x.Env...) {
		fmt.Fprintf(sum, "%d:%s", len(word), word) //nolint:errcheck // a digest takes all
	}
	return sum.Sum(nil)
}

// isCode tells whether it needs the kernel, which does one thing at a time.
func (x *execution) isCode() bool { return len(x.exec.Argv) == 0 }

// measured is what a meter is told of a finished execution, and nothing of what
// its sandbox says of times.
func (x *execution) measured(now time.Time) (kind sandbox.ExecKind, outcome string, took, waited time.Duration) {
	kind, outcome = sandbox.CommandExec, sandbox.OutcomeOK
	if x.isCode() {
		kind = sandbox.CodeExec
	}
	switch {
	case x.err != nil:
		return kind, sandbox.OutcomeNotRun, 0, now.Sub(x.queued)
	case x.exit.Cause != sandbox.CauseNone:
		outcome = string(x.exit.Cause)
	case x.exit.Code != 0 || x.exit.Failure != nil:
		outcome = sandbox.OutcomeFailed
	}
	return kind, outcome, now.Sub(x.begun), x.begun.Sub(x.queued)
}

// A transcript is the text that an execution wrote: its bytes, and where they
// change streams. Bytes once written stay, so readers need no copy.
type transcript struct {
	data  []byte
	spans []span
	full  bool // nothing more is kept, lest there be holes within
}

// A span is a piece of one stream, up to where it ends in the data.
type span struct {
	stream sandbox.Stream
	end    int
}

// maxSpans bounds the changes between streams that are kept: a program that
// writes single bytes to both in turn shall not cost twenty times its output.
const maxSpans = 1 << 17

// write keeps as much of data as the limit allows, in whole characters, and
// returns how much that was.
func (t *transcript) write(stream sandbox.Stream, data []byte, limit int64) int {
	last := len(t.spans) - 1
	fresh := last < 0 || t.spans[last].stream != stream
	t.full = t.full || fresh && len(t.spans) >= maxSpans
	if t.full {
		return 0
	}
	n := len(data)
	if room := max(0, limit-int64(len(t.data))); int64(n) > room {
		n = int(room)
		n -= incomplete(data[:n])
		t.full = true
	}
	if n == 0 {
		return 0
	}
	t.data = append(t.data, data[:n]...)
	if fresh {
		t.spans = append(t.spans, span{stream, len(t.data)})
	} else {
		t.spans[last].end = len(t.data)
	}
	return n
}

// A place is where a reader is in a transcript.
type place struct{ span, offset int }

// next returns the piece of one stream that follows p, or nothing.
func (t *transcript) next(p place) (sandbox.Stream, []byte, place) {
	for ; p.span < len(t.spans); p.span++ {
		if s := t.spans[p.span]; p.offset < s.end {
			return s.stream, t.data[p.offset:s.end:s.end], place{p.span, s.end}
		}
	}
	return "", nil, place{max(0, len(t.spans)-1), p.offset}
}

// of returns all that was written to one stream.
func (t *transcript) of(stream sandbox.Stream) []byte {
	var all []byte
	begin := 0
	for _, s := range t.spans {
		if s.stream == stream {
			all = append(all, t.data[begin:s.end]...)
		}
		begin = s.end
	}
	return all
}

// follow calls show with each piece of text in order until the execution is
// finished and all was shown, or ctx ends.
func (j *journal) follow(ctx context.Context, x *execution, show func(sandbox.Stream, []byte)) error {
	if show == nil { // nobody to wake for each piece
		select {
		case <-x.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for at := (place{}); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		stream, piece, next, wake := j.more(x, at)
		at = next
		switch {
		case len(piece) > 0:
			show(stream, piece)
			continue
		case wake == nil: // finished, and all is shown
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// more returns the next piece of text, or what to wait for; neither when the
// execution is finished and there is no more.
func (j *journal) more(x *execution, at place) (sandbox.Stream, []byte, place, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	stream, piece, next := x.output.next(at)
	if len(piece) > 0 || x.phase == finished {
		return stream, piece, next, nil
	}
	if x.wake == nil {
		x.wake = make(chan struct{})
	}
	return "", nil, next, x.wake
}

// result is what became of an execution, or what is there of it now.
func (j *journal) result(x *execution) (sandbox.ExecResult, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.err != nil {
		return sandbox.ExecResult{Exec: x.id}, x.err
	}
	r := sandbox.ExecResult{
		Exec:    x.id,
		Stdout:  x.output.of(sandbox.Stdout),
		Stderr:  x.output.of(sandbox.Stderr),
		Rich:    x.rich,
		Cursor:  x.total,
		Omitted: x.omitted,
		Status:  sandbox.ExecRunning,
	}
	if x.phase == queued {
		r.Status, r.Waited = sandbox.ExecQueued, time.Since(x.queued)
		return r, nil
	}
	if x.phase == finished {
		r.Exit, r.Status = x.exit, sandbox.StatusOf(&x.exit)
	}
	r.Waited = x.begun.Sub(x.queued)
	return r, nil
}

// stir wakes who follows the execution.
func (x *execution) stir() {
	if x.wake != nil {
		close(x.wake)
		x.wake = nil
	}
}
