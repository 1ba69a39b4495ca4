//go:build linux

package native

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// Bounds on what runs without an agent.
const (
	directStart = 60 * time.Second      // for a kernel to be there, on a host that is very busy
	directBind  = time.Second           // for it to take on what its session has
	directPeek  = 5 * time.Millisecond  // code that has printed by then goes on with an agent
	directWait  = 25 * time.Millisecond // and code that takes longer
	directQueue = time.Second           // or longer than this, when it waits for a processor
	directBusy  = 5 * time.Millisecond  // of processor time: with more it does not wait for one
	directCPU   = time.Second           // a lower limit of processor time is watched from the start
	longestCode = 64 << 10              // of a frame: less than a socket takes at once, in bytes
	mostOutput  = 1 << 20               // of one stream, in bytes: what a tenant can have a pipe hold
)

// perform starts an execution and returns what comes of it for a while. ours: no agent had
// a part in it.
func (x *box) perform(ctx context.Context, e sandbox.Exec, acked, read uint64) (frames []sandbox.Frame, ours bool, err error) {
	client := x.client.Load()
	switch {
	case x.direct.isOver():
	case len(e.Argv) > 0 || e.Code == "":
		client, err = x.reach(ctx, "start")
	default:
		frames, client, err = x.try(ctx, e)
	}
	if err != nil || client == nil {
		return frames, true, err
	}
	frames, err = client.Begin(ctx, e, acked, read, beginWait)
	return frames, false, err
}

// try runs code without an agent. Where that cannot be, it returns the agent: Begin then
// begins the execution, or does nothing where it goes on already, and reads what comes of it.
func (x *box) try(ctx context.Context, e sandbox.Exec) ([]sandbox.Frame, *agent.Client, error) {
	d := x.direct
	if err := d.take(ctx); err != nil {
		return nil, nil, &sandbox.Error{Op: "start", ID: string(x.id), Kind: sandbox.KindOf(err), Err: err}
	}
	defer d.leave()
	var begun *agent.Begun
	if !d.isOver() {
		if slices.Contains(d.known, e.ID) { // it was started before
			x.reading.over(e.ID)
			return nil, nil, nil
		}
		r := run{direct: d, box: x, exec: &e}
		frames, err := r.do(ctx)
		if x.backend.watches.Load() > mostWatches {
			d.shed()
		}
		if err == nil {
			d.remember(e.ID)
			x.reading.keep(frames)
			return frames, nil, nil
		}
		begun = r.handedOver()
	}
	client, err := x.handOver(ctx, begun)
	if err != nil {
		return nil, nil, x.lostError("start", err)
	}
	return nil, client, nil
}

// remember notes that an execution is over, so that it is not begun again.
func (d *direct) remember(id sandbox.ExecID) {
	const most = 8 // who starts one twice does so at once
	if len(d.known) == most {
		d.known = slices.Delete(d.known, 0, 1)
	}
	d.known = append(d.known, id)
}

// A run is one of code, without an agent.
type run struct {
	*direct

	box   *box
	exec  *sandbox.Exec
	sent  bool
	began time.Time
	cpu   time.Duration // that the kernel had used
}

// handedOver is what the agent is told of a run that goes on, or nil.
func (r *run) handedOver() *agent.Begun {
	if !r.sent {
		return nil
	}
	return &agent.Begun{Exec: *r.exec, Ago: time.Since(r.began), CPU: r.cpu}
}

