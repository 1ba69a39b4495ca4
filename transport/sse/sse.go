// Package sse writes server-sent events to clients that may be slow, stuck or
// gone, and knows all streams that are open, so that they can be ended.
package sse

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/transport/door"
)

// A Writer writes events to one client. Each write has a deadline of its own:
// a client that does not read loses its connection, and nobody waits for it.
// It is for one goroutine at a time.
type Writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// NewWriter returns a Writer on w, whose writes take at most timeout.
func NewWriter(w http.ResponseWriter, timeout time.Duration) *Writer {
	return &Writer{w: w, control: http.NewResponseController(w), timeout: timeout}
}

// Start sends the headers of an event stream.
func (s *Writer) Start() {
	header := s.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
}

// Write sends whole events or comments, and flushes them.
func (s *Writer) Write(events []byte) error {
	// Writers without deadlines are those of tests; the write itself tells
	// what matters.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout))
	if _, err := s.w.Write(events); err != nil {
		return err
	}
	return s.control.Flush()
}

// Comment sends a line that clients skip and that keeps proxies from closing
// the stream.
func (s *Writer) Comment(text string) error {
	return s.Write([]byte(": " + text + "\n\n"))
}

// Accepted reports whether a request's Accept header names event streams.
func Accepted(r *http.Request) bool {
	for _, line := range r.Header["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			kind, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// Streams are the open streams of a server: at most so many, and all of them
// ended by Close. Its methods may be called from many goroutines.
type Streams struct {
	shares *door.Shares

	mu     sync.Mutex
	open   map[*int]context.CancelFunc
	closed bool
}

// NewStreams returns a Streams that holds at most the given number.
func NewStreams(most int) *Streams {
	return &Streams{shares: door.NewShares(most), open: make(map[*int]context.CancelFunc)}
}

// Enter adds a stream. The context that it returns ends with the stream's end
// or with Close; leave must be called once. It returns false when there are
// too many or the server is closing.
func (s *Streams) Enter(ctx context.Context) (stream context.Context, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := door.Principal(ctx)
	if s.closed || !s.shares.Take(who) {
		return nil, nil, false
	}
	stream, cancel := context.WithCancel(ctx)
	key := new(int)
	s.open[key] = cancel
	return stream, func() {
		cancel()
		s.shares.Give(who)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, key)
	}, true
}

// Close ends all streams and admits no more. It does not wait for them.
func (s *Streams) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, cancel := range s.open {
		cancel()
	}
}
