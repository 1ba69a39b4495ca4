//go:build linux

package native

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// Bounds on what runs without an agent.
const (
	directPeek   = 5 * time.Millisecond  // code that has printed by then goes on with one
	directWait   = 25 * time.Millisecond // and code that takes longer
	directQueue  = time.Second           // or longer than this, when it waits for a processor
	directBusy   = 5 * time.Millisecond  // of processor time: with more it does not wait for one
	directCode   = 64 << 10              // of code: less than a socket takes at once, in bytes
	directOutput = 64 << 10              // in bytes, of one stream: what a pipe holds, unless the tenant has changed that
	directCPU    = time.Second           // a lower limit of processor time is watched from the start
	directStart  = 60 * time.Second      // for a kernel to be there, on a host that is very busy
	directFrame  = 32 << 10              // of output, in bytes
)

// An attempt is how far code came that was run without an agent.
type attempt struct {
	sent  bool
	began time.Time
	cpu   time.Duration // that the kernel had used
}

// perform starts an execution and returns what comes of it for a while: without an agent,
// if it can be done so.
func (x *box) perform(ctx context.Context, e sandbox.Exec, acked, read uint64) (frames []sandbox.Frame, direct bool, err error) {
	if x.direct.isOver() {
		frames, err = x.client.Load().Begin(ctx, e, acked, read, beginWait)
		return frames, false, err
	}
	if len(e.Argv) > 0 || e.Code == "" {
		client, err := x.reach(ctx, "start")
		if err != nil {
			return nil, false, err
		}
		frames, err = client.Begin(ctx, e, acked, read, beginWait)
		return frames, false, err
	}
	frames, a, client, err := x.tryDirect(ctx, e)
	switch {
	case err != nil:
		return nil, false, x.lostError("start", err)
	case client == nil:
		return frames, true, nil
	case a.sent:
		frames, err = client.Resume(ctx, e, agent.Begun{Ago: time.Since(a.began), CPU: a.cpu}, acked, read, beginWait)
	default:
		frames, err = client.Begin(ctx, e, acked, read, beginWait)
	}
	return frames, false, err
}

// tryDirect runs code without an agent, or returns one that is to go on with it.
func (x *box) tryDirect(ctx context.Context, e sandbox.Exec) ([]sandbox.Frame, attempt, *agent.Client, error) {
	d := x.direct
	d.mu.Lock()
	defer d.mu.Unlock()
	var a attempt
	if !d.isOver() {
		if slices.Contains(d.known, e.ID) {
			return nil, a, nil, nil // it was started before
		}
		frames, err := x.runDirect(ctx, &e, &a)
		if err == nil {
			d.remember(e.ID)
			x.reading.keep(frames)
			return frames, a, nil, nil
		}
	}
	client, err := x.handOver(ctx, a.sent)
	return nil, a, client, err
}

// remember notes that an execution is over, so that it is not begun again.
func (d *direct) remember(id sandbox.ExecID) {
	const most = 8 // who starts one twice does so at once
	if len(d.known) == most {
		d.known = slices.Delete(d.known, 0, 1)
	}
	d.known = append(d.known, id)
}

// runDirect runs code in the kernel. An error means that an agent is needed, and that
// nothing was told to anybody.
func (x *box) runDirect(ctx context.Context, e *sandbox.Exec, a *attempt) ([]sandbox.Frame, error) {
	d := x.direct
	if d.left || e.Stdin || e.Background || e.CPU > 0 && e.CPU < directCPU {
		return nil, errUnforeseen
	}
	limit := time.Now().Add(directStart)
	if e.Deadline > 0 {
		limit = earlier(limit, time.Now().Add(e.Deadline-boottime()))
	}
	if err := d.greet(limit); err != nil {
		return nil, err
	}
	if err := d.bind(e.Dir, e.Env, earlier(limit, time.Now().Add(time.Second))); err != nil {
		return nil, err
	}
	if err := d.open(x); err != nil {
		return nil, err
	}
	if d.hasOutput() { // of nobody's, which is the agent's to tell
		return nil, errUnforeseen
	}
	a.began, a.cpu = time.Now(), quick.ProcessorTime(d.pid)
	limit = earlier(limit, a.began.Add(directQueue))
	if err := d.send(e, a, limit); err != nil {
		return nil, err
	}
	done, err := d.awaitDone(a, limit)
	if err != nil {
		return nil, err
	}
	frames, alone, err := d.frames(e, a, done)
	if err == nil && !alone {
		x.leaveDirect(ctx)
	}
	return frames, err
}

