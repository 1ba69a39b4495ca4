package actors

import (
	"time"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// lose gives up the sandbox: what ran in it ends with the death's cause, but
// for the execution of, which has its own. It returns those that ended so.
func (j *journal) lose(box sandbox.Sandbox, death sandbox.Death, of *execution, cause sandbox.Cause) (over []*execution) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.box, j.loss = nil, &loss{box, death}
	for _, x := range j.executions {
		if x.phase != running {
			continue
		}
		exit := killed(death)
		if x == of {
			exit.Cause = cause
		}
		exit.Duration = time.Since(x.begun)
		j.exit(x, exit, 0)
		over = append(over, x)
	}
	j.kick()
	return over
}

// has tells whether box is the session's, which only the actor changes.
func (j *journal) has(box sandbox.Sandbox) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return box != nil && j.box == box && !j.ended
}

// told is a death in words that may be passed on.
func told(death sandbox.Death) sandbox.Death {
	death.Cause, death.Evidence = known(death.Cause), head(death.Evidence, maxEvidence)
	if death.Cause == sandbox.CauseNone {
		death.Cause = sandbox.CauseCrashed
	}
	return death
}

// killed is the exit of what ran in a sandbox that died.
func killed(death sandbox.Death) sandbox.Exit {
	return sandbox.Exit{Code: 128 + 9, Cause: death.Cause, Evidence: death.Evidence, StateLost: true}
}

// lost returns the sandbox that was lost and not yet replaced, or nil.
func (j *journal) lost() *loss {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.loss
}

// offer leaves a fresh sandbox for the actor to adopt. It refuses when the
// session is over: then the sandbox stays the caller's.
func (j *journal) offer(box sandbox.Sandbox) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended || j.ending != sandbox.CauseNone || j.loss == nil {
		return false
	}
	j.fresh = box
	return true
}

// adopt takes the sandbox that was offered and publishes session.restarted. It
// tells whether there was one.
func (j *journal) adopt() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fresh == nil || j.ended {
		return false
	}
	death := j.loss.death
	j.box, j.fresh, j.loss, j.cursor = j.fresh, nil, nil, 0
	j.stdout, j.stderr = joiner{}, joiner{}
	j.restarts++
	j.note(note{entry: ledger.Entry{Box: j.box.ID(), Event: sandbox.Event{
		Type: sandbox.SessionRestarted, Cause: death.Cause, Evidence: death.Evidence, StateLost: true, FilesLost: true,
	}}})
	j.kick()
	return true
}

// detach says that the daemon goes away, and the session stays.
func (j *journal) detach() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended && j.ending == sandbox.CauseNone {
		j.detached, j.ending = true, sandbox.CauseShutdown
	}
}

// doom says why the session is to end. The first cause stays.
func (j *journal) doom(cause sandbox.Cause) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ending == sandbox.CauseNone {
		j.ending = cause
	}
}

// gone is the answer of a session that has ended.
func (j *journal) gone(op string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &sandbox.Error{
		Op: op, ID: j.name, Kind: sandbox.Stopped, Cause: j.ending,
		Detail: "the session has ended", Remedy: "call again with the same name to get a fresh session",
	}
}

// isOver tells whether the session has ended.
func (j *journal) isOver() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended
}

// end answers everybody, notes session.stopped and closes the log, once. It
// returns why the session ended.
func (j *journal) end() sandbox.Cause {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return j.ending
	}
	if j.ending == sandbox.CauseNone {
		j.ending = sandbox.CauseCrashed
	}
	j.ended = true
	if j.detached {
		j.leave()
	} else {
		j.conclude()
	}
	close(j.over)
	return j.ending
}

// conclude ends what is under way with the session.
func (j *journal) conclude() {
	for _, x := range j.executions {
		switch x.phase {
		case queued:
			j.turnAway(x, j.stopped())
		case running:
			exit := killed(sandbox.Death{Cause: j.ending, Evidence: "the session ended"})
			exit.Duration = time.Since(x.begun)
			j.exit(x, exit, 0)
		case exited, finished:
		}
	}
	j.note(note{entry: ledger.Entry{Event: sandbox.Event{Type: sandbox.SessionStopped, Cause: j.ending}}})
	go func() { // ends with the disk's answer
		defer close(j.settled)
		j.guarded(j.flush)
		j.settle()
		j.log.Close()
		j.guarded(j.ledger.Archive)
	}()
}

// leave answers who waits for work that goes on without this daemon, in which
// nothing of it has ended.
func (j *journal) leave() {
	go func() { // ends with the disk's answer
		defer close(j.settled)
		j.guarded(j.flush) // what has ended has ended, and who waits for it is told so
		j.mu.Lock()
		for _, x := range j.executions {
			if x.phase != finished {
				x.err, x.phase = j.goesOn(x), finished
				x.stir()
				close(x.done)
			}
		}
		j.executions = nil
		j.mu.Unlock()
		j.log.Close()
		j.ledger.Rest()
	}()
}

// settle finishes what the disk did not take.
func (j *journal) settle() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.executions) > 0 { // drop takes it out
		j.drop(j.executions[0])
	}
}

// goesOn is the answer to who waits when the daemon goes away.
func (j *journal) goesOn(x *execution) error {
	return &sandbox.Error{
		Op: "execute", ID: j.name, Kind: sandbox.Stopped, Cause: sandbox.CauseShutdown,
		Detail: "the daemon is shutting down; execution " + string(x.id) + " goes on",
		Remedy: "ask for the execution when the daemon is back",
	}
}

// Activity is what a session is doing now.
type Activity struct {
	Sandbox  sandbox.ID // empty while there is none
	Running  int        // executions that run or wait
	Restarts int        // fresh sandboxes that it was given
	LastUsed time.Time  // when its last execution ended, or it was made
	Over     bool       // it ends or has ended
}

func (j *journal) activity() Activity {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := Activity{Running: len(j.executions), Restarts: j.restarts, LastUsed: j.lastUsed}
	a.Over = j.ended || j.ending != sandbox.CauseNone
	if j.box != nil {
		a.Sandbox = j.box.ID()
	}
	return a
}
