package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

const (
	transfersSince = 3         // version of the protocol
	maxPiece       = 256 << 10 // bytes of a file in one call
	transferWait   = 10 * time.Second
	closeLimit     = 5 * time.Second
	// What is waited at least and at most after a call that moved nothing and did
	// not wait: a sandbox that answers at once shall not keep a processor busy.
	pauseFirst = 10 * time.Millisecond
	pauseMost  = time.Second
)

// ErrTransfer says that an agent's answers about files are not within the
// bounds. Its sandbox is to end.
var ErrTransfer = errors.New("the agent's answer about files breaks the protocol")

// Transfer implements [sandbox.Sandbox]. An agent of an earlier daemon may not
// know of files: Kind Unsupported.
func (c *Client) Transfer(ctx context.Context, r sandbox.FileRequest) (sandbox.Transfer, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	t := &transfer{client: c, ctx: ctx, r: r, id: rand.Text()}
	if c.version.Load() < transfersSince {
		return nil, &sandbox.Error{
			Op: string(r.Op), ID: string(c.id), Kind: sandbox.Unsupported,
			Detail: "this session is of an earlier version of the server, which had no operations on files",
			Remedy: "begin a new session",
		}
	}
	answer, err := c.call.OpenTransfer(ctx, &wire.OpenTransferRequest{
		Id: t.id, Op: string(r.Op), Path: []byte(r.Path), From: r.From, Size: r.Size, Mode: r.Mode,
		Append: r.Append, Exclusive: r.Exclusive, Recursive: r.Recursive, Limit: uint32(r.Limit),
	})
	if err != nil {
		_ = t.end() // it may have begun
		return nil, c.fault(string(r.Op), err)
	}
	if f := answer.GetFault(); f != nil {
		return nil, t.failed(f)
	}
	t.forget = context.AfterFunc(ctx, func() { _ = t.end() })
	t.out = t.output()
	return t, nil
}

// output is what the caller reads. Of what tells of files nothing is believed
// but its sense.
func (t *transfer) output() io.Reader {
	raw := readerFunc(t.read)
	switch t.r.Op { //nolint:exhaustive // the others give bytes, or none
	case sandbox.FileList:
		most := t.r.Limit
		if most == 0 {
			most = sandbox.UsualEntries
		}
		return NewInfos(raw, "", most)
	case sandbox.FileStat, sandbox.FileWrite:
		return NewInfos(raw, t.r.Absolute(), 1)
	}
	return raw
}

type readerFunc func(p []byte) (int, error)

// Read implements [io.Reader].
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A transfer implements [sandbox.Transfer].
type transfer struct {
	client *Client
	ctx    context.Context //nolint:containedctx // a Read and a Write have no other
	r      sandbox.FileRequest
	id     string
	out    io.Reader
	forget func() bool // that the end of ctx ends us
	ending sync.Once

	got    uint64        // offset behind what was read
	rest   []byte        // read, and not handed out
	given  uint64        // offset behind what was written
	closed bool          // no more will be written
	pause  time.Duration // the last one
	err    error         // why no call is made any more; io.EOF when all was well
}

// Read implements [io.Reader].
func (t *transfer) Read(p []byte) (int, error) {
	n, err := t.out.Read(p)
	if errors.Is(err, errNonsense) {
		err = t.fail(&sandbox.Error{
			Op: string(t.r.Op), ID: string(t.client.id), Kind: sandbox.Stopped, Cause: sandbox.CauseCrashed,
			Detail: "the sandbox's answer makes no sense", Err: err,
		})
	}
	return n, err
}

