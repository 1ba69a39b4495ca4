package actors

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A journal is what a session remembers, and what survives a panic of its
// actor: the output log, the executions that are not finished, the sandbox and
// how far its frames were taken. Any goroutine may call its methods.
//
// Only the actor calls those that publish a lifecycle event (begin, settle,
// ready, adopt), and the parent calls end after it.
type journal struct {
	name string
	log  *Log // of this session; closed by end
	all  *Log // of the owner
	opts Options
	over chan struct{} // closed by end

	mu         sync.Mutex
	box        sandbox.Sandbox // nil while there is none
	fresh      sandbox.Sandbox // offered, and not yet adopted by the actor
	loss       *loss           // the sandbox that was lost, until another is adopted
	cursor     uint64          // the last frame that was taken from box
	executions []*execution    // not finished, in the order in which they were accepted
	stdout     joiner          // of writers that outlived their execution
	stderr     joiner
	pump       *pump         // nil when none runs
	stopping   *pump         // one that was told to end and may not have yet
	greeted    bool          // session.ready is published
	ending     sandbox.Cause // why the session is to end
	ended      bool
	restarts   int
	lastUsed   time.Time
}

// A loss is a sandbox that is no longer used, and why.
type loss struct {
	box   sandbox.Sandbox
	death sandbox.Death
}

// errStale tells a pump that the frames it brings are no longer wanted.
var errStale = errors.New("frames of a sandbox that is not the session's")

func newJournal(name string, box sandbox.Sandbox, all *Log, opts Options) *journal {
	return &journal{
		name: name, box: box, all: all, opts: opts,
		log: NewLog(opts.LogBytes, opts.LogEvents), over: make(chan struct{}), lastUsed: time.Now(),
	}
}

// publish puts an event into both logs. Call it with the mutex held, so that
// both have the same order.
func (j *journal) publish(e sandbox.Event) {
	e.Time, e.Session = time.Now(), j.name
	j.log.Append(e)
	j.all.Append(e)
}

// ready publishes session.ready, once.
func (j *journal) ready() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.greeted && !j.ended {
		j.greeted = true
		j.publish(sandbox.Event{Type: sandbox.SessionReady})
	}
}

// sandbox returns the present sandbox, nil while there is none.
func (j *journal) sandbox() sandbox.Sandbox {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.box
}

// admit takes an execution in. It refuses once the session ends.
func (j *journal) admit(x *execution) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended || j.ending != sandbox.CauseNone {
		return j.stopped()
	}
	j.executions = append(j.executions, x)
	return nil
}

// stopped is the answer to who asks for work that the session no longer does.
func (j *journal) stopped() error {
	return &sandbox.Error{
		Op: "execute", ID: j.name, Kind: sandbox.Stopped, Cause: j.ending,
		Detail: "the session ended before this ran", Remedy: "call again to get a fresh session",
	}
}

// holds tells whether x was admitted and is not finished.
func (j *journal) holds(x *execution) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return x.phase == finished || slices.Contains(j.executions, x)
}

// begin marks x as running and publishes execution.started. The caller then
// calls Start.
func (j *journal) begin(x *execution, deadline time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.phase != queued {
		return
	}
	x.phase, x.begun, x.deadline = running, time.Now(), deadline
	j.publish(sandbox.Event{Type: sandbox.ExecutionStarted, Exec: x.id})
}

// startCalled notes that Start is under way, and tells whether it was not
// already: two incarnations must not both call it.
func (j *journal) startCalled(x *execution) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.start != notCalled {
		return false
	}
	x.start = calling
	return true
}

// startReturned notes how Start ended.
func (j *journal) startReturned(x *execution, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x.start, x.startErr = returned, err
}

// A view is a copy of what changes in an execution.
type view struct {
	phase    phase
	deadline time.Duration
	start    handover
	startErr error
	canceled bool
}

// look returns how an execution stands.
func (j *journal) look(x *execution) view {
	j.mu.Lock()
	defer j.mu.Unlock()
	return view{x.phase, x.deadline, x.start, x.startErr, x.canceled}
}

// unfinished returns the executions that are not finished, in order.
func (j *journal) unfinished() []*execution {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.executions)
}

// cancel notes that nobody waits for x any more, and tells whether it was
// wanted until now.
func (j *journal) cancel(x *execution) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.canceled {
		return false
	}
	x.canceled = true
	return true
}

