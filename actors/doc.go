// Package actors is the actor that owns one sandbox while clients use it, and
// what all actors share.
//
// [Session] is the façade: a Go type with ordinary blocking methods. Behind it
// are four things. The actor decides: who runs, who waits, who is refused. The
// journal remembers: the output log, the executions and how far the sandbox's
// frames were taken. It is plain Go under one mutex, made with the session and
// captured by the actor's producer, so that an actor that panics comes back to
// all of it. The pump, a goroutine that lives while something runs, carries
// frames from the sandbox into the journal. The ledger (actors/ledger) keeps on
// disk what must outlive the daemon; the next one makes a journal of it again.
//
// # Durability
//
// What happens is noted in the journal, written into the ledger, and only then
// told: to the logs, to who waits for an execution, and to the sandbox, which may
// forget the frames. The actor notes and never waits for a disk; its callers, the
// pump and goroutines of its own write. An execution is in the ledger before the
// sandbox is asked to start it, and starting is idempotent by its id: one that the
// end of a daemon interrupted is started again, and has run once. A disk that
// takes no more costs output, which is counted as dropped, and new work, which is
// refused; nothing else.
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
// with a cursor per reader; who falls behind reads from the ledger, and is told by
// a gap what is kept nowhere. An execution holds its output in memory, as much as
// an answer may have, for those who wait for it. The queues are bounded, and so is
// the time spent in them.
//
// # Failure
//
// A panic of the actor cancels nothing: executions go on in the sandbox, the
// next incarnation takes them over. The death of the sandbox ends them with its
// cause, and the parent is told, which gives the session another. Only the end
// of the session answers everybody and closes the log.
//
// An idle session costs its actor, its journal with an empty log, the ledger's
// index of what is kept, and one goroutine that waits for the death of the
// sandbox.
package actors
