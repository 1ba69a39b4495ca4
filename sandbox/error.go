package sandbox

import (
	"context"
	"errors"
	"strings"
	"time"
)

// A Kind says what a caller can do about an error. Callers branch on the Kind,
// never on text.
type Kind int

// The kinds of error.
const (
	Other       Kind = iota // a fault of ours, or one that nobody foresaw
	Invalid                 // the request is wrong; the same request will fail again
	Unsupported             // this backend or this host cannot do it
	NotFound                // no such session, execution or sandbox
	Exhausted               // a limit is reached; later, or with less, it may work
	Timeout                 // a deadline passed before the work was done
	Canceled                // the caller gave up
	Stopped                 // the session or its sandbox ended
	Unavailable             // the backend cannot run here or now; Remedy says what to do
	Conflict                // it contradicts what was asked before
	NoSpace                 // there is no room on the disk of the daemon to keep it
)

// String returns the kind's name in lower case, as logs and clients see it.
func (k Kind) String() string {
	switch k {
	case Other:
		return "other"
	case Invalid:
		return "invalid"
	case Unsupported:
		return "unsupported"
	case NotFound:
		return "not_found"
	case Exhausted:
		return "exhausted"
	case Timeout:
		return "timeout"
	case Canceled:
		return "canceled"
	case Stopped:
		return "stopped"
	case Unavailable:
		return "unavailable"
	case Conflict:
		return "conflict"
	case NoSpace:
		return "no_space"
	}
	return "unknown"
}

// An Error is what goes wrong with sandboxes. Err is for logs alone: it may
// name paths of the host. Detail and Remedy are written for the client.
type Error struct {
	Op     string // what was tried: "create", "execute", …
	ID     string // the session or sandbox, if there is one
	Kind   Kind
	Cause  Cause  // why the work died, where it did
	Limit  *Limit // what is full, when Kind is Exhausted
	Detail string // what is wrong, for the client; no path or secret of the host
	Remedy string // what to do about it, for the client
	Err    error  // the cause, for the log
}

// A Limit is what a refused request ran into.
type Limit struct {
	Resource string // "sessions", "memory", "cpu", "host_memory", "tasks", "queue", "executions", …
	Current  int64  // in use
	Max      int64  // allowed
	Unit     string // "" for counts, "MB" for memory
	Line     *Line  // where it stood that waited for room; nil when it did not wait
}

// A Line is where a request stood among those that waited for room.
type Line struct {
	Position int // from 1
	Length   int
	Waited   time.Duration
}

// Error returns "op id: kind: detail: cause", leaving out what is empty.
func (e *Error) Error() string {
	head := strings.TrimSpace(e.Op + " " + e.ID)
	parts := make([]string, 0, 4)
	if head != "" {
		parts = append(parts, head)
	}
	parts = append(parts, e.Kind.String())
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of any error: that of the first Error in its chain,
// or what the ends of contexts mean.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Other
}
