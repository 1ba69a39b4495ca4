package mcp

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// An outcome is what became of an operation, before a dialect words it.
type outcome struct {
	op       operation
	result   sandbox.ExecResult // of execute_*; empty when it never began
	began    bool
	sessions []sandbox.Session // of get_sessions
	found    bool              // of stop_session
	answer   *answer           // in place of all that, where the contract has no words
	fault    *fault.Fault      // why it failed; nil when it did not
}

// perform does what the operation asks. Follow and accepted may be nil.
func (h *Handler) perform(ctx context.Context, op operation, follow func(sandbox.Stream, []byte)) outcome {
	out := outcome{op: op}
	var err error
	switch op.tool {
	case executeCode, executeCommand:
		return h.execute(ctx, op, follow)
	case getExecution:
		return h.getExecution(ctx, &op)
	case sendInput:
		return h.sendInput(ctx, &op)
	case cancelExecution:
		return h.cancelExecution(ctx, &op)
	case readFile, writeFile, listFiles:
		return h.onFile(ctx, &op)
	case getSessions:
		out.sessions, err = h.listed(ctx, op)
	case stopSession:
		err = h.sessions.Stop(ctx, door.Ref(ctx, op.session))
		out.found = err == nil
		if sandbox.KindOf(err) == sandbox.NotFound {
			err = nil
		}
	}
	if err != nil {
		out.fault = fault.Of(err, op.call())
		h.log(ctx, op, out.fault, err)
	}
	return out
}

func (h *Handler) execute(ctx context.Context, op operation, follow func(sandbox.Stream, []byte)) outcome {
	if op.timeout == 0 {
		op.timeout = h.options.DefaultTimeout
	}
	request := op.request()
	request.Owner, request.Follow = door.Principal(ctx), follow
	if op.background {
		return h.start(ctx, &op, request)
	}
	result, err := h.run(ctx, &op, request)
	return h.ran(ctx, &op, result, err)
}

// ran is the outcome of a run, or of the part of it that was waited for.
func (h *Handler) ran(ctx context.Context, op *operation, result sandbox.ExecResult, err error) outcome {
	if err != nil {
		return h.failed(ctx, op, err, h.named(*op).call())
	}
	out := outcome{op: *op, result: result, began: true}
	switch {
	case !result.Over():
		out.answer = h.stillRunning(ctx, &out)
	case result.Exit.Cause != sandbox.CauseNone:
		op.session = result.Session.Name
		out.fault = fault.OfExit(result.Exit, op.call())
		h.log(ctx, *op, out.fault, &sandbox.Error{Op: "execute", Kind: sandbox.Stopped, Cause: result.Exit.Cause, Detail: string(result.Exit.Cause)})
	}
	return out
}

// named is the operation with the names of its defaults, for messages.
func (h *Handler) named(op operation) *operation {
	set(&op.template, h.options.DefaultTemplate)
	set(&op.flavor, h.options.DefaultFlavor)
	return &op
}

// listed returns all sessions in the order of their creation, or the one that
// is asked for, or none.
func (h *Handler) listed(ctx context.Context, op operation) ([]sandbox.Session, error) {
	if op.session != "" {
		s, err := h.sessions.Find(ctx, door.Ref(ctx, op.session))
		switch {
		case err == nil:
			return []sandbox.Session{s}, nil
		case sandbox.KindOf(err) == sandbox.NotFound:
			err = nil // there is none, which is an answer
		}
		return nil, err
	}
	all, err := h.sessions.List(ctx, sandbox.SessionQuery{Owner: door.Principal(ctx), Usage: op.usage})
	slices.SortStableFunc(all, func(a, b sandbox.Session) int { return a.Created.Compare(b.Created) })
	return all, err
}

// log keeps the cause of a fault, which clients are not told. A fault of ours is
// an error; what was full, or ended by a limit, is a fact; and what clients did
// wrong is nobody's concern above debug, as what they ran never is.
func (h *Handler) log(ctx context.Context, op operation, f *fault.Fault, err error) {
	kind, level := sandbox.KindOf(err), slog.LevelInfo
	switch kind {
	case sandbox.Other:
		level = slog.LevelError
	case sandbox.Invalid, sandbox.Unsupported, sandbox.NotFound, sandbox.Canceled, sandbox.Conflict:
		h.options.Logger.DebugContext(ctx, "call refused", "tool", op.tool, "session", op.session, "kind", kind.String(), "err", err)
		return
	case sandbox.Exhausted, sandbox.Timeout, sandbox.Stopped, sandbox.Unavailable, sandbox.NoSpace:
	}
	code := ""
	if f.Data != nil {
		code = f.Data.ErrorCode
	}
	h.options.Logger.Log(ctx, level, "call failed", "tool", op.tool, "session", op.session, "kind", kind.String(),
		"code", code, "told", f.Message, "err", err)
}

// mismatch says that a session which was there is not what the call asked for:
// its template and flavor were chosen when it was made.
func (out *outcome) mismatch() string {
	if out.result.Created {
		return ""
	}
	var ignored []string
	if s := &out.result.Session; out.op.template != "" && out.op.template != s.Template.Name {
		ignored = append(ignored, "template "+out.op.template+" (it is "+s.Template.Name+")")
	}
	if s := &out.result.Session; out.op.flavor != "" && out.op.flavor != s.Flavor.Name {
		ignored = append(ignored, "flavor "+out.op.flavor+" (it is "+s.Flavor.Name+")")
	}
	if len(ignored) == 0 {
		return ""
	}
	return "the session was there already, so this was ignored: " + strings.Join(ignored, ", ") + "; use another session_id to get it"
}

// succeeded reports whether the code or the command did what it should.
func (out *outcome) succeeded() bool { return succeeded(&out.result.Exit) }

func succeeded(x *sandbox.Exit) bool {
	return x.Cause == sandbox.CauseNone && x.Code == 0 && x.Failure == nil
}

// pieces returns the lines of the contract's joined output: stdout, stderr,
// what was dropped, and why it failed. Empty ones are left out.
func (out *outcome) pieces(dst [][]byte) [][]byte {
	r := &out.result
	if b := bytes.TrimRightFunc(r.Stdout, unicode.IsSpace); len(b) > 0 {
		dst = append(dst, b)
	}
	if b := bytes.TrimRightFunc(r.Stderr, unicode.IsSpace); len(b) > 0 {
		dst = append(dst, b)
	}
	if r.Truncated() {
		dst = append(dst, []byte("[output truncated: "+strconv.FormatInt(r.Exit.Dropped+r.Omitted, 10)+" bytes dropped]"))
	}
	if r.Hint != "" {
		dst = append(dst, []byte(r.Hint))
	}
	return dst
}
