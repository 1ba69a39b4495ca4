package sandbox

import "time"

// A Meter counts what happens in the daemon. Its methods may be called from
// many goroutines, also by one that holds a lock, so they do not block and take
// no more than a moment. Names of templates and flavors, reasons and outcomes
// are few; what a Meter does not know it counts as one.
type Meter interface {
	// SessionAdmitted tells that a session got its place, and how long it
	// waited for that.
	SessionAdmitted(template, flavor string, waited time.Duration)
	// SessionRefused tells that somebody did not get a session: the resource
	// that was full, or else the kind of the error.
	SessionRefused(reason string)
	// SessionEnded tells that a session that was ready is gone.
	SessionEnded(cause Cause)
	// SandboxMade tells how long the making of a sandbox took, or that it
	// failed.
	SandboxMade(template string, took time.Duration, err error)
	// SandboxLost tells that a session gave up its sandbox, for which it gets
	// another or ends.
	SandboxLost(cause Cause)
	// ActorRestarted tells that the actor of a session had to begin anew.
	ActorRestarted()
	// ExecutionEnded tells how an execution ended: with an Outcome, or with
	// the cause that ended it.
	ExecutionEnded(kind ExecKind, outcome string, took, waited time.Duration)
	// OutputBytes tells what a sandbox put out, kept or not.
	OutputBytes(n int)
}

// An ExecKind is what an execution runs.
type ExecKind string

// The kinds.
const (
	CodeExec    ExecKind = "code"
	CommandExec ExecKind = "command"
)

// How executions end that nothing else ended. Others end with a [Cause].
const (
	OutcomeOK     = "ok"
	OutcomeFailed = "failed"  // a status that is not 0, or an error that was not caught
	OutcomeNotRun = "not_run" // it was refused, or its session ended first
)

// NoMeter counts nothing.
type NoMeter struct{}

// SessionAdmitted implements [Meter].
func (NoMeter) SessionAdmitted(string, string, time.Duration) {}

// SessionRefused implements [Meter].
func (NoMeter) SessionRefused(string) {}

// SessionEnded implements [Meter].
func (NoMeter) SessionEnded(Cause) {}

// SandboxMade implements [Meter].
func (NoMeter) SandboxMade(string, time.Duration, error) {}

// SandboxLost implements [Meter].
func (NoMeter) SandboxLost(Cause) {}

// ActorRestarted implements [Meter].
func (NoMeter) ActorRestarted() {}

// ExecutionEnded implements [Meter].
func (NoMeter) ExecutionEnded(ExecKind, string, time.Duration, time.Duration) {}

// OutputBytes implements [Meter].
func (NoMeter) OutputBytes(int) {}
