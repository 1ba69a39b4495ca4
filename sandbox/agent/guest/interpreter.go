//go:build linux

package guest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// startLimit is how long an interpreter may take to say that it is ready, on a
// host that is very busy.
const startLimit = 60 * time.Second

// An interpreter is the process that runs code, and keeps its state between
// runs. What it says is the tenant's word: bounded by [kernel.Conn], believed
// by nobody else.
type interpreter struct {
	pid     int
	conn    *kernel.Conn
	file    *os.File
	group   *group
	taps    [2]*tap
	ended   <-chan ending
	gone    chan struct{} // closed when the process has ended
	ending  ending        // set before gone is closed, as is refused
	refused int           // times that a process of its group could not be started
	runs    int
	marked  bool // its environment lacks the mark of its group, as nobody started it with one
	unsure  bool // nobody knows what it was asked for last

	between   budget // of output between two runs
	listening func() // begins to read what it prints, once; nil: that was begun with it

	mu       sync.Mutex
	current  *execution // nil between runs
	answered bool       // the run has said that it is done
}

// betweenLimit is how much output between two runs is kept: nobody asked for
// it, so nobody has set a limit.
const betweenLimit = 64 << 10

// A budget is an amount that is used up.
type budget struct{ left atomic.Int64 }

func (b *budget) fill(n int64) { b.left.Store(n) }

// take takes n, or what is left.
func (b *budget) take(n int) int {
	left := b.left.Add(-int64(n)) + int64(n)
	return int(min(int64(n), max(left, 0)))
}

var errNotReady = errors.New("the interpreter did not start")

// startInterpreter starts a new one for a first run, whose deadline holds
// already, and waits until it is ready. It begins in the run's directory, with
// its variables. Without a run it is started early.
func (g *Guest) startInterpreter(first *execution, r *wire.StartRequest) (*interpreter, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	k, err := g.newInterpreter(ours)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	k.current = first
	files := []*os.File{g.null, nil, nil, theirs}
	defer func() {
		for _, f := range files[1:] {
			if f != nil {
				_ = f.Close()
			}
		}
	}()
	for i, stream := range streams {
		t, theirs, err := openTap(func(data []byte) { k.write(g.out, stream, data) })
		if err != nil {
			k.close()
			return nil, err
		}
		k.taps[i], files[1+i] = t, theirs
	}
	argv, env := kernel.Command(g.config.Kernel.Language, g.config.Kernel.Interpreter, g.config.Kernel.Driver)
	k.group = g.groups.make()
	k.pid, k.ended, err = g.children.start(program{
		path: argv[0], argv: argv, env: environment(env, g.config.Env, r.GetEnv()),
		dir: workDir(r.GetDir()), files: files, group: k.group,
	})
	if err != nil {
		k.group.end()
		k.close()
		return nil, err
	}
	go k.watch()
	if first != nil {
		k.arm(first, r.GetDeadline())
	}
	_ = theirs.Close() // now, so that its end is seen here
	files[3] = nil
	return k, k.awaitReady()
}

// streams are those of an interpreter's taps.
var streams = [2]wire.Stream{wire.Stream_STDOUT, wire.Stream_STDERR} //nolint:gochecknoglobals // a table

// newInterpreter speaks over our end of a control channel, of which some words may
// have been read already.
func (g *Guest) newInterpreter(control *os.File, heard ...byte) (*interpreter, error) {
	fast, err := quick.NewFile(control)
	if err != nil {
		return nil, err
	}
	var rw io.ReadWriter = fast
	if len(heard) > 0 {
		rw = struct {
			io.Reader
			io.Writer
		}{io.MultiReader(bytes.NewReader(heard), fast), fast}
	}
	return &interpreter{gone: make(chan struct{}), file: control, conn: kernel.NewConn(rw, g.config.Kernel.Language)}, nil
}

// watch notes the end of the process, and ends what it left behind.
func (k *interpreter) watch() {
	k.ending = <-k.ended
	k.refused = k.group.refusals()
	signalGroup(k.pid, syscall.SIGKILL)
	k.group.end()
	close(k.gone)
	_ = k.file.SetDeadline(time.Unix(1, 0)) // another may still hold the other end
}

func (k *interpreter) awaitReady() error {
	_ = k.file.SetReadDeadline(time.Now().Add(startLimit))
	m, err := k.conn.Next()
	_ = k.file.SetReadDeadline(time.Time{})
	if err == nil && m.Ready != nil {
		return nil
	}
	k.kill()
	return errNotReady
}

// write hands output to the run that goes on. What comes between runs belongs
// to none.
func (k *interpreter) write(out *ring, stream wire.Stream, data []byte) {
	k.mu.Lock()
	x := k.current
	k.mu.Unlock()
	if x != nil {
		x.write(stream, data)
		return
	}
	if keep := k.between.take(len(data)); keep > 0 {
		out.push(&wire.Frame{Stream: stream, Data: append([]byte(nil), data[:keep]...)})
	}
}

// listen has what it prints read from now on.
func (k *interpreter) listen() {
	if k.listening != nil {
		k.listening()
	}
}

// arm makes x the run that signals and its deadline are for.
func (k *interpreter) arm(x *execution, deadline int64) {
	k.mu.Lock()
	k.current, k.answered = x, false
	k.mu.Unlock()
	x.arm(func(s sandbox.Signal) { k.signal(x, s) }, deadline)
	k.listen()
}

