package mcp

import (
	"context"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
)

// cancelExecution sends a signal to an execution, and waits a moment for what
// comes of it.
func (h *Handler) cancelExecution(ctx context.Context, op *operation) outcome {
	set(&op.signal, sandbox.Interrupt)
	owner := door.Principal(ctx)
	record, err := h.sessions.Execution(ctx, owner, op.execution)
	before := record.Status.Over()
	if err == nil && !before {
		err = h.sessions.Signal(ctx, owner, op.execution, op.signal)
		if err == nil {
			record, err = h.sessions.Await(ctx, owner, op.execution, sandbox.WaitQuery{After: -1, Wait: grace})
		}
	}
	if err != nil {
		return h.failed(ctx, op, err, op.call())
	}
	said := standing(&record)
	switch {
	case before:
		said += "; it had ended before"
	case !record.Status.Over() && op.signal != sandbox.Kill:
		said += " after " + string(op.signal) + "; mode=kill ends it in any case, and a kernel's variables with it"
	}
	return told(op, &answer{text: []byte(said), facts: appendRecord([]byte{'{'}, &record, time.Now())})
}