// send sends the code.
func (d *direct) send(e *sandbox.Exec, a *attempt, until time.Time) error {
	frame, err := kernel.EncodeRun(strconv.Itoa(d.runs+1), e.Code)
	if err != nil {
		return err
	}
	if len(frame) > directCode {
		return errUnforeseen
	}
	if err := d.control.SetWriteDeadline(until); err != nil {
		return err
	}
	n, err := d.file.Write(frame)
	if a.sent = n > 0; a.sent {
		d.runs++
	}
	return err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// awaitDone waits for the end of the run that goes on. It is an error when that does not
// come soon, is more than a plain end, or output comes and it does not.
func (d *direct) awaitDone(a *attempt, limit time.Time) (*kernel.Done, error) {
	wait := directPeek
	m, err := d.next(earlier(limit, a.began.Add(wait)))
	for errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(limit) && d.mayEndSoon(a) {
		wait *= 2
		m, err = d.next(earlier(limit, time.Now().Add(wait)))
	}
	switch {
	case err != nil:
		return nil, err
	case m.Done == nil || m.Done.ID != strconv.Itoa(d.runs) || !m.Done.OK:
		return nil, errUnforeseen
	}
	return m.Done, nil
}

// mayEndSoon tells whether the run that goes on is not to have an agent yet: where many
// run, it may only have to wait for a processor, and agents would make it wait longer.
func (d *direct) mayEndSoon(a *attempt) bool {
	if quick.ProcessorTime(d.pid)-a.cpu < directBusy && isRunnable(d.pid) {
		return true
	}
	return time.Since(a.began) < directWait && !d.hasOutput()
}

// isRunnable tells whether a process runs, or would if it had a processor.
func isRunnable(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")) // the name before may hold anything
	return ok && bytes.HasPrefix(after, []byte("R"))
}

// open opens what is to be looked at while something runs.
func (d *direct) open(x *box) error {
	if d.tasks != nil {
		return nil
	}
	for i := range d.pipes {
		fd, err := x.grab(d.outputs + i)
		if err != nil {
			for _, fd := range d.pipes[:i] {
				_ = unix.Close(fd)
			}
			return err
		}
		d.pipes[i] = fd
	}
	tasks, err := x.cgroup.WorkTasks()
	if err != nil {
		for _, fd := range d.pipes {
			_ = unix.Close(fd)
		}
		return err
	}
	d.tasks = tasks
	return nil
}

func (d *direct) hasOutput() bool {
	for _, fd := range d.pipes {
		if n, err := quick.Waiting(uintptr(fd)); err != nil || n > 0 {
			return true
		}
	}
	return false
}

// streams are those of direct's pipes.
var streams = [2]sandbox.Stream{sandbox.Stdout, sandbox.Stderr} //nolint:gochecknoglobals // a table

// frames are the output of a run that is done, and its end. alone: nothing is left that
// could print before the next. When it is an error, nothing of it is lost.
func (d *direct) frames(e *sandbox.Exec, a *attempt, done *kernel.Done) (frames []sandbox.Frame, alone bool, err error) {
	var sizes [2]int
	for i, fd := range d.pipes {
		if sizes[i], err = quick.Waiting(uintptr(fd)); err != nil || sizes[i] > directOutput {
			return nil, false, errors.Join(errUnforeseen, err)
		}
	}
	tasks, err := d.tasks.Read()
	if err != nil {
		return nil, false, err
	}
	d.understood()
	exit := &sandbox.Exit{Result: done.Result, CPU: max(quick.ProcessorTime(d.pid)-a.cpu, 0)}
	left := e.OutputLimit
	for i, size := range sizes {
		data := readNow(d.pipes[i], size)
		keep := min(int64(len(data)), max(left, 0))
		left -= keep
		exit.Dropped += int64(len(data)) - keep
		for data = data[:keep]; len(data) > 0; {
			n := min(len(data), directFrame)
			frames = append(frames, d.frame(e.ID, sandbox.Frame{Stream: streams[i], Data: data[:n:n]}))
			data = data[n:]
		}
	}
	exit.Duration = time.Since(a.began)
	return append(frames, d.frame(e.ID, sandbox.Frame{Exit: exit})), tasks <= 1 && !done.Tasks, nil
}

// frame numbers one.
func (d *direct) frame(id sandbox.ExecID, f sandbox.Frame) sandbox.Frame {
	d.last++
	f.Seq, f.Exec = d.last, id
	return f
}

// readNow reads so much of a pipe that does not block, or what there is.
func readNow(fd, size int) []byte {
	data := make([]byte, size)
	got := 0
	for got < size {
		n, err := quick.Read(uintptr(fd), data[got:])
		if n <= 0 || err != nil {
			break
		}
		got += n
	}
	return data[:got]
}

// boottime returns the time of CLOCK_BOOTTIME, in which deadlines are given.
func boottime() time.Duration {
	ts, err := quick.Clock(unix.CLOCK_BOOTTIME)
	if err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