// signal signals the process for the sake of x, unless that is over: the run
// after it is never hit.
func (k *interpreter) signal(x *execution, s sandbox.Signal) {
	if s == sandbox.Kill {
		k.strike(x, syscall.SIGKILL)
		return
	}
	for range interruptGrace / interruptEvery {
		if !k.strike(x, syscall.SIGINT) {
			return
		}
		unixPause(interruptEvery)
	}
}

// strike sends one signal and reports whether x went on.
func (k *interpreter) strike(x *execution, s syscall.Signal) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != x || k.answered || !k.alive() {
		return false
	}
	signalGroup(k.pid, s)
	return true
}

// interruptEvery is how often an interrupt is repeated: an interpreter misses
// one that comes just before it waits for the system.
const interruptEvery = 500 * time.Millisecond

func (k *interpreter) kill() {
	signalGroup(k.pid, syscall.SIGKILL)
}

func (k *interpreter) alive() bool {
	select {
	case <-k.gone:
		return false
	default:
		return true
	}
}

// run runs code as x and returns how it ended. lost: the process is gone.
func (k *interpreter) run(x *execution, r *wire.StartRequest) (exit *wire.Exit, lost bool) {
	cpu, refusals := quick.ProcessorTime(k.pid), k.group.refusals()
	began := quick.Boottime()
	x.limitCPU(k.group)
	if begun := r.GetBegun(); begun != nil {
		cpu, refusals, began = time.Duration(begun.GetCpu()), 0, began-time.Duration(begun.GetAgo())
	} else {
		k.runs++
	}
	done, err := k.converse(x, r)
	if sandbox.KindOf(err) == sandbox.Invalid && err != nil { // not sent: nothing is lost
		x.write(wire.Stream_STDERR, []byte(err.Error()+"\n"))
		done = &kernel.Done{}
	} else if err != nil {
		exit = k.lost(refusals)
		exit.Cpu = max(exit.GetCpu()-int64(cpu), 0)
		return exit, true
	}
	k.mu.Lock()
	k.answered = true
	k.mu.Unlock()
	for _, t := range k.taps {
		t.drain()
	}
	k.between.fill(betweenLimit)
	k.mu.Lock()
	k.current = nil
	k.mu.Unlock()
	exit = exitOfDone(done)
	exit.Cpu = int64(quick.ProcessorTime(k.pid) - cpu)
	if exit.GetCode() != 0 {
		blameCall(exit)
		blameTasks(exit, k.group.refusals()-refusals)
	}
	if x.overran() || exit.GetCause() == string(sandbox.CausePids) { // what it started would go on at the cost of the next
		k.group.endSince(began, k.pid)
	}
	return exit, false
}

// converse sends the code, unless that was done, and handles what comes until the run
// is done.
func (k *interpreter) converse(x *execution, r *wire.StartRequest) (*kernel.Done, error) {
	id := strconv.Itoa(k.runs)
	if r.GetBegun() == nil {
		if err := k.conn.SendRun(id, r.GetCode()); err != nil {
			return nil, err
		}
	}
	for wrong := 0; wrong < maxWrong; {
		m, err := k.conn.Next()
		switch {
		case err != nil:
			return nil, err
		case m.Display != nil:
			x.display(m.Display.MIME, m.Display.Data)
		case m.Done != nil && m.Done.ID == id:
			return m.Done, nil
		default:
			wrong++
		}
	}
	return nil, errWrong
}

// maxWrong is how many messages out of place are passed over. More are a
// tenant's who keeps us busy.
const maxWrong = 16

var errWrong = errors.New("the interpreter says what nobody asked")

// lost tells how a run ended whose interpreter went away, or spoke nonsense.
// refusals is how often its group could not start a process before the run.
func (k *interpreter) lost(refusals int) *wire.Exit {
	timer := time.NewTimer(interruptGrace)
	defer timer.Stop()
	select {
	case <-k.gone:
	case <-timer.C: // it closed its channel, or broke the protocol, and lives
		k.kill()
		<-k.gone
	}
	for _, t := range k.taps {
		t.finish(leftover)
	}
	exit := exitOf(k.ending)
	exit.StateLost = true
	if exit.GetEvidence() == "" {
		exit.Evidence = "the interpreter ended with status " + strconv.Itoa(int(exit.GetCode()))
	}
	if exit.GetCode() == 0 {
		exit.Code = 1
	}
	blameCall(exit)
	blameTasks(exit, k.refused-refusals)
	if exit.GetCause() == "" {
		exit.Cause = string(sandbox.CauseCrashed)
	}
	return exit
}

func (k *interpreter) close() {
	_ = k.file.Close()
	for _, t := range k.taps {
		if t != nil {
			t.close()
		}
	}
}

func exitOfDone(d *kernel.Done) *wire.Exit {
	exit := &wire.Exit{Result: d.Result}
	if !d.OK {
		exit.Code = 1
	}
	if d.Exit != nil {
		exit.Code = int32(*d.Exit & 0xff)
	}
	if d.Failure != nil {
		exit.Failed, exit.FailureName, exit.FailureMessage = true, d.Failure.Name, d.Failure.Message
	}
	return exit
}
