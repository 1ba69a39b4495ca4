package transport

import (
	"context"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Sessions is what clients are served with. Its methods may be called from many
// goroutines; they block and honour ctx.
type Sessions interface {
	// Create returns the session of that name, and whether it was made now.
	Create(ctx context.Context, r sandbox.SessionRequest) (sandbox.Session, bool, error)
	// Execute runs code or a command to its end, or until the caller's patience
	// ends. The end of ctx stops work that is not detached.
	Execute(ctx context.Context, r sandbox.ExecRequest) (sandbox.ExecResult, error)
	Executions
	// Touch says that a session is still wanted. Kind NotFound.
	Touch(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error)
	// Transfer begins an operation on the files of a session, which is in use
	// until it is closed. Kind NotFound when there is no such session.
	Transfer(ctx context.Context, ref sandbox.Ref, r sandbox.FileRequest) (sandbox.Transfer, error)
	// List returns the sessions of an owner.
	List(ctx context.Context, q sandbox.SessionQuery) ([]sandbox.Session, error)
	// Find returns a session, or Kind NotFound.
	Find(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error)
	// Stop ends a session, or returns Kind NotFound.
	Stop(ctx context.Context, ref sandbox.Ref) error
	// Subscribe reads a session's events after the given one; 0 is from the
	// oldest that is kept. Kind NotFound when there is no such session.
	Subscribe(ctx context.Context, ref sandbox.Ref, after uint64) (sandbox.Subscription, error)
	// SubscribeAll reads the events of all sessions of an owner.
	SubscribeAll(ctx context.Context, owner sandbox.Principal, after uint64) (sandbox.Subscription, error)
	// Overview tells of the daemon as a whole.
	Overview(ctx context.Context) (sandbox.Overview, error)
}

// Executions are the runs of all sessions as objects. An execution of another
// owner, or one that is not kept any more, is Kind NotFound.
type Executions interface {
	// Start begins an execution, which is always detached, and returns at once;
	// the flag tells whether it made the session.
	Start(ctx context.Context, r sandbox.ExecRequest) (sandbox.Execution, sandbox.Session, bool, error)
	// Execution returns the record of one.
	Execution(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.Execution, error)
	// ListExecutions returns those of a session, the newest first.
	ListExecutions(ctx context.Context, q sandbox.ExecQuery) ([]sandbox.Execution, error)
	// Await waits as the query says, and returns the record as it is then. That
	// the wait is over is no error; the end of ctx is.
	Await(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.WaitQuery) (sandbox.Execution, error)
	// Result returns what Execute would, as far as it is there now.
	Result(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.ExecResult, error)
	// ReadOutput returns a range of the output, which may be empty.
	ReadOutput(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.OutputQuery) (sandbox.OutputPage, error)
	// SubscribeExecution reads the events of one execution as Subscribe does, and
	// with the same numbers. It ends behind execution.finished.
	SubscribeExecution(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, after uint64) (sandbox.Subscription, error)
	// Signal sends a signal. To an execution that waits each of them means not
	// to run it; one that has ended is no error.
	Signal(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, s sandbox.Signal) error
	// WriteStdin writes what fits now at the offset, and returns how much of data
	// is written; nil data closes the stdin. Kind Invalid when it takes none.
	WriteStdin(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, offset uint64, data []byte) (int, error)
}
