package mcp

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// A program that reads nothing is offered its input again this often, for this
// long.
const (
	offerEvery = 50 * time.Millisecond
	offerFor   = 10 * time.Second
)

// senders are the executions that are being sent input: one call each, so that
// what two calls send is never mixed.
type senders struct {
	mu   sync.Mutex
	busy map[sandbox.ExecID]bool
}

// begin notes a call. It returns false when another one is sending.
func (s *senders) begin(id sandbox.ExecID) (end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return nil, false
	}
	if s.busy == nil {
		s.busy = make(map[sandbox.ExecID]bool)
	}
	s.busy[id] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, id)
	}, true
}

// sendInput writes to the stdin of an execution.
func (h *Handler) sendInput(ctx context.Context, op *operation) outcome {
	owner := door.Principal(ctx)
	record, err := h.sessions.Execution(ctx, owner, op.execution)
	if err != nil {
		return h.failed(ctx, op, err, op.call())
	}
	if record.Status.Over() {
		err := &sandbox.Error{
			Op: "stdin", ID: string(op.execution), Kind: sandbox.Conflict, Detail: "the execution has ended and reads no more input",
			Remedy: "Read what it put out with get_execution",
		}
		return h.failed(ctx, op, err, op.call())
	}
	end, ok := h.senders.begin(op.execution) // by its owner alone: nobody else sees or keeps the turn
	if !ok {
		err := &sandbox.Error{
			Op: "stdin", ID: string(op.execution), Kind: sandbox.Conflict,
			Detail: "another call is sending input to this execution", Remedy: "Wait for its answer, then send",
		}
		return h.failed(ctx, op, err, op.call())
	}
	defer end()
	p := &pipe{sessions: h.sessions, owner: owner, id: op.execution}
	sent, err := p.send(ctx, op.input.data)
	whole := sent == len(op.input.data)
	if err == nil && whole && op.input.closes {
		_, err = h.sessions.WriteStdin(ctx, owner, op.execution, p.offset, nil)
	}
	if err != nil {
		return h.failed(ctx, op, err, op.call())
	}
	return told(op, sentAnswer(op, &record, sent))
}

// sentAnswer tells how much was sent, and where the program's answer to it will
// stand in its output.
func sentAnswer(op *operation, before *sandbox.Execution, sent int) *answer {
	all := len(op.input.data)
	closed := sent == all && op.input.closes
	said := strconv.Itoa(sent) + " bytes were sent"
	if sent < all {
		said = strconv.Itoa(sent) + " of " + strconv.Itoa(all) + " bytes were sent: the program reads no more now. Send the rest later"
	}
	if closed {
		said += ", and stdin was closed"
	}
	cursor := before.Output.Total
	said += ". get_execution with execution_id=" + string(op.execution) + ", cursor=" + strconv.FormatInt(cursor, 10) +
		", until=output and wait=5 reads what it answers"
	facts := plainjson.StringMember([]byte{'{'}, "execution_id", string(op.execution))
	facts = plainjson.IntMember(facts, "sent_bytes", int64(sent))
	facts = plainjson.BoolMember(facts, "complete", sent == all)
	facts = plainjson.BoolMember(facts, "closed", closed)
	return &answer{text: []byte(said), facts: plainjson.IntMember(facts, "cursor", cursor)}
}

// A pipe is the stdin of one execution.
type pipe struct {
	sessions Executions
	owner    sandbox.Principal
	id       sandbox.ExecID
	offset   uint64 // of the next byte
}

// send writes data behind what was written before, and returns how much of it
// was taken before the program stopped reading.
func (p *pipe) send(ctx context.Context, data []byte) (sent int, err error) {
	if err := p.find(ctx); err != nil {
		return 0, err
	}
	enough := time.NewTimer(offerFor)
	defer enough.Stop()
	again := time.NewTicker(offerEvery)
	defer again.Stop()
	for sent < len(data) {
		n, err := p.sessions.WriteStdin(ctx, p.owner, p.id, p.offset, data[sent:])
		if err != nil {
			return sent, err
		}
		n = min(max(n, 0), len(data)-sent)
		sent += n
		p.offset += uint64(n) //nolint:gosec // it is not below 0
		if n > 0 {
			continue
		}
		select {
		case <-again.C:
		case <-enough.C:
			return sent, nil
		case <-ctx.Done():
			return sent, ctx.Err()
		}
	}
	return sent, nil
}

// find looks for the offset behind all that was ever written. Nobody keeps it,
// but a write of nothing fails where it would leave a hole, and does nothing
// elsewhere. What it writes is empty and not nil, which would close the stdin.
func (p *pipe) find(ctx context.Context) error {
	if err := p.fits(ctx, 0); err != nil {
		return err
	}
	over := uint64(1) // leaves a hole; what is below it and was tried does not
	for p.fits(ctx, over) == nil && over < maxOffset {
		p.offset, over = over, over*2
	}
	for p.offset+1 < over {
		middle := p.offset + (over-p.offset)/2
		if p.fits(ctx, middle) == nil {
			p.offset = middle
		} else {
			over = middle
		}
	}
	return ctx.Err()
}

func (p *pipe) fits(ctx context.Context, offset uint64) error {
	_, err := p.sessions.WriteStdin(ctx, p.owner, p.id, offset, []byte{})
	return err
}
