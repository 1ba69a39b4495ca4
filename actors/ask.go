package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Ask sends msg and waits for the first answer, for ctx, or for gone, which is
// closed when the actor has ended: messages that are in its mailbox then vanish
// without a word. An answer that is an error is returned as the error, so T must
// not be one. The end of ctx ends the waiting, not the work. It blocks: it has
// no place in a Receive.
func Ask[T any](ctx context.Context, sys *actor.ActorSystem, to *actor.PID, gone <-chan struct{}, msg any) (T, error) {
	answer, _, err := askUnless[T](ctx, sys, to, gone, nil, msg)
	return answer, err
}

// askUnless is Ask for who needs no answer once done is closed, which it tells.
func askUnless[T any](ctx context.Context, sys *actor.ActorSystem, to *actor.PID, gone, done <-chan struct{}, msg any) (T, bool, error) {
	var zero T
	answers := make(inbox, 1)
	from, _ := sys.ProcessRegistry.Add(answers, "ask"+sys.ProcessRegistry.NextId())
	defer sys.ProcessRegistry.Remove(from)
	sys.Root.RequestWithCustomSender(to, msg, from)
	select {
	case <-ctx.Done():
		return zero, false, context.Cause(ctx)
	case got := <-answers:
		answer, err := understood[T](msg, got)
		return answer, false, err
	case <-done:
		return zero, true, nil
	case <-gone:
	}
	select {
	case got := <-answers: // it came before the end
		answer, err := understood[T](msg, got)
		return answer, false, err
	default:
		return zero, false, actor.ErrDeadLetter
	}
}

// understood is what an answer means.
func understood[T any](msg, answer any) (T, error) {
	var zero T
	switch got := answer.(type) {
	case T:
		return got, nil
	case error:
		return zero, got
	case *actor.DeadLetterResponse:
		return zero, actor.ErrDeadLetter
	default:
		return zero, fmt.Errorf("ask %T: unexpected answer %T", msg, got)
	}
}

// inbox is a registered process that keeps one answer and drops the rest.
type inbox chan any

// SendUserMessage implements [actor.Process].
func (i inbox) SendUserMessage(_ *actor.PID, msg any) {
	select {
	case i <- actor.UnwrapEnvelopeMessage(msg):
	default:
	}
}

// SendSystemMessage implements [actor.Process].
func (inbox) SendSystemMessage(*actor.PID, any) {}

// Stop implements [actor.Process].
func (inbox) Stop(*actor.PID) {}

// Failed is the answer to a message whose handler panicked. The actor comes
// back; whether the message had an effect is not known.
type Failed struct {
	Reason string
}

// Error implements error.
func (f *Failed) Error() string { return "actor panicked: " + f.Reason }

// Refusal turns what Ask returned into an error in the words of the house.
func Refusal(op, id string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*sandbox.Error](err); ours {
		return err
	}
	refusal := &sandbox.Error{Op: op, ID: id, Kind: sandbox.KindOf(err), Err: err}
	if errors.Is(err, actor.ErrDeadLetter) {
		refusal.Kind = sandbox.Stopped
	}
	switch refusal.Kind {
	case sandbox.Canceled:
		refusal.Detail = "the caller gave up"
	case sandbox.Timeout:
		refusal.Detail = "the caller's deadline passed"
	case sandbox.Stopped:
		refusal.Detail = "it has ended"
	case sandbox.Other, sandbox.Invalid, sandbox.Unsupported, sandbox.NotFound, sandbox.Exhausted, sandbox.Unavailable,
		sandbox.Conflict, sandbox.NoSpace:
		refusal.Detail = "an internal fault; it was logged, and the session goes on"
		refusal.Remedy = "try again; report it if it comes back"
	}
	return refusal
}
