package mcp

import (
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// maxPending is how much output one progress notification may gather before it
// is sent in any case.
const maxPending = 64 << 10

// A progress sends the output of one call as progress notifications: all of
// it, in order, the first piece at once and then a few times a second. Its
// value is the number of bytes so far, which rises with each. Whoever produces
// output waits while the client is slow, so that nothing has to be dropped.
type progress struct {
	token  []byte
	every  time.Duration
	notify func([]byte)

	mu      sync.Mutex
	pending []byte
	total   int64
	next    time.Time   // when the next one may be sent
	timer   *time.Timer // sends what is pending then; nil when nothing is
	closed  bool
}

// follow takes a piece of output.
func (p *progress) follow(stream sandbox.Stream, data []byte) {
	if stream == sandbox.Display || len(data) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, data...)
	wait := time.Until(p.next)
	switch {
	case wait <= 0, len(p.pending) >= maxPending:
		p.send()
	case p.timer == nil:
		p.timer = time.AfterFunc(wait, p.flush)
	}
}

// flush sends what is pending.
func (p *progress) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.send()
	}
}

// close sends what is pending; nothing is sent after it.
func (p *progress) close() {
	p.flush()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// send is called with the mutex held, which keeps the order.
func (p *progress) send() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if len(p.pending) == 0 {
		return
	}
	p.total += int64(len(p.pending))
	dst := make([]byte, 0, len(p.pending)+len(p.pending)/8+128)
	dst = append(dst, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":`...)
	dst = append(dst, p.token...)
	dst = plainjson.IntMember(dst, "progress", p.total)
	dst = plainjson.StringMember(dst, "message", p.pending)
	dst = append(dst, '}', '}')
	p.pending = p.pending[:0]
	p.notify(dst)
	p.next = time.Now().Add(p.every)
}
