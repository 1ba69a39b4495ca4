// Package actors is the actor that owns one sandbox while clients use it, and
// what all actors share.
//
// [Session] is the façade: a Go type with ordinary blocking methods. Behind it
// are three things. The actor decides: who runs, who waits, who is refused, what
// is told to observers. The journal remembers: the output log, the executions
// and how far the sandbox's frames were taken. It is plain Go under one mutex,
// made with the session and captured by the actor's producer, so that an actor
// that panics comes back to all of it. The pump, a goroutine that lives while
// something runs, carries frames from the sandbox into the journal.
//
// # Ordering
//
// Code runs one at a time, in the order in which it was accepted; commands run
// side by side up to a number, and start in that order too. The frames of one
// sandbox enter the journal in the order of their sequence numbers, each once:
// a pump of an incarnation before the panic cannot add a frame that another
// has added. The events of one execution are execution.started, its output,
// execution.finished; session.stopped is the last event of a log.
//
// Less formally: what a caller follows, what a reader of the log sees and what
// the result holds are the same bytes in the same order.
//
// # Backpressure
//
// Nobody who reads can slow the sandbox or another reader. The log is a ring
// with a cursor per reader, and who falls behind is told by a gap. An execution
// keeps its output, up to its limit, for the one caller that waits for it. The
// queues are bounded, and so is the time spent in them.
//
// # Failure
//
// A panic of the actor cancels nothing: executions go on in the sandbox, the
// next incarnation takes them over. The death of the sandbox ends them with its
// cause, and the parent is told, which gives the session another. Only the end
// of the session answers everybody and closes the log.
//
// An idle session costs its actor, its journal with an empty log, and one
// goroutine that waits for the death of the sandbox.
package actors
