package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The frames of ttrpc: a header of length, stream, type and flags, and that many
// bytes behind it.
const (
	frameHeader   = 10
	frameMost     = 4 << 20 // that ttrpc takes
	frameRequest  = 1
	frameResponse = 2
)

const (
	serviceName = "sandwarden.agent.v1.Agent"
	// readAhead holds most replies whole; larger ones are read past it.
	readAhead = 512
	// writeKept is how large a buffer for a request may be to be used again.
	writeKept = 64 << 10
)

// A link makes unary calls in the frames of ttrpc over one connection. It is
// made for many connections that are mostly idle: ttrpc's own client has 8 KiB
// of buffers for each, this one half a KiB. It logs nothing of what an agent
// says, and ends the connection of one that breaks the protocol.
type link struct {
	conn    net.Conn
	sending sync.Mutex // held while a request goes out: ids rise on the wire

	mu    sync.Mutex
	calls map[uint32]*pending // that wait for their reply; nil at first
	last  uint32              // id that was given out
	ended bool
}

// A pending call waits for its reply.
type pending struct {
	done  chan struct{} // closed with the reply or without
	reply []byte
	over  bool // the connection ended first
}

// newLink makes calls over conn, which it owns. onClose is called once, when the
// connection has ended.
func newLink(conn net.Conn, onClose func()) *link {
	l := &link{conn: conn}
	go func() { // ends with the connection
		_ = l.receive()
		_ = l.conn.Close()
		l.end()
		onClose()
	}()
	return l
}

// close ends the connection, and with it all calls.
func (l *link) close() error {
	if err := l.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// call asks the agent and waits for the reply, until ctx ends; the agent is told
// how long that is. The error is ctx's, [ttrpc.ErrClosed], or a status.
func (l *link) call(ctx context.Context, method string, request, reply proto.Message) error {
	payload, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	r := &ttrpc.Request{Service: serviceName, Method: method, Payload: payload}
	if deadline, ok := ctx.Deadline(); ok {
		r.TimeoutNano = time.Until(deadline).Nanoseconds()
	}
	id, p, err := l.send(r)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		l.forget(id)
		return ctx.Err()
	}
	if p.over {
		return ttrpc.ErrClosed
	}
	var response ttrpc.Response
	if err := proto.Unmarshal(p.reply, &response); err != nil {
		return err
	}
	if s := response.Status; s != nil && s.GetCode() != int32(codes.OK) {
		return status.ErrorProto(s)
	}
	return proto.Unmarshal(response.Payload, reply)
}

// buffers are those of requests that have gone out.
var buffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // they are of no connection

// send writes a request, in one piece.
func (l *link) send(r *ttrpc.Request) (uint32, *pending, error) {
	kept, _ := buffers.Get().(*[]byte)
	defer buffers.Put(kept)
	frame, err := proto.MarshalOptions{}.MarshalAppend(append((*kept)[:0], make([]byte, frameHeader)...), r)
	if err != nil {
		return 0, nil, err
	}
	if cap(frame) <= writeKept {
		*kept = frame[:0]
	}
	size := len(frame) - frameHeader
	if size > frameMost {
		return 0, nil, status.Error(codes.ResourceExhausted, fmt.Sprintf("a request of %d bytes is too large", size))
	}
	binary.BigEndian.PutUint32(frame, uint32(size))
	frame[8], frame[9] = frameRequest, 0

	l.sending.Lock()
	defer l.sending.Unlock()
	id, p, err := l.begin()
	if err != nil {
		return 0, nil, err
	}
	binary.BigEndian.PutUint32(frame[4:], id)
	if _, err := l.conn.Write(frame); err != nil { // perhaps a part was written, so nothing can come behind it
		l.forget(id)
		_ = l.conn.Close()
		return 0, nil, ttrpc.ErrClosed
	}
	return id, p, nil
}

// begin gives a call its id: an odd one, as those of who began the connection
// are, and a higher one than any before.
func (l *link) begin() (uint32, *pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.last >= math.MaxUint32-2 {
		return 0, nil, ttrpc.ErrClosed
	}
	if l.last++; l.last > 1 {
		l.last++
	}
	if l.calls == nil {
		l.calls = make(map[uint32]*pending)
	}
	p := &pending{done: make(chan struct{})}
	l.calls[l.last] = p
	return l.last, p, nil
}

// forget drops a call whose reply nobody wants any more.
func (l *link) forget(id uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(id)
}

// drop takes a call out. It is called with the mutex held.
func (l *link) drop(id uint32) *pending {
	p := l.calls[id]
	delete(l.calls, id)
	return p
}

// take takes out the call that a reply is for; nil when nobody waits for it.
func (l *link) take(id uint32) *pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drop(id)
}

// end ends all calls that wait.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, p := range l.calls {
		p.over = true
		close(p.done)
	}
	l.calls = nil
}

var errFrame = errors.New("the agent's frame breaks the protocol")

// receive hands out replies until the connection ends, or is not to be believed.
func (l *link) receive() error {
	r := bufio.NewReaderSize(l.conn, readAhead)
	var header [frameHeader]byte
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(header[:])
		if size > frameMost || header[8] != frameResponse {
			return errFrame
		}
		p := l.take(binary.BigEndian.Uint32(header[4:]))
		if p == nil { // its caller has gone
			if _, err := r.Discard(int(size)); err != nil {
				return err
			}
			continue
		}
		reply := make([]byte, size)
		_, err := io.ReadFull(r, reply)
		p.reply, p.over = reply, err != nil
		close(p.done)
		if err != nil {
			return err
		}
	}
}
