package msbtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A repl is an interactive interpreter, into which code is typed.
type repl struct {
	run  *run
	sent uint64 // bytes typed
}

// Times of a repl.
const (
	replPoll = 50 * time.Millisecond
	maxTyped = time.Minute // of a call without a timeout
)

// markWord begins the lines that tell that code has run.
const markWord = "__msb_done_"

// An interpreter is how a language is typed.
type interpreter struct {
	argv  []string
	first string // typed once: no prompts
	mark  string // prints a word
}

func interpreterOf(language string) (interpreter, bool) {
	switch language {
	case "python":
		return interpreter{[]string{"python3", "-q", "-u", "-i"}, "import sys; sys.ps1 = sys.ps2 = ''\n", "print('%s')\n"}, true
	case "node", "nodejs", "javascript":
		start := "require('repl').start({prompt: '', terminal: false, ignoreUndefined: true})"
		return interpreter{[]string{"node", "-e", start}, "", "console.log('%s')\n"}, true
	}
	return interpreter{}, false
}

// replOf returns the repl of a language, begun at its first use. One that has
// ended is not begun again. It is called with typing held.
func (v *vm) replOf(ctx context.Context, i interpreter) (*repl, bool) {
	if p := v.repls[i.argv[0]]; p != nil {
		return p, true
	}
	r, ok := v.begin(ctx, sandbox.Exec{Argv: i.argv, Stdin: true})
	if !ok {
		return nil, false
	}
	p := &repl{run: r}
	v.repls[i.argv[0]] = p
	return p, p.write(ctx, v.box, i.first)
}

// write types a text.
func (p *repl) write(ctx context.Context, box sandbox.Sandbox, text string) bool {
	for len(text) > 0 {
		n, err := box.WriteStdin(ctx, p.run.id, p.sent, []byte(text))
		if err != nil {
			return false
		}
		p.sent += uint64(n) //nolint:gosec // a count
		text = text[n:]
		if n == 0 && !wait(ctx, replPoll) {
			return false
		}
	}
	return true
}

// typing is the result of code.
type typing struct {
	Status   string `json:"status"`
	Language string `json:"language"`
	Output   []line `json:"output"`
}

// typed types code into the interpreter of its language, and returns what that
// wrote since the last call. It is asked again and again whether it is done.
func (m *machine) typed(ctx context.Context, p *params) (any, bool) {
	i, ok := interpreterOf(p.Language)
	v, _ := m.current()
	if !ok || v == nil {
		return nil, false
	}
	v.typing.Lock() // one call at a time
	defer v.typing.Unlock()
	t, ok := v.replOf(ctx, i)
	if !ok {
		return nil, false
	}
	mark := markWord + rand.Text()
	limit := timeoutOf(p, maxTyped)
	typing := typing{Status: "success", Language: p.Language, Output: []line{}}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if !t.write(bounded, v.box, p.Code+"\n\n"+fmt.Sprintf(i.mark, mark)) && ctx.Err() == nil && bounded.Err() == nil {
		return nil, false
	}
	for {
		over := !wait(bounded, replPoll)
		done, ended := t.collect(&typing, mark)
		switch {
		case done:
			return typing, true
		case ended, ctx.Err() != nil:
			return nil, false
		case over: // the code goes on, and what it writes is the next call's
			text := fmt.Sprintf("Error: Execution timed out after %d seconds", int(limit.Seconds()))
			typing.Output = append(typing.Output, line{"stderr", text})
			return typing, true
		}
	}
}

// collect takes the lines there are, up to the mark. Marks of calls that took
// too long are none of anybody's output.
func (p *repl) collect(t *typing, mark string) (done, ended bool) {
	p.run.mu.Lock()
	defer p.run.mu.Unlock()
	for _, l := range p.run.lines {
		done = done || l.Text == mark
		if !strings.HasPrefix(l.Text, markWord) {
			t.Output = append(t.Output, l)
		}
	}
	p.run.lines = nil
	select {
	case <-p.run.ended:
		ended = true
	default:
	}
	return done, ended
}

// wait waits so long, and reports whether ctx let it.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
