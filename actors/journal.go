package actors

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// A journal is what a session remembers, and what survives a panic of its
// actor: the output log, the executions that are not finished, the sandbox and
// how far its frames were taken. Any goroutine may call its methods.
//
// What happens is first noted, in memory, and told to nobody. Then it is written
// into the ledger, by whoever flushes, and only then shown: so what anybody has
// seen, or was counted in an answer, is there after the daemon was killed. The
// actor notes; those who may wait for a disk flush: see flush.go.
type journal struct {
	name   string
	log    *Log // of this session; closed by end
	all    *Log // of the owner
	ledger *ledger.Ledger
	opts   Options
	over   chan struct{} // closed by end

	settled  chan struct{}  // closed when all is written that end noted
	flushing sync.Mutex     // held by who writes into the ledger
	writing  []ledger.Entry // what is being written; guarded by flushing, and empty otherwise

	mu         sync.Mutex
	noted      []note          // not written yet, in order
	kicked     bool            // a goroutine is on its way to flush
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
	detached   bool // it ended for this daemon alone
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

func newJournal(birth *Birth, opts Options) *journal {
	was := birth.Ledger.Standing()
	j := &journal{
		name: birth.Name, box: birth.Box, all: birth.All, ledger: birth.Ledger, opts: opts, over: make(chan struct{}), settled: make(chan struct{}),
		log:     NewLogFrom(was.Seq+1, opts.LogBytes, opts.LogEvents),
		greeted: was.Greeted, restarts: was.Restarts, lastUsed: was.Last, executions: birth.Recalled,
	}
	j.log.past = birth.Ledger
	if was.Box == birth.Box.ID() {
		j.cursor, j.stdout.rest, j.stderr.rest = was.Frame, was.Held[sandbox.Stdout], was.Held[sandbox.Stderr]
	}
	return j
}

// ready notes session.ready, once.
func (j *journal) ready() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.greeted || j.ended {
		return
	}
	j.greeted = true
	e := ledger.Entry{Event: sandbox.Event{Type: sandbox.SessionReady}}
	if j.box != nil {
		e.Box = j.box.ID()
	}
	j.note(note{entry: e})
	j.kick()
}

// sandbox returns the present sandbox, nil while there is none.
func (j *journal) sandbox() sandbox.Sandbox {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.box
}

// admit takes an execution in, or finds the one that its key stands for. It
// refuses once the session ends.
func (j *journal) admit(x *execution) (*accepted, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended || j.ending != sandbox.CauseNone {
		return nil, j.stopped()
	}
	if x.key != "" {
		if before, err := j.keyed(x); before != nil || err != nil {
			return before, err
		}
	}
	j.executions = append(j.executions, x)
	j.note(note{entry: ledger.Entry{
		Event:    sandbox.Event{Exec: x.id},
		Accepted: &ledger.Accepted{Exec: x.exec, Key: x.key, Digest: x.digest, Timeout: x.timeout},
	}})
	return &accepted{of: x, id: x.id}, nil
}

// keyed returns what was asked for before with the key of x.
func (j *journal) keyed(x *execution) (*accepted, error) {
	for _, other := range j.executions {
		if other.key == x.key {
			return &accepted{of: other, id: other.id, replayed: true}, j.same(other.digest, x)
		}
	}
	id, found := j.ledger.Keyed(x.key)
	if !found {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	run, found := j.ledger.Look(id)
	if !found {
		return nil, nil //nolint:nilnil // it was forgotten just now
	}
	return &accepted{id: id, replayed: true}, j.same(run.Accepted.Digest, x)
}

// same returns an error when a key is used again for something else.
func (j *journal) same(before []byte, x *execution) error {
	if bytes.Equal(before, x.digest) {
		return nil
	}
	return &sandbox.Error{
		Op: "execute", ID: j.name, Kind: sandbox.Conflict,
		Detail: "this idempotency key was used in this session for something else",
		Remedy: "use a fresh key for each piece of work",
	}
}

// stopped is the answer to who asks for work that the session no longer does.
func (j *journal) stopped() error {
	return &sandbox.Error{
		Op: "execute", ID: j.name, Kind: sandbox.Stopped, Cause: j.ending,
		Detail: "the session ended before this ran", Remedy: "call again to get a fresh session",
	}
}

// find returns an execution that is not finished, or nil.
func (j *journal) find(id sandbox.ExecID) *execution {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, x := range j.executions {
		if x.id == id {
			return x
		}
	}
	return nil
}

// holds tells whether x was admitted.
func (j *journal) holds(x *execution) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return x.phase == finished || slices.Contains(j.executions, x)
}

// begin marks x as running and notes execution.started. The caller then flushes
// and calls Start.
func (j *journal) begin(x *execution, deadline time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.phase != queued {
		return
	}
	x.phase, x.begun, x.deadline = running, time.Now(), deadline
	j.note(note{entry: ledger.Entry{Event: sandbox.Event{Type: sandbox.ExecutionStarted, Exec: x.id}, Deadline: deadline}})
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
	close(x.handed)
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

// signal notes that a signal is asked for.
func (j *journal) signal(x *execution) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x.signaled = true
}