// do runs the code. An error means that an agent is needed, and that nothing was told to
// anybody.
func (r *run) do(ctx context.Context) ([]sandbox.Frame, error) {
	e := r.exec
	if r.left || r.broken || e.Stdin || e.Background || e.CPU > 0 && e.CPU < directCPU {
		return nil, errUnforeseen
	}
	limit := time.Now().Add(directStart)
	if e.Deadline > 0 {
		limit = earlier(limit, time.Now().Add(e.Deadline-quick.Boottime()))
	}
	if err := r.greet(r.box, limit); err != nil {
		return nil, err
	}
	if err := r.bind(e.Dir, e.Env, earlier(limit, time.Now().Add(directBind))); err != nil {
		return nil, err
	}
	if err := r.open(r.box); err != nil {
		return nil, err
	}
	if r.watch.hasOutput() { // of nobody's, which is the agent's to tell
		return nil, errUnforeseen
	}
	limit = earlier(limit, time.Now().Add(directQueue))
	if err := r.send(limit); err != nil {
		return nil, err
	}
	_ = r.watch.openRest(r.box) // while it runs; what is missing then is taken for the worst
	done, err := r.awaitDone(limit)
	if err != nil {
		return nil, err
	}
	return r.finish(ctx, done), nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// send sends the code.
func (r *run) send(until time.Time) error {
	frame, err := kernel.EncodeRun(strconv.Itoa(r.runs+1), r.exec.Code)
	if err != nil {
		return err
	}
	r.began, r.cpu = time.Now(), quick.ProcessorTime(r.pid)
	if r.sent, err = r.say(frame, until); r.sent {
		r.runs++
	}
	return err
}

// awaitDone waits for the end of the run. It is an error when that does not come soon, is
// more than a plain end, or output comes and it does not.
func (r *run) awaitDone(limit time.Time) (*kernel.Done, error) {
	wait := directPeek
	m, err := r.next(earlier(limit, r.began.Add(wait)))
	for errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(limit) && r.mayEndSoon() {
		wait *= 2
		m, err = r.next(earlier(limit, time.Now().Add(wait)))
	}
	switch {
	case err != nil:
		return nil, err
	case m.Done == nil || m.Done.ID != strconv.Itoa(r.runs) || !m.Done.OK:
		return nil, errUnforeseen
	}
	return m.Done, nil
}

// mayEndSoon tells whether the run is not to have an agent yet: where many run, it may only
// have to wait for a processor, and agents would make it wait longer.
func (r *run) mayEndSoon() bool {
	if quick.ProcessorTime(r.pid)-r.cpu < directBusy && isRunnable(r.pid) {
		return true
	}
	return time.Since(r.began) < directWait && !r.watch.hasOutput()
}

// isRunnable tells whether a process runs, or would if it had a processor.
func isRunnable(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	return bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" R")) // the name before may hold anything
}

// hasOutput tells whether there may be something to read. It never waits for a tenant that
// writes, as a look at how much it is would.
func (w *watch) hasOutput() bool {
	readable, err := quick.Readable(uintptr(w.pipes[0]), uintptr(w.pipes[1]))
	return readable || err != nil
}

// streams are those of a watch's pipes.
var streams = [2]sandbox.Stream{sandbox.Stdout, sandbox.Stderr} //nolint:gochecknoglobals // a table

// finish returns the output and the end of a run that is done. Where something is left that
// could print before the next run, or a later run could be blamed for what this has left, an
// agent is started.
func (r *run) finish(ctx context.Context, done *kernel.Done) []sandbox.Frame {
	more := r.watch.leavesMore()
	r.understood()
	exit := &sandbox.Exit{Result: done.Result, CPU: max(quick.ProcessorTime(r.pid)-r.cpu, 0)}
	frames := r.output(exit)
	exit.Duration = time.Since(r.began)
	if more || done.Tasks || r.watch.isFull() {
		r.box.needAgent(ctx)
	}
	return append(frames, r.frame(sandbox.Frame{Exit: exit}))
}

// output reads what was printed, and counts in exit what is over the limit.
func (r *run) output(exit *sandbox.Exit) (frames []sandbox.Frame) {
	if !r.watch.hasOutput() {
		return nil
	}
	buf := pieces.Get().(*piece) //nolint:errcheck,forcetypeassert // only we put
	defer pieces.Put(buf)
	left := max(r.exec.OutputLimit, 0)
	for i, fd := range r.watch.pipes {
		for read := 0; read < mostOutput; {
			n, err := unix.Read(fd, buf[:]) // which may wait for the tenant, see [quick.Waiting]
			if n <= 0 || err != nil {
				break
			}
			read += n
			keep := min(int64(n), left)
			left -= keep
			exit.Dropped += int64(n) - keep
			if keep > 0 {
				frames = append(frames, r.frame(sandbox.Frame{Stream: streams[i], Data: bytes.Clone(buf[:keep])}))
			}
			if n < len(buf) {
				break // there is no more
			}
		}
	}
	return frames
}

// A piece is as much output as one frame carries. They are shared.
type piece [32 << 10]byte

var pieces = sync.Pool{New: func() any { return new(piece) }} //nolint:gochecknoglobals // a pool

// frame numbers one.
func (r *run) frame(f sandbox.Frame) sandbox.Frame {
	r.last++
	f.Seq, f.Exec = r.last, r.exec.ID
	return f
}
