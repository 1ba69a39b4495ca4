package mcp

import (
	"strconv"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// appendRecord appends the members of an execution's record, but for what was
// to be run: who asks for an execution by its id knows that.
func appendRecord(dst []byte, x *sandbox.Execution, now time.Time) []byte {
	dst = plainjson.StringMember(dst, "execution_id", string(x.ID))
	dst = plainjson.StringMember(dst, "session_id", x.Session)
	dst = plainjson.StringMember(dst, "kind", string(x.Kind))
	dst = plainjson.StringMember(dst, "status", string(x.Status))
	dst = optional(dst, "idempotency_key", x.Key)
	if x.Background {
		dst = plainjson.BoolMember(dst, "background", true)
	}
	if x.Stdin {
		dst = plainjson.BoolMember(dst, "stdin", true)
	}
	dst = appendTime(dst, "queued_at", x.Queued)
	dst = appendTime(dst, "started_at", x.Started)
	dst = appendTime(dst, "ended_at", x.Ended)
	if !x.Started.IsZero() && !x.Status.Over() {
		dst = plainjson.IntMember(dst, "running_ms", max(0, now.Sub(x.Started).Milliseconds()))
	}
	dst = plainjson.IntMember(dst, "timeout_ms", x.Timeout.Milliseconds())
	dst = plainjson.IntMember(dst, "output_bytes", x.Output.Total)
	if x.Output.First > 0 {
		dst = plainjson.IntMember(dst, "first_kept", x.Output.First)
	}
	if x.Exit != nil {
		dst = appendExit(dst, x.Exit)
	}
	if f := faultOf(x); f != nil {
		if x.Exit == nil {
			dst = optional(optional(dst, "cause", string(f.Cause)), "evidence", f.Evidence)
		}
		dst = plainjson.StringMember(dst, "message", f.Message)
		dst = optional(dst, "remedy", f.Remedy)
	}
	return dst
}

// appendWhat appends what was to be run.
func appendWhat(dst []byte, x *sandbox.Execution) []byte {
	dst = optional(dst, "code", x.Code)
	if len(x.Argv) > 0 {
		dst = plainjson.AppendStrings(plainjson.AppendName(dst, "argv"), x.Argv)
	}
	return dst
}

func appendTime(dst []byte, name string, at time.Time) []byte {
	if at.IsZero() {
		return dst
	}
	return plainjson.StringMember(dst, name, at.UTC().Format(time.RFC3339Nano))
}

// faultOf says why an execution did not end by itself, or never ran; nil when
// it did, or still runs.
func faultOf(x *sandbox.Execution) *fault.Fault {
	call := &fault.Call{Code: x.Code, Session: x.Session, Timeout: x.Timeout}
	if len(x.Argv) > 0 {
		call.Code, call.Command = "", commandOf(x.Argv)
	}
	switch {
	case x.Refused != nil:
		return fault.Of(x.Refused, call)
	case x.Exit != nil:
		return fault.OfExit(*x.Exit, call)
	}
	return nil
}

// standing says in one line how far an execution has come.
func standing(x *sandbox.Execution) string {
	said := "execution " + string(x.ID) + " "
	switch x.Status {
	case sandbox.ExecQueued:
		return said + "waits for its turn"
	case sandbox.ExecRunning:
		return said + "is still running"
	case sandbox.ExecFinished, sandbox.ExecFailed, sandbox.ExecCancelled, sandbox.ExecLost:
		said += "has ended: " + string(x.Status)
	}
	if x.Exit != nil {
		said += ", exit code " + strconv.Itoa(x.Exit.Code) + " after " + x.Exit.Duration.Round(time.Millisecond).String()
	}
	if f := faultOf(x); f != nil && x.Status != sandbox.ExecCancelled { // who canceled it knows why
		said += ". " + advised(f)
	}
	return said
}

// commandOf is a command as it was given: a line of sh, or a program with its
// arguments.
func commandOf(argv []string) string {
	if len(argv) == 3 && argv[0] == "sh" && argv[1] == "-c" {
		return argv[2]
	}
	return strings.Join(argv, " ")
}

// inShort is an execution in a list for people: one line.
func inShort(x *sandbox.Execution) string {
	line := string(x.ID) + " " + string(x.Status)
	if x.Exit != nil {
		line += " (exit code " + strconv.Itoa(x.Exit.Code) + ")"
	}
	what := x.Code
	if len(x.Argv) > 0 {
		what = commandOf(x.Argv)
	}
	const most = 80
	if len(what) > most {
		what = what[:most] + "…"
	}
	return line + " " + string(x.Kind) + " " + strconv.Quote(what)
}
