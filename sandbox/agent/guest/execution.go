//go:build linux

package guest

import (
	"fmt"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// interruptGrace is how long an interrupted execution may take to end.
const interruptGrace = 2 * time.Second

// displayLimit bounds the rich results of one execution.
const displayLimit = 4 << 20

// An execution is one run, from its start to the acknowledgement of its last
// frame.
type execution struct {
	id          string
	out         *ring
	rooms       []room
	limit       int64
	cpu         time.Duration // limit of processor time; 0 is none
	began       time.Time
	fullBefore  bool // there was no room for files when it began
	killsBefore int  // for want of memory, when it began; -1 when nobody is to blame it

	mu         sync.Mutex
	kept       int64 // bytes of output
	shown      int64 // bytes of rich results
	dropped    int64
	cause      sandbox.Cause // why we ended it, if we did
	evidence   string        // what was seen, with cause
	complained bool          // of a full disk
	signal     func(sandbox.Signal)
	pending    sandbox.Signal // asked for before there was a process
	alarm      *time.Timer    // the deadline
	watch      *time.Timer    // the next look at the processor time
	grace      *time.Timer    // from the interrupt to the kill
	stdin      *input
	ended      bool
}

func newExecution(r *wire.StartRequest, out *ring, rooms []room) *execution {
	return &execution{
		id: r.GetId(), out: out, rooms: rooms, limit: r.GetOutputLimit(), cpu: time.Duration(r.GetCpuLimit()),
		began:      time.Now().Add(-time.Duration(r.GetBegun().GetAgo())),
		fullBefore: r.GetBegun() == nil && whatIsFull(rooms) != "", killsBefore: -1,
	}
}

// write keeps what the limit allows, as frames of one stream, and counts the
// rest. It waits when the ring is full.
func (x *execution) write(stream wire.Stream, data []byte) {
	x.mu.Lock()
	keep := min(int64(len(data)), max(x.limit-x.kept, 0))
	x.kept += keep
	x.dropped += int64(len(data)) - keep
	x.complained = x.complained || stream == wire.Stream_STDERR && complainsOfRoom(data)
	x.mu.Unlock()
	if keep > 0 {
		x.out.push(&wire.Frame{Exec: x.id, Stream: stream, Data: append([]byte(nil), data[:keep]...)})
	}
}

// display keeps one rich result.
func (x *execution) display(mime string, data []byte) {
	x.mu.Lock()
	ok := len(data) <= sandbox.MaxDisplay && x.shown+int64(len(data)) <= displayLimit
	if ok {
		x.shown += int64(len(data))
	} else {
		x.dropped += int64(len(data))
	}
	x.mu.Unlock()
	if ok {
		x.out.push(&wire.Frame{Exec: x.id, Stream: wire.Stream_DISPLAY, Mime: mime, Data: data})
	}
}

// arm sets how the execution is signalled, and its deadline, a time of
// CLOCK_BOOTTIME; 0 is none.
func (x *execution) arm(signal func(sandbox.Signal), deadline int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.signal = signal
	if x.pending != "" {
		go signal(x.pending)
	}
	if deadline > 0 {
		x.alarm = time.AfterFunc(time.Duration(deadline)-quick.Boottime(), x.expire)
	}
}

// expire ends the execution at its deadline.
func (x *execution) expire() {
	x.overrun(sandbox.CauseWallTimeout, fmt.Sprintf("it ran for %v and was not done at its deadline", rounded(time.Since(x.began))))
}

// limitCPU lets the execution use its limit of processor time, from now on, by
// the processes of a group.
func (x *execution) limitCPU(g *group) {
	if x.cpu <= 0 {
		return
	}
	m := newMeter(g)
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		x.watch = time.AfterFunc(pause(x.cpu), func() { x.readMeter(m) })
	}
}

// readMeter ends the execution when it has used too much, or else looks again
// later.
func (x *execution) readMeter(m *meter) {
	used := m.used()
	if used > x.cpu {
		x.overrun(sandbox.CauseCPUTimeout, fmt.Sprintf("it used %v of processor time, and %v is allowed", rounded(used), x.cpu))
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		x.watch.Reset(pause(x.cpu - used))
	}
}

// overrun interrupts the execution, which is over a limit, and kills it when the
// grace is over.
func (x *execution) overrun(cause sandbox.Cause, evidence string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return
	}
	if x.cause == "" {
		x.cause, x.evidence = cause, evidence
		x.grace = time.AfterFunc(interruptGrace, func() { x.overrun(cause, evidence) })
		go x.signal(sandbox.Interrupt)
		return
	}
	go x.signal(sandbox.Kill)
}

// overran reports whether the execution was ended for being over a limit.
func (x *execution) overran() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cause == sandbox.CauseWallTimeout || x.cause == sandbox.CauseCPUTimeout
}

// send signals the execution on request. Killing names its cause.
func (x *execution) send(s sandbox.Signal) {
	x.mu.Lock()
	signal, ended := x.signal, x.ended
	if x.cause == "" && !ended {
		x.cause, x.evidence = sandbox.CauseKilled, "the signal that was asked for: "+string(s)
	}
	if signal == nil {
		x.pending = s
	}
	x.mu.Unlock()
	if signal != nil && !ended {
		go signal(s) // an interrupt is repeated for a while
	}
}

// finish puts the last frame out. The code and what was seen come from the
// caller; why we ended it, and counts, from here.
func (x *execution) finish(exit *wire.Exit) {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return
	}
	x.ended = true
	for _, timer := range []*time.Timer{x.alarm, x.watch, x.grace} {
		if timer != nil {
			timer.Stop()
		}
	}
	if x.cause != "" && (exit.GetCode() != 0 || exit.GetCause() != "") {
		exit.Cause = string(x.cause)
		exit.Evidence = together(x.evidence, exit.GetEvidence())
	}
	exit.Dropped = x.dropped
	exit.Duration = int64(time.Since(x.began))
	complained := x.complained
	x.mu.Unlock()
	x.blameMemory(exit)
	x.blameDisk(exit, complained)
	x.closeInput()
	x.out.pushEnd(&wire.Frame{Exec: x.id, Exit: exit})
}

func (x *execution) takeInput(in *input) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stdin = in
}

// input returns the stdin that can be written, or nil.
func (x *execution) input() *input {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stdin
}

func (x *execution) closeInput() {
	if in := x.input(); in != nil {
		in.close()
	}
}

func (x *execution) running() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.ended
}

// rounded is a time as people read it.
func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
