package mcp

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/plainjson"
	"github.com/sandwarden/sandwarden/transport/tail"
)

// settling bounds what is done for a call after its end.
const settling = 5 * time.Second

// grace is how long an interrupted run may take to end before it is killed.
const grace = 2 * time.Second

// run executes, and sees to work that outlives its call: what nobody waits for
// any more is stopped, unless it was meant to go on.
func (h *Handler) run(ctx context.Context, op *operation, request sandbox.ExecRequest) (sandbox.ExecResult, error) {
	if !op.detached {
		return h.sessions.Execute(ctx, request)
	}
	var id sandbox.ExecID
	request.Accepted = func(_ sandbox.Session, accepted sandbox.ExecID) { id = accepted }
	result, err := h.sessions.Execute(ctx, request)
	if err == nil || id == "" {
		return result, err
	}
	if leaving(err) { // the work goes on without the daemon, and there is nobody to ask for its output
		return sandbox.ExecResult{Exec: id, Session: result.Session, Created: result.Created, Status: sandbox.ExecRunning}, nil
	}
	if ctx.Err() == nil {
		return result, err
	}
	cause := context.Cause(ctx)
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
	defer cancel()
	switch {
	case errors.Is(cause, errShutdown): // the client is still there, and the work is as well
		if early, failed := h.sessions.Result(lasting, request.Owner, id); failed == nil {
			return early, nil
		}
	case errors.Is(cause, errCanceled), op.key == "":
		h.stopRun(lasting, request.Owner, id)
	}
	return result, err
}

// leaving reports whether an error says that the daemon goes away.
func leaving(err error) bool {
	e, ok := errors.AsType[*sandbox.Error](err)
	return ok && e.Kind == sandbox.Stopped && e.Cause == sandbox.CauseShutdown
}

// stopRun stops a run as the end of its call does: first it is interrupted.
func (h *Handler) stopRun(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) {
	err := h.sessions.Signal(ctx, owner, id, sandbox.Interrupt)
	if err == nil {
		var record sandbox.Execution
		record, err = h.sessions.Await(ctx, owner, id, sandbox.WaitQuery{After: -1, Wait: grace})
		if err == nil && !record.Status.Over() {
			err = h.sessions.Signal(ctx, owner, id, sandbox.Kill)
		}
	}
	if err != nil {
		h.options.Logger.WarnContext(ctx, "run of a canceled call not stopped", "err", err)
	}
}

// start begins a run in the background, and answers at once.
func (h *Handler) start(ctx context.Context, op *operation, request sandbox.ExecRequest) outcome {
	record, session, created, err := h.sessions.Start(ctx, request)
	if err != nil {
		return h.failed(ctx, op, err, h.named(*op).call())
	}
	if record.Status.Over() { // an idempotency key of before: it has its result
		result, err := h.sessions.Result(ctx, request.Owner, record.ID)
		result.Replayed = true
		return h.ran(ctx, op, result, err)
	}
	out := outcome{op: *op, began: true, result: sandbox.ExecResult{
		Exec: record.ID, Session: session, Created: created, Status: record.Status, Cursor: record.Output.Total,
	}}
	out.answer = &answer{
		text:  []byte("[started in the background as execution " + string(record.ID) + ". " + next(record.ID, record.Output.Total, h.openRules.maxWait) + "]"),
		facts: appendFacts([]byte{'{'}, &out),
	}
	return out
}

// stillRunning is the answer to a call whose run goes on: what it has put out,
// and how to go on with it.
func (h *Handler) stillRunning(ctx context.Context, out *outcome) *answer {
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
	defer cancel()
	r := &out.result
	v, err := tail.Ends(lasting, h.source(door.Principal(ctx), r.Exec), 0, r.Cursor, viewBudget)
	if err != nil { // the run is what was asked for, and it is well
		h.options.Logger.DebugContext(ctx, "output of a run not read", "err", err)
		v = tail.View{Omitted: r.Cursor, Next: r.Cursor}
	}
	r.Cursor, r.Omitted = v.Next, v.Omitted
	state := "still running"
	if r.Status == sandbox.ExecQueued {
		state = "still waiting for its turn"
	}
	switch {
	case ctx.Err() != nil:
		state += " while the server shuts down"
	case out.op.patience > 0:
		state += " after " + seconds(out.op.patience) + " s"
	}
	seen := viewText(&v)
	return &answer{
		text:  note(seen, state+" as execution "+string(r.Exec)+"; it goes on. "+next(r.Exec, r.Cursor, h.openRules.maxWait)),
		facts: appendFacts([]byte{'{'}, out),
		bulk:  plainjson.StringMember([]byte{'{'}, "output", seen),
	}
}

// next says how to go on with a run.
func next(id sandbox.ExecID, cursor, wait int64) string {
	return "Call get_execution with execution_id=" + string(id) + " and wait=" + strconv.FormatInt(wait, 10) +
		" for its end; cursor=" + strconv.FormatInt(cursor, 10) + " gives what it puts out from here on. cancel_execution ends it"
}

// source gives the output of one execution.
func (h *Handler) source(owner sandbox.Principal, id sandbox.ExecID) tail.Source {
	return func(ctx context.Context, q sandbox.OutputQuery) (sandbox.OutputPage, error) {
		return h.sessions.ReadOutput(ctx, owner, id, q)
	}
}

// viewText is a part of an output with marks where something is left out.
func viewText(v *tail.View) []byte {
	var dst []byte
	if v.Missing > 0 {
		dst = append(dst, "[… "+bytesOf(v.Missing)+" before this are not kept any more]\n"...)
	}
	if v.Cut {
		dst = append(dst, "[… earlier lines did not fit; a larger max_bytes shows more]\n"...)
	}
	dst = append(dst, v.Head...)
	if v.Omitted > 0 {
		dst = note(dst, "… "+bytesOf(v.Omitted)+" left out; read them with cursor="+strconv.FormatInt(v.Resume(), 10))
		dst = append(dst, '\n')
		dst = append(dst, v.Tail...)
	}
	return dst
}

// note appends a remark of ours on a line of its own.
func note(dst []byte, remark string) []byte {
	dst = append([]byte(nil), dst...)
	if n := len(dst); n > 0 && dst[n-1] != '\n' {
		dst = append(dst, '\n')
	}
	return append(dst, "["+remark+"]"...)
}
