package microsandbox

import (
	"errors"
	"net/http"
	"regexp"

	"github.com/sandwarden/sandwarden/sandbox"
)

// What the server says in texts alone.
var (
	unsure   = regexp.MustCompile(`timed out waiting|couldn't verify`)
	noFolder = regexp.MustCompile(`directory.* does not exist`)
)

// fault makes an error of ours of whatever a call brought.
func fault(op string, id sandbox.ID, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*sandbox.Error](err); ok {
		return e
	}
	e := explain(err)
	e.Op, e.ID, e.Err = op, string(id), err
	return e
}

// explain says what an error means, in words for a client.
func explain(err error) *sandbox.Error {
	if _, ok := errors.AsType[*unreachable](err); ok {
		return &sandbox.Error{
			Kind: sandbox.Unavailable, Detail: "the microsandbox server cannot be reached",
			Remedy: "start it, or check MSB_SERVER_URL; nothing else is to be done here when it is back",
		}
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.explain()
	}
	if errors.Is(err, errGarbled) {
		return &sandbox.Error{
			Kind: sandbox.Unavailable, Detail: "what answers is not a microsandbox server",
			Remedy: "check MSB_SERVER_URL: it names a server of the v0.2 line, without a path",
		}
	}
	return &sandbox.Error{Kind: sandbox.KindOf(err)}
}

// explain says what a refusal means.
func (r *refusal) explain() *sandbox.Error {
	switch r.code {
	case codeNoKey, codeBadKey:
		return &sandbox.Error{
			Kind: sandbox.Unavailable, Detail: "the microsandbox server does not take our key",
			Remedy: "set MSB_API_KEY to a key that the server made (msb server keygen, or sandwarden keygen) and that has not expired",
		}
	case codeForbidden:
		return &sandbox.Error{
			Kind: sandbox.Unavailable, Detail: "our key is for another namespace of the microsandbox server",
			Remedy: "set MSB_API_KEY to a key for the namespace " + namespace + ", or for all",
		}
	case codeNoMethod:
		return &sandbox.Error{
			Kind: sandbox.Unavailable, Detail: "the microsandbox server does not know a method of the v0.2 line",
			Remedy: "check that MSB_SERVER_URL names a server of that line",
		}
	case codeInvalid:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: r.Error(), Remedy: "ask for something that the server has"}
	case codeNotFound:
		return &sandbox.Error{Kind: sandbox.NotFound, Detail: r.Error()}
	}
	return r.explainStatus()
}

func (r *refusal) explainStatus() *sandbox.Error {
	e := &sandbox.Error{Kind: sandbox.Unavailable, Detail: r.Error(), Remedy: "look into that server's log"}
	switch {
	case r.kind == sandbox.Exhausted.String():
		e.Kind, e.Remedy = sandbox.Exhausted, "try again later, or stop sessions that are not needed"
	case r.kind == sandbox.Timeout.String():
		e.Kind = sandbox.Timeout
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		e.Remedy = "check MSB_API_KEY, and what stands before the server"
	case r.status == http.StatusRequestEntityTooLarge:
		e.Kind, e.Remedy = sandbox.Invalid, "send less at a time"
	}
	return e
}
