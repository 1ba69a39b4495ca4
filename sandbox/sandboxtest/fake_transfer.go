package sandboxtest

import (
	"bytes"
	"context"
	"sync"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Transfer implements [sandbox.Sandbox]. The operation is done when its bytes
// are there.
func (b *fakeSandbox) Transfer(ctx context.Context, r sandbox.FileRequest) (sandbox.Transfer, error) {
	if err := b.usable(ctx, string(r.Op)); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.transfers >= maxTransfers {
		return nil, b.fault(string(r.Op), sandbox.Exhausted, "too many operations on files go on")
	}
	t := &fakeTransfer{box: b, ctx: ctx, r: r}
	if !r.Takes() || r.Op == sandbox.FileWrite {
		t.refused = b.files.can(&r)
	}
	b.transfers++
	t.forget = context.AfterFunc(ctx, t.end)
	return t, nil
}

// A fakeTransfer implements [sandbox.Transfer].
type fakeTransfer struct {
	box    *fakeSandbox
	ctx    context.Context //nolint:containedctx // a Read and a Write have no other
	r      sandbox.FileRequest
	forget func() bool
	ending sync.Once

	refused error
	in      []byte
	closed  bool
	out     *bytes.Reader // nil until it is done
}

// usable returns why no call can be served any more.
func (t *fakeTransfer) usable() error {
	if err := t.box.usable(t.ctx, string(t.r.Op)); err != nil {
		return err
	}
	return t.refused
}

// Read implements [sandbox.Transfer].
func (t *fakeTransfer) Read(p []byte) (int, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	if t.r.Takes() && !t.closed {
		return 0, t.box.fault(string(t.r.Op), sandbox.Invalid, "all must be written before something is read")
	}
	if t.out == nil {
		t.box.mu.Lock()
		out, err := t.box.files.do(&t.r, t.in)
		t.box.mu.Unlock()
		if err != nil {
			t.refused = err
			return 0, err
		}
		t.out = bytes.NewReader(out)
	}
	return t.out.Read(p)
}

// Write implements [sandbox.Transfer].
func (t *fakeTransfer) Write(p []byte) (int, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	if !t.r.Takes() || t.closed {
		return 0, t.box.fault(string(t.r.Op), sandbox.Invalid, "no bytes are taken")
	}
	t.in = append(t.in, p...)
	return len(p), nil
}

// CloseWrite implements [sandbox.Transfer].
func (t *fakeTransfer) CloseWrite() error {
	if t.closed {
		return nil
	}
	if _, err := t.Write(nil); err != nil {
		return err
	}
	t.closed = true
	return nil
}

// Close implements [sandbox.Transfer].
func (t *fakeTransfer) Close() error {
	t.forget()
	t.end()
	return nil
}

func (t *fakeTransfer) end() {
	t.ending.Do(func() {
		t.box.mu.Lock()
		defer t.box.mu.Unlock()
		t.box.transfers--
	})
}
