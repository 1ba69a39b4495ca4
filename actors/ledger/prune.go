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
	size, kept := l.size(), make([]sandbox.ExecID, 0, min(over, o.Executions))
	for i, id := range l.order {
		run := l.runs[id]
		tooOld := run.Over() && now.Sub(run.Ended) > o.Age
		tooLarge := size > o.SessionBytes && len(kept) == 0 // behind one that is kept nothing is won
		if !run.Over() || !tooOld && !tooLarge && over <= o.Executions {
			kept = append(kept, id)
			continue
		}
		over--
		delete(l.runs, id)
		if len(kept) == 0 {
			size -= l.between(run.first.segment, l.firstOf(l.order[i+1:]))
		}
	}
	l.order = kept
	l.release()
	if size > o.SessionBytes { // events of no execution, or of those that go on
		l.shorten(o.SessionBytes)
	}
}

// between is the size of the segments from one number up to another.
func (l *Ledger) between(from, to int) int64 {
	var size int64
	for _, s := range l.segments {
		if s.number >= from && s.number < to {
			size += s.size
		}
	}
	return size
}

// firstOf is the number of the first segment that is to be kept for executions in
// their order: that of the oldest, and always the last.
func (l *Ledger) firstOf(order []sandbox.ExecID) int {
	if len(l.segments) == 0 {
		return 0
	}
	last := l.segments[len(l.segments)-1].number
	if len(order) == 0 {
		return last
	}
	return min(last, l.runs[order[0]].first.segment)
}

// firstNeeded is the number of the first segment that is to be kept.
func (l *Ledger) firstNeeded() int { return l.firstOf(l.order) }

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
