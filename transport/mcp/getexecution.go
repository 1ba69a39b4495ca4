package mcp

import (
	"context"
	"strconv"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
	"github.com/sandwarden/sandwarden/transport/tail"
)

// maxExecutions is how many executions a list shows.
const maxExecutions = 20

// searchTime bounds one search of an output.
const searchTime = 2 * time.Second

// getExecution tells of one execution or, without its id, of those of a
// session.
func (h *Handler) getExecution(ctx context.Context, op *operation) outcome {
	if op.execution == "" {
		return h.listExecutions(ctx, op)
	}
	owner := door.Principal(ctx)
	record, err := h.sessions.Execution(ctx, owner, op.execution)
	if err == nil && op.look.wait > 0 && !record.Status.Over() {
		record, err = h.sessions.Await(ctx, owner, op.execution, op.look.query(&record))
	}
	if err != nil {
		return h.failed(ctx, op, err, op.call())
	}
	a := &answer{facts: appendRecord([]byte{'{'}, &record, time.Now())}
	set(&op.look.budget, viewBudget)
	if op.look.grep != "" {
		err = h.search(ctx, op, &record, a)
	} else {
		err = h.show(ctx, op, &record, a)
	}
	if err != nil {
		return h.failed(ctx, op, err, op.call())
	}
	return told(op, a)
}

// query is what to wait for.
func (l *look) query(record *sandbox.Execution) sandbox.WaitQuery {
	q := sandbox.WaitQuery{After: -1, Wait: time.Duration(l.wait) * time.Second}
	switch {
	case !l.output:
	case l.cursor >= 0: // 0 where none is given: all that there is
		q.After = l.cursor
	default:
		q.After = record.Output.Total
	}
	return q
}

// show puts the output into an answer: all of what is asked for, its two ends,
// or its last lines. What is behind it, as figures, comes with all of it.
func (h *Handler) show(ctx context.Context, op *operation, record *sandbox.Execution, a *answer) error {
	owner, l := door.Principal(ctx), &op.look
	source := h.source(owner, record.ID)
	var v tail.View
	var err error
	if l.lines > 0 {
		v, err = tail.Last(ctx, source, l.cursor, record.Output.Total, l.lines, int(l.budget))
	} else {
		v, err = tail.Ends(ctx, source, l.cursor, record.Output.Total, int(l.budget))
	}
	if err != nil {
		return err
	}
	a.facts = plainjson.IntMember(a.facts, "from", v.From)
	a.facts = plainjson.IntMember(a.facts, "cursor", v.Next)
	a.facts = plainjson.IntMember(a.facts, "omitted_bytes", v.Omitted)
	a.facts = plainjson.IntMember(a.facts, "missing_bytes", v.Missing)
	seen := viewText(&v)
	a.bulk = plainjson.StringMember([]byte{'{'}, "output", seen)
	remark := standing(record)
	if !record.Status.Over() {
		remark += ". " + next(record.ID, v.Next, h.openRules.maxWait)
	}
	if record.Status.Over() && !l.hasCursor && l.lines == 0 {
		remark += h.beside(ctx, owner, record, a)
	}
	a.text = note(seen, remark)
	return nil
}

// beside puts into an answer what an execution that is over has beside its
// output: rich results, and a hint, which it returns for people.
func (h *Handler) beside(ctx context.Context, owner sandbox.Principal, record *sandbox.Execution, a *answer) string {
	if record.Rich == 0 && record.Exit != nil && succeeded(record.Exit) {
		return ""
	}
	result, err := h.sessions.Result(ctx, owner, record.ID)
	if err != nil { // it never ran, and the record says why
		return ""
	}
	a.rich = result.Rich
	a.bulk = appendRich(a.bulk, result.Rich)
	if result.Hint == "" {
		return ""
	}
	a.facts = plainjson.StringMember(a.facts, "hint", result.Hint)
	return ". " + result.Hint
}

// search puts the lines that match into an answer.
func (h *Handler) search(ctx context.Context, op *operation, record *sandbox.Execution, a *answer) error {
	pattern, err := tail.Pattern(op.look.grep)
	if err != nil { // it was good when the arguments were checked
		return err
	}
	searching, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	source := h.source(door.Principal(ctx), record.ID)
	found, err := tail.Grep(searching, source, op.look.cursor, record.Output.Total, pattern, int(op.look.budget))
	if err != nil {
		return err
	}
	a.facts = plainjson.IntMember(a.facts, "cursor", found.Next)
	a.facts = plainjson.BoolMember(a.facts, "has_more", found.More)
	a.facts = plainjson.IntMember(a.facts, "missing_bytes", found.Missing)
	a.bulk = append(plainjson.AppendName([]byte{'{'}, "matches"), '[')
	for i := range found.Matches {
		m := &found.Matches[i]
		if i > 0 {
			a.bulk = append(a.bulk, ',')
		}
		a.bulk = plainjson.IntMember(append(a.bulk, '{'), "line", m.Line)
		a.bulk = plainjson.IntMember(a.bulk, "offset", m.Offset)
		a.bulk = append(plainjson.StringMember(a.bulk, "text", m.Text), '}')
		a.text = appendMatch(a.text, m)
	}
	a.bulk = append(a.bulk, ']')
	remark := "lines that match: " + strconv.Itoa(len(found.Matches)) + "; " + standing(record)
	if found.More {
		remark += ". Not all was searched: go on with cursor=" + strconv.FormatInt(found.Next, 10)
	}
	a.text = note(a.text, remark)
	return nil
}

// appendMatch appends a line as grep does with -n and -b.
func appendMatch(dst []byte, m *tail.Match) []byte {
	dst = strconv.AppendInt(dst, m.Line, 10)
	dst = strconv.AppendInt(append(dst, ':'), m.Offset, 10)
	dst = append(append(dst, ':'), m.Text...)
	if m.Cut {
		dst = append(dst, "…"...)
	}
	return append(dst, '\n')
}

func (h *Handler) listExecutions(ctx context.Context, op *operation) outcome {
	ref := door.Ref(ctx, op.session)
	list, err := h.sessions.ListExecutions(ctx, sandbox.ExecQuery{Ref: ref, Limit: maxExecutions})
	if err != nil {
		return h.failed(ctx, op, err, &fault.Call{Session: op.session, Within: true})
	}
	a := &answer{facts: plainjson.StringMember([]byte{'{'}, "session_id", op.session)}
	a.bulk = append(plainjson.AppendName([]byte{'{'}, "executions"), '[')
	now := time.Now()
	for i := range list[:min(len(list), maxExecutions)] {
		if i > 0 {
			a.bulk = append(a.bulk, ',')
		}
		a.bulk = append(appendWhat(appendRecord(append(a.bulk, '{'), &list[i], now), &list[i]), '}')
		a.text = append(append(a.text, inShort(&list[i])...), '\n')
	}
	a.bulk = append(a.bulk, ']')
	if len(list) == 0 {
		a.text = []byte("Nothing has run in this session")
	}
	return told(op, a)
}