// cancel notes that nobody wants x any more, and tells whether it was wanted
// until now.
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
// them. full tells that there is no room for output. errStale: box is not ours
// any more; another error: box is not honest.
func (j *journal) accept(box sandbox.Sandbox, frames []sandbox.Frame, full bool) ([]*execution, error) {
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
			j.take(x, f, full)
		case x != nil: // an exit of nothing that runs is nothing
			j.exit(x, bounded(*f.Exit), f.Seq)
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

// take notes the output of one frame, of x if it is not nil.
func (j *journal) take(x *execution, f *sandbox.Frame, full bool) {
	j.opts.Meter.OutputBytes(len(f.Data))
	e := sandbox.Event{Type: sandbox.Output, Stream: f.Stream, MIME: f.MIME, Data: f.Data}
	n := note{entry: ledger.Entry{Frame: f.Seq}, of: x}
	if x != nil {
		e.Exec = x.id
	}
	if f.Stream != sandbox.Display {
		joined := j.joiner(x, f.Stream)
		e.Data = joined.next(f.Data)
		n.entry.Held = joined.rest
	}
	if dropped := j.refused(x, &e, full); dropped > 0 {
		e.Data, n.entry.Dropped = e.Data[:0], dropped
	}
	if len(e.Data) == 0 {
		e.Type, e.Data = "", nil
	}
	n.entry.Event = e
	if j.merged(&n) {
		return
	}
	j.note(n)
	if x != nil {
		x.spent += int64(len(e.Data)) + entryCost
	}
}

// entryCost is what an entry takes on the disk beside its text: a program that
// writes single bytes to both streams in turn shall not fill it.
const entryCost = 96

// mergedMost bounds the text that one entry gathers of many little frames.
const mergedMost = 32 << 10

// merged adds text to the note before it, if that is more of the same.
func (j *journal) merged(n *note) bool {
	if len(j.noted) == 0 {
		return false
	}
	last, e := &j.noted[len(j.noted)-1], &n.entry.Event
	into := &last.entry.Event
	if last.of != n.of || into.Type != sandbox.Output || e.Type != sandbox.Output || e.Stream == sandbox.Display ||
		into.Stream != e.Stream || len(into.Data)+len(e.Data) > mergedMost {
		return false
	}
	into.Data = append(into.Data, e.Data...) // what a joiner gives has no room behind it, so this is a copy
	last.entry.Frame, last.entry.Held = n.entry.Frame, n.entry.Held
	last.entry.Dropped += n.entry.Dropped
	return true
}

// refused is how many bytes of an event are not to be kept: all of it, or none.
func (j *journal) refused(x *execution, e *sandbox.Event, full bool) int64 {
	size := int64(len(e.Data))
	switch {
	case x != nil && e.Stream == sandbox.Display:
		full = full || x.richNoted >= j.opts.Rich || x.richSize+size > j.opts.RichBytes
		if !full {
			x.richNoted, x.richSize = x.richNoted+1, x.richSize+size
		}
	case x != nil && size > 0:
		x.cut = x.cut || full || x.noted+size > x.exec.OutputLimit || x.spent > 2*x.exec.OutputLimit
		if full = x.cut; !full { // once cut, always cut, lest there be holes within
			x.noted += size
		}
	}
	if !full {
		return 0
	}
	if x != nil {
		x.dropped += size
	}
	return size
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

// exit notes how a running execution ended, after its last output.
func (j *journal) exit(x *execution, exit sandbox.Exit, frame uint64) {
	for _, stream := range []sandbox.Stream{sandbox.Stdout, sandbox.Stderr} {
		if rest := j.joiner(x, stream).flush(); len(rest) > 0 && !x.cut {
			x.noted += int64(len(rest))
			j.note(note{of: x, entry: ledger.Entry{Event: sandbox.Event{Type: sandbox.Output, Exec: x.id, Stream: stream, Data: rest}}})
		}
	}
	exit.Dropped += x.dropped
	if exit.Cause == sandbox.CauseNone && exit.Code != 0 && (x.canceled || x.signaled) {
		exit.Cause = sandbox.CauseKilled
	}
	x.phase, x.exit = exited, exit
	told := exit
	j.note(note{of: x, ends: true, entry: ledger.Entry{Frame: frame, Event: sandbox.Event{
		Type: sandbox.ExecutionFinished, Exec: x.id, Exit: &told, Cause: exit.Cause, Evidence: exit.Evidence,
	}}})
	if exit.StateLost && j.box != nil && !j.ended {
		j.note(note{entry: ledger.Entry{Event: sandbox.Event{
			Type: sandbox.SessionRestarted, Cause: exit.Cause, Evidence: exit.Evidence, StateLost: true,
		}}})
	}
}

// fail ends x in our own words: its sandbox will not tell.
func (j *journal) fail(x *execution, exit sandbox.Exit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.phase == running {
		exit.Duration = time.Since(x.begun)
		j.exit(x, exit, 0)
		j.kick()
	}
}

// refuse ends x with an error: it did not run.
func (j *journal) refuse(x *execution, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.turnAway(x, err)
	j.kick()
}

func (j *journal) turnAway(x *execution, err error) {
	if x.phase == finished || x.phase == exited {
		return
	}
	n := note{of: x, ends: true, entry: ledger.Entry{Event: sandbox.Event{Exec: x.id}, Refused: refusalOf(err)}}
	if x.phase == running { // observers were told of its start
		n.entry.Event.Type = sandbox.ExecutionFinished
		n.entry.Event.Exit = &sandbox.Exit{Code: 1, Evidence: "the sandbox did not start it"}
	}
	x.phase, x.err = exited, err
	j.note(n)
}

// refusalOf is what of an error outlives the daemon.
func refusalOf(err error) *ledger.Refusal {
	r := &ledger.Refusal{Kind: sandbox.KindOf(err)}
	if e, ok := errors.AsType[*sandbox.Error](err); ok {
		r.Cause, r.Detail, r.Remedy = e.Cause, e.Detail, e.Remedy
	}
	return r
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
