//go:build linux

package guest

import (
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// interruptGrace is how long an interrupted execution may take to end.
const interruptGrace = 2 * time.Second

// displayLimit bounds the rich results of one execution.
const displayLimit = 4 << 20

// An execution is one run, from its start to the acknowledgement of its last
// frame.
type execution struct {
	id    string
	out   *ring
	limit int64
	began time.Time

	mu      sync.Mutex
	kept    int64 // bytes of output
	shown   int64 // bytes of rich results
	dropped int64
	cause   sandbox.Cause // why we ended it, if we did
	signal  func(sandbox.Signal)
	pending sandbox.Signal // asked for before there was a process
	alarm   *time.Timer    // the deadline, then the end of the grace
	stdin   *input
	ended   bool
}

func newExecution(r *wire.StartRequest, out *ring) *execution {
	return &execution{id: r.GetId(), out: out, limit: r.GetOutputLimit(), began: time.Now()}
}

// write keeps what the limit allows, as frames of one stream, and counts the
// rest. It waits when the ring is full.
func (x *execution) write(stream wire.Stream, data []byte) {
	x.mu.Lock()
	keep := min(int64(len(data)), max(x.limit-x.kept, 0))
	x.kept += keep
	x.dropped += int64(len(data)) - keep
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
		x.alarm = time.AfterFunc(time.Duration(deadline)-boottime(), x.expire)
	}
}

// expire interrupts the execution at its deadline, and kills it when the grace
// is over.
func (x *execution) expire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return
	}
	if x.cause == "" {
		x.cause = sandbox.CauseWallTimeout
		x.alarm = time.AfterFunc(interruptGrace, x.expire)
		go x.signal(sandbox.Interrupt)
		return
	}
	go x.signal(sandbox.Kill)
}

// send signals the execution on request. Killing names its cause.
func (x *execution) send(s sandbox.Signal) {
	x.mu.Lock()
	signal, ended := x.signal, x.ended
	if x.cause == "" && !ended {
		x.cause = sandbox.CauseKilled
	}
	if signal == nil {
		x.pending = s
	}
	x.mu.Unlock()
	if signal != nil && !ended {
		go signal(s) // an interrupt is repeated for a while
	}
}

// finish puts the last frame out. The code and the evidence come from the
// caller; causes and counts from here.
func (x *execution) finish(exit *wire.Exit) {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return
	}
	x.ended = true
	if x.alarm != nil {
		x.alarm.Stop()
	}
	if x.cause != "" && (exit.GetCode() != 0 || exit.GetCause() != "") {
		exit.Cause = string(x.cause)
	}
	exit.Dropped = x.dropped
	exit.Duration = int64(time.Since(x.began))
	x.mu.Unlock()
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

// exitOf tells a process's ending as an exit.
func exitOf(e ending) *wire.Exit {
	exit := &wire.Exit{Code: int32(e.status.ExitStatus()), Cpu: int64(e.cpu), PeakBytes: e.peak}
	if e.status.Signaled() {
		s := e.status.Signal()
		exit.Code = 128 + int32(s)
		exit.Evidence = "ended by signal " + unix.SignalName(s)
		if s == syscall.SIGSYS {
			exit.Cause = string(sandbox.CauseSeccomp)
			exit.Evidence = "ended by SIGSYS: a forbidden system call"
		}
	}
	return exit
}

// blameTasks names the cause of a failure during which the kernel refused to
// start processes.
func blameTasks(exit *wire.Exit, refusals int) {
	if refusals > 0 && exit.GetCode() != 0 && exit.GetCause() == "" {
		exit.Cause = string(sandbox.CausePids)
		exit.Evidence = fmt.Sprintf("%d times a process could not be started: the sandbox has its limit of tasks", refusals)
	}
}

// boottime returns the time of CLOCK_BOOTTIME, in which deadlines are given.
func boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
