package actors

import "github.com/sandwarden/sandwarden/sandbox"

// restore takes up the executions that the ledger names and that have not ended:
// those of an earlier daemon. Whether the sandbox has begun them, and how they
// ended, it tells itself: Start is idempotent.
func (j *journal) restore() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range j.ledger.Runs() {
		run, ok := j.ledger.Look(id)
		if !ok || run.Over() {
			continue
		}
		x := &execution{
			id: id, exec: run.Accepted.Exec, key: run.Accepted.Key, digest: run.Accepted.Digest, detached: true, timeout: run.Accepted.Timeout, queued: run.Queued,
			handed: make(chan struct{}), done: make(chan struct{}),
			begun: run.Begun, deadline: run.Deadline, dropped: run.Dropped, cut: run.Dropped > 0,
		}
		if !run.Begun.IsZero() {
			x.phase = running
		}
		x.stdout.rest, x.stderr.rest = run.Held[sandbox.Stdout], run.Held[sandbox.Stderr]
		j.recall(x, run.Output.Total)
		j.executions = append(j.executions, x)
	}
}

// recall reads what an answer may hold of an execution's output.
func (j *journal) recall(x *execution, total int64) {
	x.noted, x.total = total, total
	page, err := j.ledger.Output(x.id, sandbox.OutputQuery{Max: int(min(j.opts.OutputLimit, sandbox.MaxOutput))})
	for err == nil {
		for _, chunk := range page.Chunks {
			x.output.write(chunk.Stream, chunk.Data, j.opts.OutputLimit)
		}
		if len(page.Chunks) == 0 || page.Next >= min(total, j.opts.OutputLimit) {
			break
		}
		page, err = j.ledger.Output(x.id, sandbox.OutputQuery{From: page.Next})
	}
	if err != nil {
		j.opts.Logger.Warn("the record of a session cannot be read", "err", err)
	}
	x.omitted = total - int64(len(x.output.data))
	if x.rich, err = j.ledger.Rich(x.id); err != nil {
		j.opts.Logger.Warn("the record of a session cannot be read", "err", err)
	}
	x.richNoted = len(x.rich)
	for _, rich := range x.rich {
		x.richSize += int64(len(rich.Data))
	}
}
