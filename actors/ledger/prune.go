package ledger

import (
	"os"
	"slices"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// tidy forgets what is kept no longer, and then removes the files of that. It is
// called by who holds the right to write.
func (l *Ledger) tidy() {
	l.mu.Lock()
	before := slices.Clone(l.segments)
	l.prune(time.Now())
	kept := len(l.segments)
	l.mu.Unlock()
	for _, s := range before[:len(before)-kept] {
		_ = os.Remove(l.path(s.number)) // one that stays costs room, and is met again at the next start
		l.store.grew(-s.size)
	}
}

// prune forgets executions that have ended and are too many, too old or too
// large, the oldest first; and then the segments that nothing needs any more. It
// is called with the mutex held.
func (l *Ledger) prune(now time.Time) {
	o := &l.store.opts
	over := 0
	for _, id := range l.order {
		if l.runs[id].Over() {
			over++
		}
	}
	size := l.size()
	for _, id := range slices.Clone(l.order) {
		run := l.runs[id]
		tooOld := run.Over() && now.Sub(run.Ended) > o.Age
		if !run.Over() || !tooOld && over <= o.Executions && size <= o.SessionBytes {
			continue
		}
		over--
		size -= l.forget(id)
	}
	l.release()
	if size > o.SessionBytes { // events of no execution, or of those that go on
		l.shorten(o.SessionBytes)
	}
}

// forget takes an execution out of the index, and returns how many bytes of
// segments nothing needs any more for that.
func (l *Ledger) forget(id sandbox.ExecID) int64 {
	before := l.needed()
	delete(l.runs, id)
	l.order = slices.DeleteFunc(l.order, func(other sandbox.ExecID) bool { return other == id })
	return before - l.needed()
}

// needed is the size of the segments from the first that an execution is in.
func (l *Ledger) needed() int64 {
	first, size := l.firstNeeded(), int64(0)
	for _, s := range l.segments {
		if s.number >= first {
			size += s.size
		}
	}
	return size
}

// firstNeeded is the number of the first segment that is to be kept: those of
// executions, and always the last.
func (l *Ledger) firstNeeded() int {
	if len(l.segments) == 0 {
		return 0
	}
	first := l.segments[len(l.segments)-1].number
	for _, run := range l.runs {
		first = min(first, run.first.segment)
	}
	return first
}

func (l *Ledger) size() int64 {
	var size int64
	for _, s := range l.segments {
		size += s.size
	}
	return size
}

// release forgets the segments that no execution needs, once those that are left
// are enough for who reads events.
func (l *Ledger) release() {
	first := l.firstNeeded()
	for len(l.segments) > 1 && l.segments[0].number < first && l.size() > l.store.opts.SegmentBytes {
		l.drop()
	}
}

// shorten forgets segments from the oldest on until so many bytes are left. What
// executions had in them is gone.
func (l *Ledger) shorten(most int64) {
	for len(l.segments) > 1 && l.size() > most && l.segments[0].number < l.firstNeeded() {
		l.drop()
	}
}

// drop forgets the oldest segment.
func (l *Ledger) drop() {
	s := l.segments[0]
	l.segments = slices.Delete(l.segments, 0, 1)
	l.points = slices.DeleteFunc(l.points, func(m mark) bool { return m.at.segment == s.number })
}
