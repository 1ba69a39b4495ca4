package sandboxtest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// grace is the time between the interrupt at a deadline and the kill.
const grace = 2 * time.Second

// A fakeRun is one script that runs.
type fakeRun struct {
	box         *fakeSandbox
	exec        sandbox.Exec
	interrupted chan struct{} // closed by signal, under the sandbox's mutex
	killed      chan struct{} // likewise
	ended       bool          // under the sandbox's mutex

	stubborn bool
	written  int64
	dropped  int64
	result   string
}

func (r *fakeRun) signal(s sandbox.Signal) {
	gate := r.interrupted
	if s == sandbox.Kill {
		gate = r.killed
	}
	select {
	case <-gate:
	default:
		close(gate)
	}
}

// run is the goroutine of a script. It ends with the script or the sandbox.
func (r *fakeRun) run() {
	began := time.Now()
	exit := r.script()
	if exit == nil {
		return // the sandbox died
	}
	exit.Duration, exit.Dropped = time.Since(began), r.dropped
	r.box.mu.Lock()
	r.ended = true
	if r.box.kernel == r {
		r.box.kernel = nil
		if exit.StateLost {
			clear(r.box.variables)
		}
	}
	r.box.mu.Unlock()
	r.box.put(sandbox.Frame{Exec: r.exec.ID, Exit: exit})
}

func (r *fakeRun) script() *sandbox.Exit {
	statements := r.exec.Argv
	if len(statements) == 0 {
		statements = strings.FieldsFunc(r.exec.Code, func(c rune) bool { return c == ';' || c == '\n' })
	}
	for _, statement := range statements {
		word, rest, _ := strings.Cut(strings.TrimSpace(statement), ":")
		exit, alive := r.step(word, rest)
		if !alive || exit != nil {
			return exit
		}
	}
	return &sandbox.Exit{Result: r.result}
}

// step does one statement. It returns the exit when it was the last, and
// whether the sandbox lives.
func (r *fakeRun) step(word, rest string) (exit *sandbox.Exit, alive bool) {
	switch word {
	case "print":
		return nil, r.write(sandbox.Stdout, []byte(rest+"\n"))
	case "write":
		return nil, r.write(sandbox.Stdout, []byte(rest))
	case "error":
		return nil, r.write(sandbox.Stderr, []byte(rest+"\n"))
	case "flood":
		n, _ := strconv.Atoi(rest)
		return nil, r.write(sandbox.Stdout, bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n])
	case "show":
		mime, data, _ := strings.Cut(rest, ":")
		return nil, r.box.put(sandbox.Frame{Exec: r.exec.ID, Stream: sandbox.Display, MIME: mime, Data: []byte(data)})
	case "sleep":
		length, err := time.ParseDuration(rest)
		if err != nil {
			return failure("ValueError", err.Error()), true
		}
		return r.sleep(length)
	case "set", "get":
		return r.variable(word, rest)
	case "result":
		r.result = rest
	case "fail":
		name, text, _ := strings.Cut(rest, ":")
		return failure(name, text), r.write(sandbox.Stderr, []byte(name+": "+text+"\n"))
	case "exit":
		n, _ := strconv.Atoi(rest)
		return &sandbox.Exit{Code: n}, true
	case "oom":
		return &sandbox.Exit{Code: 137, Cause: sandbox.CauseOOM, Evidence: "oom_kill 1", StateLost: true}, true
	case "die":
		cause := sandbox.Cause(rest)
		if cause == "" {
			cause = sandbox.CauseCrashed
		}
		r.box.die(sandbox.Death{Cause: cause, Evidence: "the script said so"})
		return nil, false
	case "stubborn":
		r.stubborn = true
	case "hang":
		<-r.box.dead
		return nil, false
	case "":
	default:
		return failure("SyntaxError", "no such statement: "+word), true
	}
	return nil, true
}

func failure(name, text string) *sandbox.Exit {
	return &sandbox.Exit{Code: 1, Failure: &sandbox.Failure{Name: name, Message: text}}
}

func (r *fakeRun) variable(word, rest string) (*sandbox.Exit, bool) {
	name, value, _ := strings.Cut(rest, "=")
	r.box.mu.Lock()
	if word == "set" {
		r.box.variables[name] = value
	}
	value, ok := r.box.variables[name]
	r.box.mu.Unlock()
	switch {
	case word == "set":
		return nil, true
	case !ok:
		return failure("NameError", fmt.Sprintf("name %q is not defined", name)), true
	}
	return nil, r.write(sandbox.Stdout, []byte(value+"\n"))
}

// write puts text out in pieces of at most 64 KiB, up to the limit.
func (r *fakeRun) write(stream sandbox.Stream, text []byte) bool {
	if limit := r.exec.OutputLimit; limit > 0 {
		keep := min(int64(len(text)), max(0, limit-r.written))
		r.dropped += int64(len(text)) - keep
		text = text[:keep]
	}
	r.written += int64(len(text))
	for len(text) > 0 {
		n := min(len(text), 64<<10)
		if !r.box.put(sandbox.Frame{Exec: r.exec.ID, Stream: stream, Data: text[:n:n]}) {
			return false
		}
		text = text[n:]
	}
	return true
}

// sleep waits for the time to pass, a signal, or the deadline.
func (r *fakeRun) sleep(length time.Duration) (*sandbox.Exit, bool) {
	over := time.NewTimer(length)
	defer over.Stop()
	deadline, kill := r.deadlines()
	defer deadline.Stop()
	defer kill.Stop()
	interrupted := r.interrupted
	if r.stubborn {
		interrupted = nil
	}
	for {
		select {
		case <-over.C:
			return nil, true
		case <-r.box.dead:
			return nil, false
		case <-r.killed:
			return &sandbox.Exit{Code: 137, StateLost: len(r.exec.Argv) == 0}, true
		case <-interrupted:
			return &sandbox.Exit{Code: 130, Failure: &sandbox.Failure{Name: "KeyboardInterrupt"}}, true
		case <-deadline.C:
			if !r.stubborn {
				return &sandbox.Exit{Code: 130, Cause: sandbox.CauseWallTimeout, Evidence: "the timeout passed"}, true
			}
		case <-kill.C:
			return &sandbox.Exit{
				Code: 137, Cause: sandbox.CauseWallTimeout, Evidence: "the timeout passed",
				StateLost: len(r.exec.Argv) == 0,
			}, true
		}
	}
}

// deadlines returns the timers of the deadline and of the kill after it.
func (r *fakeRun) deadlines() (deadline, kill *time.Timer) {
	if r.exec.Deadline == 0 {
		deadline, kill = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
		deadline.Stop()
		kill.Stop()
		return deadline, kill
	}
	left := max(0, r.exec.Deadline-r.box.fake.now())
	return time.NewTimer(left), time.NewTimer(left + grace)
}
