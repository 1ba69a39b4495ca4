package actors

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// Ledger is what is kept of the session.
func (s *Session) Ledger() *ledger.Ledger { return s.journal.ledger }

// Recorded returns the result of an execution as far as it is in the ledger.
// Kind NotFound when it is kept no longer, and what kept it from running.
func (s *Session) Recorded(id sandbox.ExecID) (sandbox.ExecResult, error) {
	return Recorded(s.journal.ledger, id, s.journal.opts.OutputLimit)
}

// Recorded returns the result of an execution as far as it is in a ledger, with
// so many bytes of its text at most.
func Recorded(l *ledger.Ledger, id sandbox.ExecID, limit int64) (sandbox.ExecResult, error) {
	record, err := l.Execution(id)
	if err != nil {
		return sandbox.ExecResult{Exec: id}, err
	}
	if record.Refused != nil {
		return sandbox.ExecResult{Exec: id}, record.Refused
	}
	r := sandbox.ExecResult{Exec: id, Status: record.Status, Cursor: record.Output.Total}
	if record.Exit != nil {
		r.Exit = *record.Exit
	}
	if r.Status == sandbox.ExecLost && record.Exit == nil {
		r.Exit = sandbox.Exit{Code: 128 + 9, Cause: sandbox.CauseAgentLost, Evidence: "its end was not recorded"}
	}
	if !record.Started.IsZero() {
		r.Waited = record.Started.Sub(record.Queued)
	}
	var text transcript
	for from := int64(0); from < min(record.Output.Total, limit); {
		page, err := l.Output(id, sandbox.OutputQuery{From: from, Max: int(min(limit-from, sandbox.MaxOutput))})
		if err != nil {
			return r, err
		}
		for _, chunk := range page.Chunks {
			text.write(chunk.Stream, chunk.Data, limit)
		}
		if page.Next == from {
			break
		}
		from = page.Next
	}
	r.Stdout, r.Stderr = text.of(sandbox.Stdout), text.of(sandbox.Stderr)
	r.Omitted = record.Output.Total - int64(len(text.data))
	r.Rich, err = l.Rich(id)
	return r, err
}

// Await waits as the query says and returns the record as it is then. The end of
// ctx is an error; that of the wait is none.
func (s *Session) Await(ctx context.Context, id sandbox.ExecID, q sandbox.WaitQuery) (sandbox.Execution, error) {
	timer := time.NewTimer(q.Wait)
	defer timer.Stop()
	for {
		change := s.journal.change(id)
		record, err := s.journal.ledger.Execution(id)
		if err != nil || record.Status.Over() || q.After >= 0 && record.Output.Total > q.After || change == nil {
			return record, err
		}
		select {
		case <-change:
		case <-timer.C:
			return record, nil
		case <-ctx.Done():
			return record, Refusal("wait", s.name, context.Cause(ctx))
		}
	}
}

// change is closed when there is something new of an execution; nil when it is
// finished.
func (j *journal) change(id sandbox.ExecID) <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, x := range j.executions {
		if x.id != id {
			continue
		}
		if x.wake == nil {
			x.wake = make(chan struct{})
		}
		return x.wake
	}
	return nil
}

// Signal sends a signal to an execution. One that waits will not run, and one
// that is over is no error.
func (s *Session) Signal(ctx context.Context, id sandbox.ExecID, signal sandbox.Signal) error {
	answer, err := Ask[*target](ctx, s.sys, s.pid, s.journal.over, &interrupting{id})
	if err != nil {
		return s.refusal("signal", err)
	}
	if answer.of == nil {
		return nil
	}
	box, err := s.handed(ctx, "signal", answer.of)
	if err != nil || box == nil {
		return err
	}
	return box.Signal(ctx, id, signal)
}

// WriteStdin writes to the stdin of an execution what fits now. Kind Invalid when
// it takes none.
func (s *Session) WriteStdin(ctx context.Context, id sandbox.ExecID, offset uint64, data []byte) (int, error) {
	x := s.journal.find(id)
	if x == nil || !x.exec.Stdin {
		return 0, &sandbox.Error{
			Op: "stdin", ID: string(id), Kind: sandbox.Invalid, Detail: "this execution takes no input: it has ended, or was started without stdin",
			Remedy: "start a command with stdin, and write while it runs",
		}
	}
	box, err := s.handed(ctx, "stdin", x)
	if err != nil || box == nil {
		return 0, err
	}
	return box.WriteStdin(ctx, id, offset, data)
}

