package actors

import (
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// Recalled is what a ledger tells of executions that have not ended.
type Recalled []*execution

// Recall reads the executions that a ledger names and that have not ended: those
// of an earlier daemon. Whether the sandbox has begun them, and how they ended, it
// tells itself: Start is idempotent. A large log takes some seconds, so this has no
// place in a Receive.
func Recall(l *ledger.Ledger, opts Options) Recalled {
	opts = opts.withDefaults()
	var all Recalled
	byID := map[sandbox.ExecID]*execution{}
	for _, id := range l.Runs() {
		run, ok := l.Look(id)
		if !ok || run.Over() {
			continue
		}
		x := recalled(id, &run)
		all, byID[id] = append(all, x), x
	}
	if len(all) == 0 {
		return nil
	}
	err := l.Replay(func(e *ledger.Entry) {
		if x := byID[e.Event.Exec]; x != nil {
			x.recall(&e.Event, opts.OutputLimit)
		}
	})
	if err != nil {
		opts.Logger.Warn("the record of a session cannot be read", "session", l.Info().Session, "err", err)
	}
	for _, x := range all {
		x.omitted = x.total - int64(len(x.output.data))
	}
	return all
}

func recalled(id sandbox.ExecID, run *ledger.Run) *execution {
	x := &execution{
		id: id, exec: run.Accepted.Exec, key: run.Accepted.Key, digest: run.Accepted.Digest, detached: true, timeout: run.Accepted.Timeout, queued: run.Queued,
		handed: make(chan struct{}), done: make(chan struct{}),
		begun: run.Begun, deadline: run.Deadline, dropped: run.Dropped, cut: run.Dropped > 0,
		noted: run.Output.Total, total: run.Output.Total,
	}
	if !run.Begun.IsZero() {
		x.phase = running
		x.exec.Again = true
	}
	x.stdout.rest, x.stderr.rest = run.Held[sandbox.Stdout], run.Held[sandbox.Stderr]
	return x
}

// recall takes up what an answer may hold of an execution's output.
func (x *execution) recall(e *sandbox.Event, limit int64) {
	switch {
	case e.Type != sandbox.Output:
	case e.Stream == sandbox.Display:
		x.rich = append(x.rich, sandbox.Rich{MIME: e.MIME, Data: e.Data})
		x.richNoted++
		x.richSize += int64(len(e.Data))
	default:
		x.output.write(e.Stream, e.Data, limit)
	}
}
