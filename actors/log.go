package actors

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// batch is how many events a reader gets at once.
const batch = 256

// A Log is a bounded ring of the newest events, numbered from 1. It grows with
// what is in it, so an empty one costs next to nothing. Its methods may be
// called from many goroutines; writers never wait for readers.
//
// Readers hold a cursor and nothing else. The other way, a channel for each
// reader, either blocks the writer or drops events without a word.
type Log struct {
	mu       sync.Mutex
	ring     []sandbox.Event // the event of number n is at n modulo its length
	first    uint64          // the oldest event kept
	next     uint64          // the next to be written
	count    int             // kept
	bytes    int             // of them
	maxBytes int
	maxCount int
	closed   bool
	wake     chan struct{} // closed at the next change; nil when nobody waits
	past     past          // nil: what the ring has forgotten is gone
}

// A past keeps what a log's ring has forgotten. Its methods may block on a disk.
type past interface {
	// Oldest is the number of the oldest event that is kept.
	Oldest() uint64
	// Events returns events from a number on; the first may have a higher one.
	Events(from uint64, most, bytes int) ([]sandbox.Event, error)
}

// NewLog returns a log that keeps at most so many bytes and events; but the
// newest event is kept, whatever its size.
func NewLog(maxBytes, maxCount int) *Log {
	return &Log{first: 1, next: 1, maxBytes: maxBytes, maxCount: max(maxCount, 1)}
}

// NewLogFrom returns a log whose events have numbers from first on. Who asks for
// one before it is told of a gap.
func NewLogFrom(first uint64, maxBytes, maxCount int) *Log {
	l := NewLog(maxBytes, maxCount)
	l.first, l.next = first, first
	return l
}

// Append numbers an event and adds it. After Close it does nothing.
func (l *Log) Append(e sandbox.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	cost := weight(&e)
	for l.count > 0 && (l.bytes+cost > l.maxBytes || l.count >= l.maxCount) {
		l.forget()
	}
	l.grow()
	e.Seq = l.next
	l.ring[l.next%uint64(len(l.ring))] = e
	l.next++
	l.count++
	l.bytes += cost
	l.signal()
}

// Close ends the log: readers get what is left in it, then io.EOF.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.signal()
	}
}

// Subscribe returns a cursor behind the event of number after. With 0 it is
// before the oldest event kept, and so it is with a number that this log has
// not reached: that is of another log, of which nothing is known here.
func (l *Log) Subscribe(after uint64) sandbox.Subscription {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after == 0 || after >= l.next {
		if l.past != nil {
			return &cursor{log: l, next: min(l.past.Oldest(), l.first)}
		}
		return &cursor{log: l, next: l.first}
	}
	return &cursor{log: l, next: after + 1}
}

func (l *Log) forget() {
	oldest := &l.ring[l.first%uint64(len(l.ring))]
	l.bytes -= weight(oldest)
	*oldest = sandbox.Event{}
	l.first++
	l.count--
}

// grow makes room for one more event.
func (l *Log) grow() {
	if l.count < len(l.ring) {
		return
	}
	larger := make([]sandbox.Event, min(max(2*len(l.ring), 2), l.maxCount))
	for n := l.first; n < l.next; n++ {
		larger[n%uint64(len(larger))] = l.ring[n%uint64(len(l.ring))]
	}
	l.ring = larger
}

func (l *Log) signal() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// read returns events from number from on, or what to wait for.
func (l *Log) read(from uint64) (events []sandbox.Event, next uint64, wake <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := from + batch
	if from < l.first && l.count == 0 {
		return []sandbox.Event{{Seq: l.first - 1, Time: time.Now(), Type: sandbox.Gap, From: from, To: l.first - 1}}, l.first, nil, nil
	}
	if from < l.first {
		until = l.first + batch - 1
		events = append(events, sandbox.Event{
			Seq: l.first - 1, Time: l.oldest().Time, Session: l.oldest().Session,
			Type: sandbox.Gap, From: from, To: l.first - 1,
		})
		from = l.first
	}
	for ; from < min(l.next, until); from++ {
		events = append(events, l.ring[from%uint64(len(l.ring))])
	}
	switch {
	case len(events) > 0:
		return events, from, nil, nil
	case l.closed:
		return nil, from, nil, io.EOF
	case l.wake == nil:
		l.wake = make(chan struct{})
	}
	return nil, from, l.wake, nil
}

// oldest is the first event kept. There is one whenever something was lost.
func (l *Log) oldest() *sandbox.Event { return &l.ring[l.first%uint64(len(l.ring))] }

// weight is what an event costs beyond its slot in the ring.
func weight(e *sandbox.Event) int {
	n := len(e.Data) + len(e.MIME) + len(e.Evidence)
	if e.Exit != nil {
		n += len(e.Exit.Evidence) + len(e.Exit.Result)
		if e.Exit.Failure != nil {
			n += len(e.Exit.Failure.Name) + len(e.Exit.Failure.Message)
		}
	}
	return n
}

// A cursor implements [sandbox.Subscription].
type cursor struct {
	log  *Log
	next uint64 // the number of the next event to be read
}

// Next implements [sandbox.Subscription].
func (r *cursor) Next(ctx context.Context) ([]sandbox.Event, error) {
	for {
		if events := r.recall(); len(events) > 0 {
			return events, nil
		}
		events, next, wake, err := r.log.read(r.next)
		r.next = next
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// recallBytes is how much one reading of the past brings.
const recallBytes = 256 << 10

// recall returns events that the ring has forgotten, after a gap when some before
// them are kept nowhere. It is empty when the ring has the next one, or when the
// past cannot be read: then the ring tells of the gap.
func (r *cursor) recall() []sandbox.Event {
	until, from := r.log.forgotten(r.next), r.next
	if until == 0 {
		return nil
	}
	events, err := r.log.past.Events(from, batch-1, recallBytes)
	for len(events) > 0 && events[len(events)-1].Seq >= until { // the ring has those
		events = events[:len(events)-1]
	}
	if err != nil || len(events) == 0 {
		return nil
	}
	r.next = events[len(events)-1].Seq + 1
	if first := &events[0]; first.Seq > from {
		gap := sandbox.Event{Seq: first.Seq - 1, Time: first.Time, Session: first.Session, Type: sandbox.Gap, From: from, To: first.Seq - 1}
		events = append([]sandbox.Event{gap}, events...)
	}
	return events
}

// forgotten returns the number of the oldest event in the ring when the one of
// number from is older and there is a past; else 0.
func (l *Log) forgotten(from uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.past == nil || from >= l.first {
		return 0
	}
	return l.first
}
