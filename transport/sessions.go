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
	// Execute runs code or a command to its end. The end of ctx stops it.
	Execute(ctx context.Context, r sandbox.ExecRequest) (sandbox.ExecResult, error)
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
