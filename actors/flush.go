package actors

import (
	"time"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// A note is an entry that is to be written.
type note struct {
	entry ledger.Entry
	of    *execution // whose output it is, or that has ended with it; may be nil
	ends  bool       // of is finished once this is written
}

// maxNoted bounds the notes that wait for a disk that does not take them.
const maxNoted = 4096

// retryEvery is how long after a failure to write the next try is.
const retryEvery = time.Second

// note adds a note, with the time. It is called with the mutex held.
func (j *journal) note(n note) {
	n.entry.Event.Time, n.entry.Event.Session = time.Now(), j.name
	j.noted = append(j.noted, n)
}

// kick sees to it that somebody flushes soon. It is called with the mutex held,
// by who must not wait for a disk.
func (j *journal) kick() {
	if j.kicked || len(j.noted) == 0 {
		return
	}
	j.kicked = true
	go func() {
		j.mu.Lock()
		j.kicked = false
		j.mu.Unlock()
		j.guarded(j.flush)
		j.mu.Lock()
		idle := j.pump == nil && !j.runs()
		j.mu.Unlock()
		if idle { // else the pump sees to it
			j.ledger.Rest()
		}
	}()
}

// guarded lets work of a goroutine panic without the daemon: no supervisor sees
// it.
func (j *journal) guarded(work func()) {
	_ = Caught(j.opts.Logger, func() error { work(); return nil }) // it was logged
}

// flush writes what was noted into the ledger, and then tells it: to the logs,
// to who follows an execution, to who waits for its end. When it returns, what
// was noted before the call is told. It waits for the disk.
func (j *journal) flush() {
	j.flushing.Lock()
	defer j.flushing.Unlock()
	j.mu.Lock()
	notes := j.noted
	j.noted = nil
	j.mu.Unlock()
	if len(notes) == 0 {
		return
	}
	entries := j.writing[:0]
	for i := range notes {
		entries = append(entries, notes[i].entry)
	}
	j.writing = entries
	err := j.ledger.Append(entries)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		if sandbox.KindOf(err) != sandbox.NoSpace { // of which the store tells, once
			j.opts.Logger.Warn("the record of a session cannot be written", "err", err)
		}
		j.writing = nil
		j.unwritten(notes)
		return
	}
	for i := range entries {
		j.told(&notes[i], &entries[i].Event)
	}
	j.reuse(notes)
}

// reusedNotes is how many notes a session has room for that it keeps, as long as
// its pump runs: those of a short execution.
const reusedNotes = 8

// shed gives back what reuse keeps: nothing will be noted for a while.
func (j *journal) shed() {
	j.flushing.Lock()
	defer j.flushing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writing = nil
	if len(j.noted) == 0 {
		j.noted = nil
	}
}

// reuse keeps the room of notes that were told for the next ones. It is called
// with the mutexes held.
func (j *journal) reuse(notes []note) {
	clear(notes)
	clear(j.writing)
	if cap(j.writing) > reusedNotes || j.pump == nil {
		j.writing = nil
	}
	if j.noted == nil && cap(notes) <= reusedNotes && j.pump != nil {
		j.noted = notes[:0]
	}
}

// told shows what is in the ledger now.
func (j *journal) told(n *note, e *sandbox.Event) {
	if e.Type != "" {
		j.log.Append(*e)
		j.all.Append(*e)
	}
	if n.of == nil {
		return
	}
	switch {
	case n.ends:
		if n.of.phase == exited {
			j.drop(n.of)
		}
	case e.Type == sandbox.Output && e.Stream == sandbox.Display:
		n.of.rich = append(n.of.rich, sandbox.Rich{MIME: e.MIME, Data: e.Data})
	case e.Type == sandbox.Output:
		kept := n.of.output.write(e.Stream, e.Data, j.opts.OutputLimit)
		n.of.omitted += int64(len(e.Data) - kept)
		n.of.total += int64(len(e.Data))
		n.of.stir()
	}
}

// unwritten deals with notes that the disk did not take. Output is dropped, and
// counted as what is over a limit is, so that the program goes on. What else
// there is waits for better times; but who waits for the end of an execution is
// not kept waiting. It is called with the mutex held.
func (j *journal) unwritten(notes []note) {
	kept := notes[:0]
	for i := range notes {
		n := &notes[i]
		if e := &n.entry.Event; e.Type == sandbox.Output || e.Type == "" && e.Stream != "" {
			j.discarded(n)
			continue
		}
		if n.ends && n.of != nil && n.of.phase == exited {
			if exit := n.entry.Event.Exit; exit != nil && n.of.err == nil {
				exit.Dropped = n.of.exit.Dropped
			}
			j.drop(n.of)
			n.of = nil
		}
		kept = append(kept, *n)
	}
	if len(kept) > 0 {
		time.AfterFunc(retryEvery, func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.kick()
		})
	}
	j.noted = append(kept, j.noted...)
	if len(j.noted) > maxNoted {
		j.noted = j.noted[len(j.noted)-maxNoted:]
	}
}

// discarded counts output that is lost to a disk that does not take it.
func (j *journal) discarded(n *note) {
	if x := n.of; x != nil {
		size := int64(len(n.entry.Event.Data))
		x.dropped += size
		x.cut = true
		if x.phase == exited {
			x.exit.Dropped += size
		}
	}
}