// accept takes frames of box in. It returns the executions whose exit was among
// them. errStale: box is not ours any more; another error: box is not honest.
func (j *journal) accept(box sandbox.Sandbox, frames []sandbox.Frame) ([]*execution, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.box != box || j.ended {
		return nil, errStale
	}
	var ended []*execution
	for i := range frames {
		f := &frames[i]
		if err := checked(f, j.cursor); err != nil {
			return ended, err
		}
		j.cursor = f.Seq
		x := j.writer(f.Exec)
		switch {
		case f.Exit == nil:
			j.take(x, f)
		case x != nil: // an exit of nothing that runs is nothing
			j.exit(x, bounded(*f.Exit))
			ended = append(ended, x)
		}
	}
	return ended, nil
}

// writer returns the running execution of that id, or nil.
func (j *journal) writer(id sandbox.ExecID) *execution {
	for _, x := range j.executions {
		if x.id == id && x.phase == running {
			return x
		}
	}
	return nil
}

// take adds the output of one frame to x, which may be nil, and to the logs.
func (j *journal) take(x *execution, f *sandbox.Frame) {
	j.opts.Meter.OutputBytes(len(f.Data))
	if f.Stream == sandbox.Display {
		j.display(x, f)
		return
	}
	j.text(x, f.Stream, j.joiner(x, f.Stream).next(f.Data))
}

func (j *journal) joiner(x *execution, stream sandbox.Stream) *joiner {
	switch {
	case x == nil && stream == sandbox.Stderr:
		return &j.stderr
	case x == nil:
		return &j.stdout
	case stream == sandbox.Stderr:
		return &x.stderr
	}
	return &x.stdout
}

func (j *journal) text(x *execution, stream sandbox.Stream, data []byte) {
	e := sandbox.Event{Type: sandbox.Output, Stream: stream, Data: data}
	if x != nil {
		kept := x.output.write(stream, data, x.exec.OutputLimit)
		x.dropped += int64(len(data) - kept)
		e.Exec, e.Data = x.id, data[:kept]
		x.stir()
	}
	if len(e.Data) > 0 {
		j.publish(e)
	}
}

func (j *journal) display(x *execution, f *sandbox.Frame) {
	e := sandbox.Event{Type: sandbox.Output, Stream: f.Stream, MIME: f.MIME, Data: f.Data}
	if x != nil {
		size := int64(len(f.Data))
		if len(x.rich) >= j.opts.Rich || x.richSize+size > j.opts.RichBytes {
			x.dropped += size
			return
		}
		x.rich = append(x.rich, sandbox.Rich{MIME: f.MIME, Data: f.Data})
		x.richSize += size
		e.Exec = x.id
	}
	j.publish(e)
}

// exit notes how a running execution ended, after its last output.
func (j *journal) exit(x *execution, exit sandbox.Exit) {
	j.text(x, sandbox.Stdout, x.stdout.flush())
	j.text(x, sandbox.Stderr, x.stderr.flush())
	exit.Dropped += x.dropped
	if exit.Cause == sandbox.CauseNone && exit.Code != 0 && x.canceled {
		exit.Cause = sandbox.CauseKilled
	}
	x.phase, x.exit = exited, exit
}

// fail ends x in our own words: its sandbox will not tell.
func (j *journal) fail(x *execution, exit sandbox.Exit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.phase == running {
		exit.Duration = time.Since(x.begun)
		j.exit(x, exit)
	}
}

// refuse ends x with an error: it did not run.
func (j *journal) refuse(x *execution, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.phase == finished || x.phase == exited {
		return
	}
	if x.phase == running { // observers were told of its start
		j.publish(sandbox.Event{Type: sandbox.ExecutionFinished, Exec: x.id, Exit: &sandbox.Exit{
			Code: 1, Evidence: "the sandbox did not start it",
		}})
	}
	x.err = err
	j.drop(x)
}

// settle publishes the end of an execution that exited and gives it to its
// caller. It does nothing with one that runs, or was settled before.
func (j *journal) settle(x *execution) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.settled(x)
}

func (j *journal) settled(x *execution) {
	if x.phase != exited {
		return
	}
	exit := x.exit
	j.publish(sandbox.Event{Type: sandbox.ExecutionFinished, Exec: x.id, Exit: &exit, Cause: exit.Cause, Evidence: exit.Evidence})
	if exit.StateLost && j.box != nil && !j.ended {
		j.publish(sandbox.Event{Type: sandbox.SessionRestarted, Cause: exit.Cause, Evidence: exit.Evidence, StateLost: true})
	}
	j.drop(x)
}

// drop makes x finished: its caller alone keeps it.
func (j *journal) drop(x *execution) {
	x.phase = finished
	x.stir()
	close(x.done)
	if i := slices.Index(j.executions, x); i >= 0 {
		j.executions = slices.Delete(j.executions, i, i+1)
	}
	j.lastUsed = time.Now()
	j.opts.Meter.ExecutionEnded(x.measured(j.lastUsed))
}
