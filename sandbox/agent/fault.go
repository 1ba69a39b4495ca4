package agent

import (
	"fmt"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// maxAbout bounds what is repeated of a sandbox's words about a failure.
const maxAbout = 256

// failed turns an agent's fault of an operation into ours. The words are ours,
// but for the name in an archive, which is quoted.
func (t *transfer) failed(f *wire.Fault) error {
	e := faultOf(f.GetCode())
	e.Op, e.ID = string(t.r.Op), string(t.client.id)
	e.Detail = strings.ToValidUTF8(t.r.Absolute(), "\uFFFD") + ": " + e.Detail
	if about := cut(strings.ToValidUTF8(string(f.GetAbout()), "\uFFFD"), maxAbout); about != "" {
		e.Detail += fmt.Sprintf(" (%q in the archive)", about)
	}
	return e
}

// faultOf says what a code means. Detail says what is wrong with the path.
func faultOf(code wire.FaultCode) *sandbox.Error {
	switch code {
	case wire.FaultCode_BAD_REQUEST:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: "the path or the request cannot be"}
	case wire.FaultCode_NO_FILE:
		return &sandbox.Error{Kind: sandbox.NotFound, Detail: "there is no such file"}
	case wire.FaultCode_EXISTS:
		return &sandbox.Error{Kind: sandbox.Conflict, Detail: "there is such a file already"}
	case wire.FaultCode_WRONG_TYPE:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: "this is not the type of file that the operation is for"}
	case wire.FaultCode_NOT_EMPTY:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: "the directory is not empty", Remedy: "ask for it to be removed with what is below"}
	case wire.FaultCode_FORBIDDEN:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: "the sandbox may not do this here"}
	case wire.FaultCode_READ_ONLY:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: "this place is read-only"}
	case wire.FaultCode_ESCAPES:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: "the archive would write outside of the directory"}
	case wire.FaultCode_BAD_ARCHIVE:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: "what came is not a whole tar archive"}
	case wire.FaultCode_OUT_OF_PLACE:
		return &sandbox.Error{Kind: sandbox.Invalid, Detail: "the bytes are out of place"}
	case wire.FaultCode_NO_ROOM:
		return full("disk", sandbox.CauseDisk, "the sandbox has no room for it")
	case wire.FaultCode_NO_MEMORY:
		return full("memory", sandbox.CauseOOM, "the sandbox has no memory for it")
	case wire.FaultCode_NO_TASK:
		return full("tasks", sandbox.CausePids, "the sandbox has its limit of tasks")
	case wire.FaultCode_TOO_MANY:
		e := full("transfers", sandbox.CauseNone, "too many operations on files go on")
		e.Limit.Current, e.Limit.Max = MaxTransfers, MaxTransfers
		return e
	case wire.FaultCode_KILLED:
		return &sandbox.Error{Kind: sandbox.Stopped, Cause: sandbox.CauseCrashed, Detail: "the process in the sandbox that did it was killed"}
	case wire.FaultCode_UNKNOWN_ID:
		return &sandbox.Error{Kind: sandbox.Timeout, Detail: "the operation was ended, for it was not used for too long"}
	case wire.FaultCode_FAILED:
	}
	return &sandbox.Error{Kind: sandbox.Other, Detail: "the operation failed"}
}

func full(resource string, cause sandbox.Cause, detail string) *sandbox.Error {
	return &sandbox.Error{Kind: sandbox.Exhausted, Cause: cause, Limit: &sandbox.Limit{Resource: resource}, Detail: detail}
}
