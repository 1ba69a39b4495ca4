//go:build linux

package native

import (
	"context"
	"errors"
	"sync"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
)

// Transfer implements [sandbox.Sandbox].
func (x *box) Transfer(ctx context.Context, r sandbox.FileRequest) (sandbox.Transfer, error) {
	if err := x.awake(string(r.Op)); err != nil {
		return nil, err
	}
	var t sandbox.Transfer
	client, err := x.reach(ctx, string(r.Op))
	if err == nil {
		t, err = client.Transfer(ctx, r)
	}
	if err != nil {
		x.frost.leave()
		return nil, x.judge(err)
	}
	return &transfer{Transfer: t, box: x, leave: sync.OnceFunc(x.frost.leave)}, nil
}

// A transfer adds to failures what only the host can know.
type transfer struct {
	sandbox.Transfer

	box   *box
	leave func() // the end of what needs the sandbox awake
}

// Close implements [sandbox.Transfer].
func (t *transfer) Close() error {
	defer t.leave()
	return t.Transfer.Close()
}

// Read implements [sandbox.Transfer].
func (t *transfer) Read(p []byte) (int, error) {
	n, err := t.Transfer.Read(p)
	return n, t.box.judge(err)
}

// Write implements [sandbox.Transfer].
func (t *transfer) Write(p []byte) (int, error) {
	n, err := t.Transfer.Write(p)
	return n, t.box.judge(err)
}

// CloseWrite implements [sandbox.Transfer].
func (t *transfer) CloseWrite() error { return t.box.judge(t.Transfer.CloseWrite()) }

// judge says why a helper was killed, and ends a sandbox whose agent is lost.
func (x *box) judge(err error) error {
	e, ok := errors.AsType[*sandbox.Error](err)
	switch {
	case ok && e.Limit != nil && e.Limit.Resource == "disk": // the agent does not know how much that is
		e.Limit = &sandbox.Limit{Resource: "disk", Current: int64(x.record.Disk), Max: int64(x.record.Disk), Unit: "MB"}
		return err
	case !ok || e.Kind != sandbox.Stopped:
		return err
	case errors.Is(err, agent.ErrTransfer):
		x.condemn("the agent's answer about files broke the protocol")
		return err
	case e.Cause == sandbox.CauseAgentLost:
		return x.doubt(err)
	}
	return x.blameMemory(e)
}

// blameMemory makes of a killed helper one that ran out of memory, when the
// kernel has killed for want of it.
func (x *box) blameMemory(e *sandbox.Error) error {
	if x.cgroup == nil {
		return e
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	more, own := x.moreKills()
	if !more {
		return e
	}
	out := *e
	out.Kind, out.Cause, out.Detail = sandbox.Exhausted, memoryCause(own), "the sandbox has no memory for it"
	out.Limit = &sandbox.Limit{Resource: "memory", Max: int64(x.record.Memory), Unit: "MB"}
	return &out
}
