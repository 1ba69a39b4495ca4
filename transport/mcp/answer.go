package mcp

import (
	"context"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// An answer is what is told where the contract has no words: of the tools that
// it does not know, and of runs that go on. It is the same in all dialects.
type answer struct {
	text  []byte         // for people and models
	facts []byte         // members that tell of it: an object without its last brace
	bulk  []byte         // members with what text says, for programs, likewise
	rich  []sandbox.Rich // images are shown
}

// appendMembers appends the members to an object that has some, or none yet.
func (a *answer) appendMembers(dst []byte) []byte {
	for _, part := range [][]byte{a.facts, a.bulk} {
		if len(part) <= 1 {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(dst, part[1:]...)
	}
	return dst
}

// appendGuide appends the answer in the envelope of the contract's results.
func (a *answer) appendGuide(dst []byte) []byte {
	dst = append(dst, `{"content":[{"type":"text","text":`...)
	dst = plainjson.AppendString(dst, a.text)
	dst = append(dst, `}],"isError":false`...)
	return append(a.appendMembers(dst), '}')
}

// told is the outcome of an operation that went well.
func told(op *operation, a *answer) outcome { return outcome{op: *op, answer: a} }

// failed is the outcome of an operation that did not. The call is what the
// words of the fault need to know.
func (h *Handler) failed(ctx context.Context, op *operation, err error, call *fault.Call) outcome {
	out := outcome{op: *op, fault: fault.Of(err, call)}
	h.log(ctx, *op, out.fault, err)
	return out
}