// read reads the bytes as they come.
func (t *transfer) read(p []byte) (int, error) {
	if t.err == nil && t.r.Takes() && !t.closed {
		return 0, t.error(sandbox.Invalid, "all must be written before something is read")
	}
	for len(t.rest) == 0 && len(p) > 0 {
		if t.err != nil {
			return 0, t.err
		}
		t.fetch()
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

func (t *transfer) fetch() {
	began := time.Now()
	answer, err := t.client.call.ReadTransfer(t.ctx, &wire.ReadTransferRequest{
		Id: t.id, Offset: t.got, MaxBytes: maxPiece, WaitMs: uint32(transferWait.Milliseconds()),
	})
	switch {
	case err != nil:
		_ = t.fail(t.client.fault(string(t.r.Op), err))
	case len(answer.GetData()) > maxPiece, answer.GetEnd() && len(answer.GetData()) > 0:
		_ = t.fail(t.broken())
	case answer.GetFault() != nil:
		_ = t.fail(t.failed(answer.GetFault()))
	case answer.GetEnd():
		t.err = io.EOF
	default:
		t.rest = answer.GetData()
		t.got += uint64(len(t.rest))
		t.idle(len(t.rest) > 0, began)
	}
}

// idle waits a while, longer each time, unless the last call was of use or has
// waited itself.
func (t *transfer) idle(useful bool, began time.Time) {
	if useful || time.Since(began) > transferWait/2 {
		t.pause = 0
		return
	}
	t.pause = min(max(2*t.pause, pauseFirst), pauseMost)
	timer := time.NewTimer(t.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
}

// Write implements [io.Writer].
func (t *transfer) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := t.send(p[written:min(len(p), written+maxPiece)], false)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// CloseWrite implements [sandbox.Transfer].
func (t *transfer) CloseWrite() error {
	if t.closed {
		return nil
	}
	_, err := t.send(nil, true)
	t.closed = t.closed || err == nil
	return err
}

// send gives one piece, and returns how much of it was taken for now.
func (t *transfer) send(data []byte, last bool) (int, error) {
	switch {
	case !t.r.Takes():
		return 0, t.error(sandbox.Invalid, "the operation takes no bytes")
	case t.closed:
		return 0, t.error(sandbox.Invalid, "all bytes were said to be written")
	case t.err != nil:
		return 0, t.err
	case t.ctx.Err() != nil: // an answer that is quick enough would still come
		return 0, t.fail(t.client.fault(string(t.r.Op), t.ctx.Err()))
	}
	began := time.Now()
	answer, err := t.client.call.WriteTransfer(t.ctx, &wire.WriteTransferRequest{
		Id: t.id, Offset: t.given, Data: data, Close: last, WaitMs: uint32(transferWait.Milliseconds()),
	})
	if err != nil {
		return 0, t.fail(t.client.fault(string(t.r.Op), err))
	}
	taken := int(answer.GetTaken())
	if taken > len(data) {
		return 0, t.fail(t.broken())
	}
	t.given += uint64(taken)
	if f := answer.GetFault(); f != nil {
		return taken, t.fail(t.failed(f))
	}
	t.idle(taken > 0 || len(data) == 0, began)
	return taken, nil
}

// Close implements [io.Closer].
func (t *transfer) Close() error {
	t.forget()
	err := t.end()
	if sandbox.KindOf(err) == sandbox.Stopped {
		return nil // there is nothing left to give back
	}
	return err
}

// end ends the operation at the agent, once, also after the end of ctx.
func (t *transfer) end() error {
	var err error
	t.ending.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), closeLimit)
		defer cancel()
		_, err = t.client.call.CloseTransfer(ctx, &wire.CloseTransferRequest{Id: t.id})
	})
	if err == nil {
		return nil
	}
	return t.client.fault(string(t.r.Op), err)
}

// fail makes err what every call says from now on.
func (t *transfer) fail(err error) error {
	t.err = err
	return err
}

func (t *transfer) error(kind sandbox.Kind, detail string) error {
	return &sandbox.Error{Op: string(t.r.Op), ID: string(t.client.id), Kind: kind, Detail: detail}
}

func (t *transfer) broken() error {
	return &sandbox.Error{Op: string(t.r.Op), ID: string(t.client.id), Kind: sandbox.Stopped, Cause: sandbox.CauseAgentLost, Err: ErrTransfer}
}
