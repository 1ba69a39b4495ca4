package mcp

import (
	"net/http"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/transport/sse"
)

// A reply is the response to one call: one JSON body, unless something must be
// told before the result is there, which makes it an event stream. One mutex
// and one writer keep the order: the result is last, and nothing is lost. It
// may be used from many goroutines, also after the client has gone.
type reply struct {
	mu       sync.Mutex
	w        http.ResponseWriter
	stream   *sse.Writer
	takesSSE bool // the client accepts event streams
	started  bool // it has become one
	over     bool // answered, or the client is gone
	write    func(status int, body []byte)
	life     *time.Timer
	every    time.Duration
}

// newReply returns the reply to r, which shows signs of life when it is silent
// for too long. It must be left.
func (h *Handler) newReply(w http.ResponseWriter, r *http.Request) *reply {
	p := &reply{
		w: w, stream: sse.NewWriter(w, h.options.WriteTimeout), takesSSE: sse.Accepted(r), every: h.options.Heartbeat,
		write: func(status int, body []byte) { h.writeJSON(w, status, body) },
	}
	if p.takesSSE {
		p.mu.Lock() // the first sign of life may be due before the timer is noted
		p.life = time.AfterFunc(p.every, p.keepAlive)
		p.mu.Unlock()
	}
	return p
}

// header sets a header of the response, as long as nothing has been sent.
func (p *reply) header(name, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over && !p.started {
		p.w.Header().Set(name, value)
	}
}

// notify sends a message that belongs to the call. Clients that take JSON alone
// get the result alone.
func (p *reply) notify(msg []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || !p.takesSSE {
		return
	}
	p.event(msg)
}

// finish sends the result, or the error, which is the last.
func (p *reply) finish(status int, msg []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
	case p.started:
		p.event(msg)
	default:
		p.write(status, msg)
	}
	p.end()
}

// withdraw ends the reply without a result where the client's dialect allows
// that, and with the given one elsewhere.
func (p *reply) withdraw(msg []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
	case p.takesSSE && !p.started:
		p.start()
	case !p.started:
		p.write(http.StatusOK, msg)
	}
	p.end()
}

// leave says that the response must not be written to any more. It is called
// when the HTTP handler returns, which a call may outlive.
func (p *reply) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// end is called with the mutex held.
func (p *reply) end() {
	p.over = true
	if p.life != nil {
		p.life.Stop()
	}
}

// event is called with the mutex held. A client that cannot be written to is
// as good as gone; the call itself does not care.
func (p *reply) event(msg []byte) {
	p.start()
	frame := make([]byte, 0, len(msg)+32)
	frame = append(frame, "event: message\ndata: "...)
	frame = append(frame, msg...)
	frame = append(frame, '\n', '\n')
	if p.stream.Write(frame) != nil {
		p.end()
		return
	}
	p.life.Reset(p.every)
}

func (p *reply) start() {
	if !p.started {
		p.started = true
		p.stream.Start()
	}
}

// keepAlive keeps proxies from cutting off a call that says nothing.
func (p *reply) keepAlive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.start()
	if p.stream.Comment("keepalive") != nil {
		p.end()
		return
	}
	p.life.Reset(p.every)
}
