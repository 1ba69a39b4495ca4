// Package supervision is the actor that owns all sessions: it admits, restarts,
// evicts and buries them.
//
// [Sessions] is the façade, with ordinary blocking methods. The actor behind it
// does the arithmetic of admission alone, so that it cannot race. It never does
// the work of an execution: it hands out the session, and the call goes there.
//
// # Ordering
//
// A session waits for admission, is made, lives, and ends; it never goes back.
// Its place is booked before its sandbox is begun, and is free again only when
// the sandbox is gone, so the numbers say what really is. Who waits for
// admission waits in one line, whatever its size.
//
// # Holds
//
// A call that was handed a session has a hold on it until its end. The actor
// alone gives holds, so a session that it sees without one, and with nothing
// running, stays so while it decides: it can be evicted or reaped without a
// race, and a session in use never is.
//
// # Restarts
//
// Sessions outlive their daemon. [New] books those that the store names before it
// takes any request, and takes their sandboxes over one after another; who asks
// for one meanwhile waits. One whose sandbox has died ends, with the cause in its
// record. [Sessions.Leave] ends the actors alone, [Sessions.Close] all.
//
// # Failure
//
// Three things fail apart from one another. A session's actor panics: it is
// restarted after a growing pause, and ends when it panics too often. A sandbox
// dies: the session gets a fresh one in the same manner. The supervisor itself
// panics: that costs the message in hand, for its guardian resumes it. So each
// handler first does what can fail, and changes maps and sums last.
package supervision
