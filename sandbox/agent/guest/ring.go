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
	adrift bool   // the first who reads says where the numbers begin: an earlier daemon gave out some
	size   int    // bytes of the frames kept
	limit  int
	added  chan struct{} // closed when a frame comes; nil when nobody waits for one
	freed  chan struct{} // closed when frames go; nil when nobody waits for that
}

func newRing(limit int) *ring {
	return &ring{limit: limit}
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
		freed := await(&r.freed)
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
	tell(&r.added)
}

// await returns what is closed when something changes. It and tell are called
// with the mutex held.
func await(change *chan struct{}) <-chan struct{} {
	if *change == nil {
		*change = make(chan struct{})
	}
	return *change
}

// tell wakes who waits for a change.
func tell(change *chan struct{}) {
	if *change != nil {
		close(*change)
		*change = nil
	}
}

// read returns the frames behind the one of a number: at most limit bytes, but
// always one. It waits for the first until wait is over, and from then on as long
// as settle for the end of an execution.
func (r *ring) read(ctx context.Context, from uint64, limit int, wait, settle time.Duration) []*wire.Frame {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for settling := false; ; {
		out, added := r.ready(from, limit, settle > 0)
		if added == nil {
			return out
		}
		if len(out) > 0 && !settling {
			settling = true
			timer.Reset(settle)
		}
		select {
		case <-added:
		case <-timer.C:
			return out
		case <-ctx.Done():
			return out
		}
	}
}

// ready returns what there is to read, and what to wait for: nil when there is
// something and, with settles, an end among it or more than was asked for.
func (r *ring) ready(from uint64, limit int, settles bool) (out []*wire.Frame, added <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, more := r.take(from, limit)
	if len(out) > 0 && (!settles || more || hasEnd(out)) {
		return out, nil
	}
	return out, await(&r.added)
}

// begin has the numbers begin behind one, or, adrift, behind that of the first who reads.
func (r *ring) begin(after uint64, adrift bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.adrift = after, adrift
}

// moor has the numbers begin behind one, if nobody knows yet where.
func (r *ring) moor(after uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.adrift {
		return
	}
	r.adrift = false
	r.last += after
	for _, f := range r.frames {
		f.Seq += after
	}
}

// hasEnd tells whether an execution has ended with one of the frames.
func hasEnd(frames []*wire.Frame) bool {
	return slices.ContainsFunc(frames, func(f *wire.Frame) bool { return f.GetExit() != nil })
}

// forget drops what is acknowledged. A cursor beyond the newest frame means
// the newest. gone is called for each execution whose end is forgotten.
func (r *ring) forget(after uint64, gone func(id string)) {
	r.mu.Lock()
	n := 0
	for n < len(r.frames) && r.frames[n].GetSeq() <= after {
		n++
	}
	if n == 0 {
		r.mu.Unlock()
		return
	}
	dropped := r.frames[:n]
	rest := make([]*wire.Frame, len(r.frames)-n)
	copy(rest, r.frames[n:])
	for _, f := range dropped {
		r.size -= frameSize(f)
	}
	r.frames = rest
	tell(&r.freed)
	r.mu.Unlock()
	for _, f := range dropped {
		if f.GetExit() != nil {
			gone(f.GetExec())
		}
	}
}

// take returns some frames behind the one of a number, and whether there are more.
func (r *ring) take(from uint64, limit int) (out []*wire.Frame, more bool) {
	frames := r.frames
	for len(frames) > 0 && frames[0].GetSeq() <= from {
		frames = frames[1:]
	}
	size := 0
	for i, f := range frames {
		size += frameSize(f)
		if i > 0 && size > limit {
			return frames[:i:i], true
		}
	}
	return slices.Clip(frames), false
}

// frameSize is what a frame counts: its payload and a little for the rest.
func frameSize(f *wire.Frame) int {
	const overhead = 64
	exit := f.GetExit()
	return overhead + len(f.GetData()) + len(exit.GetResult()) + len(exit.GetFailureMessage())
}
