//go:build linux

package guest

import (
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// idleLimit is how long a transfer may be unused: its daemon has gone, or has
// forgotten it.
const idleLimit = 2 * time.Minute

// transfers are the operations on files that are open.
type transfers struct {
	children *children
	groups   *groups
	null     *os.File

	mu    sync.Mutex
	open  map[string]*transfer
	early []string // the newest ids that were ended before they began
}

// maxEarly is how many of them are remembered: calls overtake each other by
// little.
const maxEarly = 16

func newTransfers(c *children, g *groups, null *os.File) *transfers {
	return &transfers{children: c, groups: g, null: null, open: map[string]*transfer{}}
}

// begin begins what r asks for, once. The lock is held over the start of the
// helper, so that nobody finds a transfer without one.
func (ts *transfers) begin(r *wire.OpenTransferRequest) *wire.Fault {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch {
	case ts.open[r.GetId()] != nil:
		return nil
	case slices.Contains(ts.early, r.GetId()):
		return &wire.Fault{Code: wire.FaultCode_UNKNOWN_ID}
	case r.GetId() == "":
		return &wire.Fault{Code: wire.FaultCode_BAD_REQUEST}
	case len(ts.open) >= agent.MaxTransfers:
		return &wire.Fault{Code: wire.FaultCode_TOO_MANY}
	}
	t, err := ts.start(r)
	if err != nil && wantsRoom(err) {
		return &wire.Fault{Code: wire.FaultCode_NO_TASK}
	}
	if err != nil {
		return &wire.Fault{Code: wire.FaultCode_FAILED}
	}
	ts.keep(r.GetId(), t)
	return nil
}

// keep makes a transfer known for as long as it is used.
func (ts *transfers) keep(id string, t *transfer) {
	t.idle = time.AfterFunc(idleLimit, func() { ts.end(id) })
	ts.open[id] = t
}

// use returns a transfer, whose time without use begins anew.
func (ts *transfers) use(id string) *transfer {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.open[id]
	if t != nil {
		t.idle.Reset(idleLimit)
	}
	return t
}

// end ends a transfer, done or not. One that has not begun will not.
func (ts *transfers) end(id string) {
	ts.mu.Lock()
	t := ts.open[id]
	delete(ts.open, id)
	if t == nil {
		ts.early = append(ts.early[max(0, len(ts.early)+1-maxEarly):], id)
	}
	ts.mu.Unlock()
	if t != nil {
		t.idle.Stop()
		t.close()
	}
}

// start starts the helper of a transfer, in a group of its own.
func (ts *transfers) start(r *wire.OpenTransferRequest) (*transfer, error) {
	t, theirs, err := openTransfer(r)
	defer func() { // the child has its own copies now
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	p, err := ts.helper(r, theirs)
	if err == nil {
		t.pid, t.ended, err = ts.children.start(p)
	}
	if err != nil {
		p.group.end()
		t.closeFiles()
		return nil, err
	}
	go t.watch(p.group)
	return t, nil
}

// signalHelper kills a helper and what it has started: it starts nothing, but
// it is in the tenant's hands.
func signalHelper(pid int) {
	signalGroup(pid, syscall.SIGKILL)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}
