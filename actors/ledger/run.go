package ledger

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Run is what the index knows of one execution. It is guarded by the mutex of
// its ledger, and what Look returns is a copy.
type Run struct {
	Accepted Accepted
	Queued   time.Time
	Begun    time.Time
	Deadline time.Duration
	Ended    time.Time
	Exit     *sandbox.Exit // nil until it has ended, and when it never ran
	Refused  *Refusal
	Output   sandbox.OutputSize
	Dropped  int64 // bytes of output that came and are not here
	Rich     int
	Held     map[sandbox.Stream][]byte
	After    uint64 // its events come after the one of this number
	Last     uint64 // number of the event with which it ended; 0 when there is none

	first  place // of its first entry
	points []point
}

// Over reports whether it has ended.
func (r *Run) Over() bool { return !r.Ended.IsZero() }

// A place is where an entry stands.
type place struct {
	segment int
	offset  int64
}

// A point is a place in the log from which reading may begin: an entry of an
// execution's text, and what offsets its data begins at.
type point struct {
	at             place
	total          int64 // of both streams
	stdout, stderr int64
}

func (p *point) of(stream sandbox.Stream) int64 {
	switch stream {
	case sandbox.Stdout:
		return p.stdout
	case sandbox.Stderr:
		return p.stderr
	case sandbox.Display:
	}
	return p.total
}

// pointEvery is how many bytes of a log a reader may have to pass over.
const pointEvery = 64 << 10

// wrote notes text that stands at a place.
func (r *Run) wrote(at place, stream sandbox.Stream, n int) {
	last := len(r.points) - 1
	if last < 0 || r.points[last].at.segment != at.segment || at.offset-r.points[last].at.offset >= pointEvery {
		r.points = append(r.points, point{at, r.Output.Total, r.Output.Stdout, r.Output.Stderr})
	}
	r.Output.Total += int64(n)
	if stream == sandbox.Stderr {
		r.Output.Stderr += int64(n)
	} else {
		r.Output.Stdout += int64(n)
	}
}

// seek returns the last point at or before an offset of a stream.
func (r *Run) seek(stream sandbox.Stream, offset int64) (point, bool) {
	i, exact := slices.BinarySearchFunc(r.points, offset, func(p point, offset int64) int {
		return int(min(max(p.of(stream)-offset, -1), 1))
	})
	if !exact {
		i--
	}
	// Of points with the same offset in this stream the first is wanted, which the
	// search finds; before the first there is nothing.
	if i < 0 {
		return point{}, false
	}
	return r.points[i], true
}

// Status is how far it has come, in a session that goes on.
func (r *Run) Status() sandbox.ExecStatus {
	switch {
	case r.Exit != nil:
		return sandbox.StatusOf(r.Exit)
	case r.Refused != nil && (r.Refused.Kind == sandbox.Canceled || r.Refused.Cause == sandbox.CauseKilled):
		return sandbox.ExecCancelled
	case r.Refused != nil:
		return sandbox.ExecFailed
	case r.Over():
		return sandbox.ExecLost
	case r.Begun.IsZero():
		return sandbox.ExecQueued
	}
	return sandbox.ExecRunning
}

// Execution is the record of an execution. Kind NotFound when it is not kept.
func (l *Ledger) Execution(id sandbox.ExecID) (sandbox.Execution, error) {
	run, ok := l.Look(id)
	if !ok {
		return sandbox.Execution{}, notKept(id)
	}
	asked := &run.Accepted.Exec
	x := sandbox.Execution{
		ID: id, Owner: l.info.Owner, Session: l.info.Session, Kind: sandbox.CodeExec, Code: shown(asked.Code), Argv: shownAll(asked.Argv),
		Background: asked.Background, Stdin: asked.Stdin, Key: run.Accepted.Key, Status: run.Status(),
		Queued: run.Queued, Started: run.Begun, Ended: run.Ended, Timeout: run.Accepted.Timeout,
		Exit: run.Exit, Output: run.Output, Rich: run.Rich,
	}
	if len(asked.Argv) > 0 {
		x.Kind = sandbox.CommandExec
	}
	if run.Refused != nil {
		x.Refused = run.Refused.Error("execute", l.info.Session)
	}
	if !x.Status.Over() && l.Standing().Stopped != "" { // its end could not be written
		x.Status = sandbox.ExecLost
	}
	return x, nil
}

// shown is the beginning of a text, in whole characters.
func shown(s string) string {
	if len(s) <= sandbox.MaxShown {
		return s
	}
	n := sandbox.MaxShown
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func shownAll(argv []string) []string {
	left := sandbox.MaxShown
	for i, arg := range argv {
		if left -= len(arg); left < 0 {
			return append(slices.Clone(argv[:i]), shown(arg))
		}
	}
	return slices.Clone(argv)
}

// shorten keeps of what was asked for what a record shows: an execution that has
// ended is not begun again.
func (r *Run) shorten() {
	x := &r.Accepted.Exec
	x.Code = strings.Clone(shown(x.Code))
	x.Argv = shownAll(x.Argv)
	for i := range x.Argv {
		x.Argv[i] = strings.Clone(x.Argv[i])
	}
	x.Env = nil
}

// copy returns a Run that nobody else changes.
func (r *Run) copy() Run {
	c := *r
	c.points = nil
	c.Held = maps.Clone(r.Held)
	return c
}
