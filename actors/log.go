package actors

import (
	"context"
	"io"
	"sync"

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
}

// NewLog returns a log that keeps at most so many bytes and events; but the
// newest event is kept, whatever its size.
func NewLog(maxBytes, maxCount int) *Log {
	return &Log{first: 1, next: 1, maxBytes: maxBytes, maxCount: max(maxCount, 1)}
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
	larger := make([]sandbox.Event, min(max(2*len(l.ring), 8), l.maxCount))
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
