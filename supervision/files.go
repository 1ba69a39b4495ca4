package supervision

import (
	"context"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Transfer begins an operation on the files of a session, which is in use until
// the transfer is closed. Kind NotFound when there is no such session.
func (s *Sessions) Transfer(ctx context.Context, ref sandbox.Ref, r sandbox.FileRequest) (sandbox.Transfer, error) {
	answer, err := s.find(ctx, "transfer", ref)
	if err != nil {
		return nil, err
	}
	if answer.actor == nil {
		return nil, &sandbox.Error{
			Op: "transfer", ID: ref.Name, Kind: sandbox.NotFound,
			Detail: "the session is still being made", Remedy: "try again in a moment",
		}
	}
	done := answer.use.read()
	t, err := answer.actor.Transfer(ctx, r)
	if err != nil {
		done()
		return nil, err
	}
	return &held{Transfer: t, done: done}, nil
}

// held keeps a session in use until its transfer is closed.
type held struct {
	sandbox.Transfer

	done func() // nil once closed
}

// Close implements [sandbox.Transfer].
func (h *held) Close() error {
	if h.done != nil {
		h.done()
		h.done = nil
	}
	return h.Transfer.Close()
}
