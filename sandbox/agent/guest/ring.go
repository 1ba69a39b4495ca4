//go:build linux

package guest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// A ring keeps the frames that the daemon has not acknowledged, in order. When
// it is full, push waits: the program that writes then waits on its pipe. So
// nothing is lost while no daemon is there, and memory stays bounded.
type ring struct {
	mu     sync.Mutex
	frames []*wire.Frame
	last   uint64 // number of the newest frame
	size   int    // bytes of the frames kept
	limit  int
	added  chan struct{} // closed and replaced when a frame comes
	freed  chan struct{} // closed and replaced when frames go
}

func newRing(limit int) *ring {
	return &ring{limit: limit, added: make(chan struct{}), freed: make(chan struct{})}
}

// push appends f, waiting until there is room. A frame larger than the ring
// is kept alone.
func (r *ring) push(f *wire.Frame) {
	n := frameSize(f)
	for {
		r.mu.Lock()
		if len(r.frames) == 0 || r.size+n <= r.limit {
			r.append(f, n)
			r.mu.Unlock()
			return
		}
		freed := r.freed
		r.mu.Unlock()
		<-freed
	}
}

// pushEnd appends the last frame of an execution. It never waits: there are
// only so many executions, and a lost end would be a lost asker.
func (r *ring) pushEnd(f *wire.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.append(f, frameSize(f))
}

func (r *ring) append(f *wire.Frame, n int) {
	r.last++
	f.Seq = r.last
	r.frames = append(r.frames, f)
	r.size += n
	close(r.added)
	r.added = make(chan struct{})
}

// read forgets the frames up to after, and returns those that follow: at most
// max bytes, but always one. It waits for the first until wait is over. gone
// is called for each execution whose end is forgotten.
func (r *ring) read(ctx context.Context, after uint64, limit int, wait time.Duration, gone func(id string)) []*wire.Frame {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	r.forget(after, gone)
	for {
		r.mu.Lock()
		out := r.take(limit)
		added := r.added
		r.mu.Unlock()
		if len(out) > 0 {
			return out
		}
		select {
		case <-added:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// forget drops what is acknowledged. A cursor beyond the newest frame means
// the newest.
func (r *ring) forget(after uint64, gone func(id string)) {
	r.mu.Lock()
	n := 0
	for n < len(r.frames) && r.frames[n].GetSeq() <= after {
		n++
	}
	dropped := r.frames[:n]
	rest := make([]*wire.Frame, len(r.frames)-n)
	copy(rest, r.frames[n:])
	for _, f := range dropped {
		r.size -= frameSize(f)
	}
	if n > 0 {
		r.frames = rest
		close(r.freed)
		r.freed = make(chan struct{})
	}
	r.mu.Unlock()
	for _, f := range dropped {
		if f.GetExit() != nil {
			gone(f.GetExec())
		}
	}
}

func (r *ring) take(limit int) []*wire.Frame {
	size := 0
	for i, f := range r.frames {
		size += frameSize(f)
		if i > 0 && size > limit {
			return r.frames[:i:i]
		}
	}
	return slices.Clip(r.frames)
}

// frameSize is what a frame counts: its payload and a little for the rest.
func frameSize(f *wire.Frame) int {
	const overhead = 64
	exit := f.GetExit()
	return overhead + len(f.GetData()) + len(exit.GetResult()) + len(exit.GetFailureMessage())
}
