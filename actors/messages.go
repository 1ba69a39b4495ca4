package actors

import "github.com/sandwarden/sandwarden/sandbox"

// A message is what a session is asked or told. The types below are all there
// are, and only their pointers are messages. None of them ends an execution by
// itself: each is compared with what the journal says, so one that comes twice
// or late, from before a restart, does no harm.
//
//sumtype:decl
type message interface{ sessionMessage() }

// run asks for an execution. The answer is *accepted; but quiet wants none, when it
// is admitted and runs: its end is enough.
type run struct {
	of    *execution
	quiet bool
}

// accepted answers run: the execution runs or waits its turn. With an idempotency
// key it may be one that was asked for before; of is nil when that has ended.
type accepted struct {
	of       *execution
	id       sandbox.ExecID
	replayed bool
}

// cancel tells that nobody waits for an execution any more. No answer.
type cancel struct{ of *execution }

// interrupting tells that a signal is asked for. The answer is *target.
type interrupting struct{ id sandbox.ExecID }

// target answers interrupting: whom to signal, or nil when it is over.
type target struct{ of *execution }

// subscribe asks for a cursor in the log. The answer is *subscribed.
type subscribe struct{ after uint64 }

// subscribed answers subscribe.
type subscribed struct{ subscription sandbox.Subscription }

// started tells that the call of Start returned; how stands in the journal.
type started struct{ of *execution }

// ended tells that the journal has the exit of an execution.
type ended struct{ of *execution }

// expired tells that an execution has waited as long as it may.
type expired struct{ of *execution }

// overdue tells that an execution should have ended a while ago.
type overdue struct{ of *execution }

// unheeded tells that an execution had its time to heed an interrupt.
type unheeded struct{ of *execution }

// died tells that a sandbox is dead.
type died struct{ box sandbox.Sandbox }

// broken tells that a sandbox is of no use any more, though it may live.
type broken struct {
	box      sandbox.Sandbox
	evidence string
}

// offered tells that a fresh sandbox is in the journal.
type offered struct{}

// attached tells which executions a sandbox knows.
type attached struct {
	box   sandbox.Sandbox
	known []sandbox.ExecState
	asked []*execution // about whom it was asked: their Start had returned
}

func (*run) sessionMessage()          {}
func (*cancel) sessionMessage()       {}
func (*interrupting) sessionMessage() {}
func (*subscribe) sessionMessage()    {}
func (*started) sessionMessage()      {}
func (*ended) sessionMessage()        {}
func (*expired) sessionMessage()      {}
func (*overdue) sessionMessage()      {}
func (*unheeded) sessionMessage()     {}
func (*died) sessionMessage()         {}
func (*broken) sessionMessage()       {}
func (*offered) sessionMessage()      {}
func (*attached) sessionMessage()     {}
