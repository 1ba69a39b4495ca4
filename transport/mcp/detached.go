package mcp

import (
	"context"
	"errors"
	"strconv"
	"sync"
)

// errShutdown is the cause of a call that the daemon's end has ended.
var errShutdown = errors.New("the server is shutting down")

// detached are the calls that may outlive their connections: at most so many.
type detached struct {
	most int

	mu      sync.Mutex
	cancels map[*int]context.CancelCauseFunc
	closed  bool
	empty   chan struct{} // closed when the last one has ended; made by end
}

// begin notes a call. It returns false when there are too many, and once end
// was called.
func (d *detached) begin(cancel context.CancelCauseFunc) (end func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.cancels) >= d.most {
		return nil, false
	}
	if d.cancels == nil {
		d.cancels = make(map[*int]context.CancelCauseFunc)
	}
	key := new(int)
	d.cancels[key] = cancel
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.cancels, key)
		if d.closed && len(d.cancels) == 0 {
			close(d.empty)
		}
	}, true
}

// end cancels all calls and waits for them until ctx ends.
func (d *detached) end(ctx context.Context) error {
	d.mu.Lock()
	if !d.closed {
		d.closed, d.empty = true, make(chan struct{})
		if len(d.cancels) == 0 {
			close(d.empty)
		}
		for _, cancel := range d.cancels {
			cancel(errShutdown)
		}
	}
	d.mu.Unlock()
	select {
	case <-d.empty:
		return nil
	case <-ctx.Done():
		d.mu.Lock()
		defer d.mu.Unlock()
		return errors.New(strconv.Itoa(len(d.cancels)) + " calls have not ended")
	}
}

// bytesOf writes a size for people.
func bytesOf(n int64) string { return strconv.FormatInt(n, 10) + " bytes" }