// Transfer begins an operation on the files of the session's sandbox.
func (s *Session) Transfer(ctx context.Context, r sandbox.FileRequest) (sandbox.Transfer, error) {
	box := s.journal.sandbox()
	if box == nil {
		return nil, &sandbox.Error{
			Op: "transfer", ID: s.name, Kind: sandbox.Stopped, Cause: sandbox.CauseAgentLost,
			Detail: "the session has lost its sandbox, and is getting another", Remedy: "try again in a moment",
		}
	}
	return box.Transfer(ctx, r)
}

// handed waits until the sandbox has an execution, and returns it; nil when the
// execution is over.
func (s *Session) handed(ctx context.Context, op string, x *execution) (sandbox.Sandbox, error) {
	select {
	case <-x.handed:
		return s.journal.sandbox(), nil
	case <-x.done:
		return nil, nil //nolint:nilnil // there is nothing to do
	case <-ctx.Done():
		return nil, Refusal(op, s.name, context.Cause(ctx))
	}
}

// SubscribeExecution returns a cursor for the events of one execution, behind the
// event of that number in the session's log. It ends behind its last event.
func (s *Session) SubscribeExecution(ctx context.Context, id sandbox.ExecID, after uint64) (sandbox.Subscription, error) {
	run, ok := s.journal.ledger.Look(id)
	if !ok {
		_, err := s.journal.ledger.Execution(id)
		return nil, err
	}
	after = max(after, run.After)
	if after == 0 { // which would be the oldest event of all; there is none before it
		after = 1
	}
	all, err := s.Subscribe(ctx, after)
	if err != nil {
		return nil, err
	}
	return &single{all: all, session: s, id: id, after: after}, nil
}

// A single is a subscription to one execution.
type single struct {
	all     sandbox.Subscription
	session *Session
	id      sandbox.ExecID
	after   uint64 // the last number that was seen
	over    bool
}

// Next implements [sandbox.Subscription].
func (r *single) Next(ctx context.Context) ([]sandbox.Event, error) {
	for !r.over {
		events, err := r.next(ctx)
		if err != nil {
			return nil, err
		}
		for i := range events {
			r.after = events[i].Seq
			r.over = r.over || events[i].Exec == r.id && events[i].Type == sandbox.ExecutionFinished
		}
		events = slices.DeleteFunc(slices.Clone(events), func(e sandbox.Event) bool { return e.Exec != r.id && e.Type != sandbox.Gap })
		if len(events) > 0 {
			return events, nil
		}
	}
	return nil, io.EOF
}

// next waits for events, and for the end of an execution that has no event of
// its end: one that never ran, or whose last event was seen before.
func (r *single) next(ctx context.Context) ([]sandbox.Event, error) {
	change := r.session.journal.done(r.id)
	if change == nil {
		run, ok := r.session.journal.ledger.Look(r.id)
		if !ok || run.Last <= r.after {
			return nil, io.EOF
		}
		return r.all.Next(ctx)
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	defer close(done)
	go func() { // ends with this call
		select {
		case <-change:
			stop()
		case <-done:
		}
	}()
	events, err := r.all.Next(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		return nil, nil // it has ended; what there is of that is read next
	}
	return events, err
}

// done is closed when an execution is finished; nil when it is already.
func (j *journal) done(id sandbox.ExecID) <-chan struct{} {
	if x := j.find(id); x != nil {
		return x.done
	}
	return nil
}

// History reads what a ledger of a session that has ended still has of an
// execution, or of all with an empty id, after the event of a number.
func History(l *ledger.Ledger, id sandbox.ExecID, after uint64) sandbox.Subscription {
	return &history{ledger: l, id: id, next: after + 1}
}

type history struct {
	ledger *ledger.Ledger
	id     sandbox.ExecID
	next   uint64
}

// Next implements [sandbox.Subscription].
func (h *history) Next(ctx context.Context) ([]sandbox.Event, error) {
	for ctx.Err() == nil {
		events, err := h.ledger.Events(h.next, batch, recallBytes)
		switch {
		case err != nil:
			return nil, err
		case len(events) == 0:
			return nil, io.EOF
		}
		h.next = events[len(events)-1].Seq + 1
		events = slices.DeleteFunc(events, func(e sandbox.Event) bool { return h.id != "" && e.Exec != h.id })
		if len(events) > 0 {
			return events, nil
		}
	}
	return nil, context.Cause(ctx)
}
