//go:build linux

package guest

import (
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// Bounds on what the daemon may ask at once. The daemon has its own, smaller
// ones; these protect the agent's memory from a faulty daemon.
const (
	maxRunning = 64
	maxKnown   = 256 // executions remembered after their end
)

// A Guest is the agent's state. Its methods may be called from many
// goroutines.
type Guest struct {
	config   boot.Config
	out      *ring
	children *children
	groups   *groups
	null     *os.File
	files    *transfers
	rooms    []room
	late     late
	visits   bool // nobody outside sees how processes end

	mu          sync.Mutex
	code        chan codeRun          // to the goroutine that runs code; nil until there was some
	executions  map[string]*execution // running, or with an end that is not acknowledged
	known       []string              // the newest ids that are over
	interpreter *interpreter          // nil until code is run
	early       *early                // an interpreter that waits for the first code; nil when there is none
	busy        *execution            // what the interpreter runs
}

// Errors that the daemon gets as ttrpc statuses.
var (
	errBusy    = errors.New("the kernel is busy")
	errTooMany = errors.New("too many executions")
	errEmpty   = errors.New("neither code nor a command")
	errUnknown = errors.New("no such execution, or no stdin")
)

func newGuest(c boot.Config, joins []*os.File, folder *os.File) (*Guest, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	g := &Guest{
		config: c, out: newRing(c.RingBytes), children: newChildren(c.JoinMode, joins),
		groups: &groups{folder: folder}, null: null, rooms: openRooms(), executions: map[string]*execution{},
	}
	g.files = newTransfers(g.children, g.groups, null)
	return g, nil
}

// start begins the execution that r asks for, once.
func (g *Guest) start(r *wire.StartRequest) error {
	if len(r.GetArgv()) == 0 && r.GetCode() == "" || r.GetId() == "" {
		return errEmpty
	}
	x, err := g.admit(r)
	if x == nil {
		return err
	}
	if len(r.GetArgv()) == 0 {
		g.codeRuns() <- codeRun{x, r} // nothing else runs there, so it is taken at once
		return nil
	}
	if err := g.runCommand(x, r); err != nil {
		g.withdraw(x)
		return err
	}
	return nil
}

// admit makes the execution of r, or returns nil: with an error when it cannot
// be, without one when it is known already.
func (g *Guest) admit(r *wire.StartRequest) (*execution, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isKnown(r.GetId()) {
		return nil, nil //nolint:nilnil // idempotent: it was started before
	}
	code := len(r.GetArgv()) == 0
	switch {
	case len(g.executions) >= maxRunning:
		return nil, errTooMany
	case code && g.busy != nil:
		return nil, errBusy
	}
	x := newExecution(r, g.out, g.rooms)
	if g.visits {
		x.killsBefore = memoryKills()
	}
	g.executions[x.id] = x
	if code {
		g.busy = x
	}
	return x, nil
}

func (g *Guest) isKnown(id string) bool {
	if _, ok := g.executions[id]; ok {
		return true
	}
	return slices.Contains(g.known, id)
}

// withdraw forgets an execution that never began.
func (g *Guest) withdraw(x *execution) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.executions, x.id)
}

// acknowledged forgets an execution whose end the daemon has.
func (g *Guest) acknowledged(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.executions, id)
	g.known = append(g.known, id)
	if len(g.known) > maxKnown {
		g.known = append([]string(nil), g.known[len(g.known)-maxKnown/2:]...)
	}
}

// A codeRun is code that is to be run.
type codeRun struct {
	x *execution
	r *wire.StartRequest
}

// codeRuns leads to the one goroutine that runs code, for as long as the agent
// lives. A new one for each would have to grow its stack each time.
func (g *Guest) codeRuns() chan<- codeRun {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.code == nil {
		runs := make(chan codeRun, 1)
		g.code = runs
		go func() {
			for run := range runs {
				g.runCode(run.x, run.r)
			}
		}()
	}
	return g.code
}

// runCode runs code in the interpreter, which is started when there is none.
func (g *Guest) runCode(x *execution, r *wire.StartRequest) {
	exit := g.execute(x, r)
	g.mu.Lock()
	g.busy = nil
	g.mu.Unlock()
	x.finish(exit)
}

func (g *Guest) execute(x *execution, r *wire.StartRequest) *wire.Exit {
	k := g.interpreter
	begun := r.GetBegun() != nil
	lostBefore := g.late.lost || k != nil && !begun && !k.goesOn(r)
	g.late.lost = false
	if begun && k == nil {
		return &wire.Exit{Code: 1, Cause: string(sandbox.CauseCrashed), Evidence: "the interpreter was lost", StateLost: true}
	}
	if lostBefore && k != nil {
		k.close()
		k = nil
	}
	if k == nil {
		k = g.takeEarly(r)
		g.interpreter = k
	}
	if k == nil {
		var err error
		if k, err = g.startInterpreter(x, r); err != nil {
			return g.noInterpreter(k, err)
		}
		g.interpreter = k
	} else {
		k.arm(x, r.GetDeadline())
	}
	exit, lost := k.run(x, r)
	if lost {
		k.close()
		g.interpreter = nil
	}
	if lostBefore {
		exit.StateLost = true
		if exit.GetEvidence() == "" {
			exit.Evidence = "the interpreter had ended since the run before"
		}
	}
	return exit
}

// noInterpreter is the exit of code for which no interpreter came up.
func (g *Guest) noInterpreter(k *interpreter, err error) *wire.Exit {
	if k == nil {
		cause := sandbox.CauseCrashed
		if errors.Is(err, syscall.EAGAIN) {
			cause = sandbox.CausePids
		}
		return &wire.Exit{Code: 1, Cause: string(cause), Evidence: "the interpreter could not be started: " + err.Error()}
	}
	exit := k.lost(0)
	exit.StateLost = false // there was none yet
	k.close()
	return exit
}

func (g *Guest) find(id string) *execution {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.executions[id]
}

func (g *Guest) list() []*wire.ExecState {
	g.mu.Lock()
	defer g.mu.Unlock()
	states := make([]*wire.ExecState, 0, len(g.executions))
	for id, x := range g.executions {
		states = append(states, &wire.ExecState{Id: id, Running: x.running()})
	}
	return states
}
