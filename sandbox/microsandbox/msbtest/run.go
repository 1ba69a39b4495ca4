package msbtest

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A line is one of what a program wrote.
type line struct {
	Stream string `json:"stream"`
	Text   string `json:"text"`
}

// A run is one program in a vm.
type run struct {
	id sandbox.ExecID

	mu      sync.Mutex
	lines   []line
	partial map[string]string // by their streams: lines without an end yet
	exit    *sandbox.Exit
	ended   chan struct{} // closed with exit set, or with none when the vm died
}

// Bounds of a run.
const (
	maxOutput  = 8 << 20 // bytes
	pumpWait   = time.Second
	maxCommand = 5 * time.Minute // without a timeout
)

// pump hands out what the programs of a vm write, until it dies.
func (v *vm) pump(ctx context.Context) {
	for after := uint64(0); ; {
		frames, err := v.box.Follow(ctx, after, pumpWait)
		for _, f := range frames {
			after = f.Seq
			if r := v.find(f.Exec); r != nil {
				r.take(f)
			}
		}
		if err == nil {
			continue
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, r := range v.runs {
			r.end(nil)
		}
		v.runs = nil // nothing begins any more
		return
	}
}

func (v *vm) find(id sandbox.ExecID) *run {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.runs[id]
}

func (v *vm) forget(r *run) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.runs, r.id)
}

// begin starts a program.
func (v *vm) begin(ctx context.Context, x sandbox.Exec) (*run, bool) {
	x.ID, x.OutputLimit = sandbox.ExecID(rand.Text()), maxOutput
	x.Background = true // what it leaves behind lives on
	r := &run{id: x.ID, partial: map[string]string{}, ended: make(chan struct{})}
	v.mu.Lock()
	if v.runs == nil {
		v.mu.Unlock()
		return nil, false
	}
	v.runs[x.ID] = r
	v.mu.Unlock()
	if err := v.box.Start(ctx, x); err != nil {
		v.forget(r)
		return nil, false
	}
	return r, true
}

// take notes a frame: output in lines, and what is no text mangled.
func (r *run) take(f sandbox.Frame) {
	if f.Exit != nil {
		r.end(f.Exit)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.partial[string(f.Stream)] + string(f.Data)
	for {
		head, rest, whole := strings.Cut(text, "\n")
		if !whole {
			break
		}
		r.add(string(f.Stream), head)
		text = rest
	}
	r.partial[string(f.Stream)] = text
}

// end notes the end of a run; without an exit it is that of the vm.
func (r *run) end(exit *sandbox.Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.ended:
		return
	default:
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if text := r.partial[stream]; text != "" {
			r.add(stream, text)
		}
	}
	r.exit = exit
	close(r.ended)
}

func (r *run) add(stream, text string) {
	r.lines = append(r.lines, line{stream, strings.ToValidUTF8(strings.TrimSuffix(text, "\r"), "\uFFFD")})
}

// outcome is the result of a command.
type outcome struct {
	Command string   `json:"command"`
	Args    []string `json:"args"`
	Exit    int      `json:"exit_code"`
	Success bool     `json:"success"`
	Output  []line   `json:"output"`
}

// command runs a command to its end. One that cannot be run, or takes longer
// than its timeout, has no result.
func (m *machine) command(ctx context.Context, p *params) (any, bool) {
	v, _ := m.current()
	if v == nil {
		return nil, false
	}
	args := append([]string{}, p.Args...)
	r, ok := v.begin(ctx, sandbox.Exec{Argv: append([]string{p.Command}, args...)})
	if !ok {
		return nil, false
	}
	defer v.forget(r)
	timer := time.NewTimer(timeoutOf(p, maxCommand))
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
		_ = v.box.Signal(ctx, r.id, sandbox.Kill)
		return nil, false
	case <-ctx.Done(): // it goes on
		return nil, false
	}
	if r.exit == nil || r.unfit(p.Command) {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return outcome{p.Command, args, r.exit.Code, r.exit.Code == 0, append([]line{}, r.lines...)}, true
}

// unfit tells whether there was no such program, which backends tell as a shell
// does.
func (r *run) unfit(command string) bool {
	const cannotRun, notFound = 126, 127
	if r.exit.Code != notFound && r.exit.Code != cannotRun {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines) == 1 && strings.HasPrefix(r.lines[0].Text, command+": c") // command not found, or cannot be executed
}

// timeoutOf is how long a call may take.
func timeoutOf(p *params, usual time.Duration) time.Duration {
	if p.Timeout == nil {
		return usual
	}
	return min(time.Duration(*p.Timeout*float64(time.Second)), usual)
}
