package ledger

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Ledger is what is kept of one session. Its methods may be called from many
// goroutines.
type Ledger struct {
	store *Store
	info  Info

	// writing is held by who appends, rests or archives, over what the disk does.
	writing sync.Mutex
	file    *os.File // of the last segment, open for appending; nil while it rests
	buffer  []byte   // for the next append; kept while the file is open
	aside   bool     // its session has ended, or never began

	// mu guards the index. Nobody waits for a disk while holding it. What is below
	// is changed with both held.
	mu       sync.Mutex
	dir      string
	segments []segment
	seq      uint64 // of the last event
	box      sandbox.ID
	frame    uint64 // of box: all up to it is here
	restarts int
	greeted  bool
	held     map[sandbox.Stream][]byte // of what no execution wrote
	stopped  sandbox.Cause             // why the session ended; empty while it goes on
	last     time.Time                 // of the last entry
	runs     map[sandbox.ExecID]*Run
	order    []sandbox.ExecID
	points   []mark
}

// A segment is one file of the log.
type segment struct {
	number int
	size   int64
	events uint64 // number of the first event in it; 0 when there is none
}

// A mark is a place from which events may be read.
type mark struct {
	at  place
	seq uint64
}

// Info describes a session for a later daemon.
type Info struct {
	ID          string            `json:"id"` // of the incarnation: never used again
	Owner       sandbox.Principal `json:"owner"`
	Session     string            `json:"session"` // the caller's name
	Created     time.Time         `json:"created"`
	Template    sandbox.Template  `json:"template"`
	Flavor      sandbox.Flavor    `json:"flavor"`
	Env         []string          `json:"env,omitempty"`
	Dir         string            `json:"dir,omitempty"`
	IdleTimeout time.Duration     `json:"idle_timeout,omitempty"`
	MaxAge      time.Duration     `json:"max_age,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// Info returns what the ledger is of.
func (l *Ledger) Info() Info { return l.info }

// Standing is how the session stood with the last entry.
type Standing struct {
	Box      sandbox.ID
	Frame    uint64
	Seq      uint64
	Restarts int
	Greeted  bool          // session.ready was told
	Stopped  sandbox.Cause // it has ended
	Held     map[sandbox.Stream][]byte
	Last     time.Time
}

// Standing returns it. It looks at memory alone.
func (l *Ledger) Standing() Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Standing{
		Box: l.box, Frame: l.frame, Seq: l.seq, Restarts: l.restarts, Greeted: l.greeted, Stopped: l.stopped, Held: maps.Clone(l.held), Last: l.last,
	}
}

// Append numbers the events of entries, which it sets, and writes all of them or
// none. An error is of Kind NoSpace when the disk has no room, else Other. What
// comes when the ledger is put aside and forgotten needs no place: nobody can ask
// for it.
func (l *Ledger) Append(entries []Entry) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.open(); l.aside && errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fault("append", err)
	}
	seq, data, sizes := l.seq, l.buffer[:0], make([]int, len(entries))
	for i := range entries {
		if e := &entries[i]; e.Event.Type != "" {
			seq++
			e.Event.Seq = seq
		}
		before := len(data)
		var err error
		if data, err = appendEntry(data, &entries[i]); err != nil {
			return fault("append", err)
		}
		sizes[i] = len(data) - before
	}
	if cap(data) <= keptBuffer {
		l.buffer = data
	}
	last := &l.segments[len(l.segments)-1]
	if err := l.write(data, last.size); err != nil {
		return fault("append", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range entries {
		l.apply(&entries[i], place{last.number, last.size})
		last.size += int64(sizes[i])
	}
	l.store.grew(int64(len(data)))
	return nil
}

// write writes all of data behind so many bytes of the last segment, or nothing.
// What little must be said when the disk is full finds room in the reserve.
func (l *Ledger) write(data []byte, size int64) error {
	for {
		n, err := l.file.Write(data)
		if err == nil {
			return nil
		}
		if n > 0 { // a part of an entry would hide what is written behind it
			err = errors.Join(err, l.file.Truncate(size))
		}
		l.store.suspect()
		if len(data) > reserved/4 || !l.store.spend() {
			return err
		}
	}
}

// Conclude writes the end of a session that no actor looks after: of all that
// had not ended, and of itself.
func (l *Ledger) Conclude(cause sandbox.Cause, evidence string) error {
	now := time.Now()
	var entries []Entry
	for _, id := range l.Runs() {
		run, ok := l.Look(id)
		switch {
		case !ok || run.Over():
		case run.Begun.IsZero():
			entries = append(entries, Entry{Event: sandbox.Event{Exec: id, Time: now}, Refused: &Refusal{
				Kind: sandbox.Stopped, Cause: cause, Detail: "the session ended before this ran", Remedy: "call again to get a fresh session",
			}})
		default:
			exit := &sandbox.Exit{Code: 128 + 9, Cause: cause, Evidence: evidence, StateLost: true, Dropped: run.Dropped, Duration: now.Sub(run.Begun)}
			entries = append(entries, Entry{Event: sandbox.Event{
				Type: sandbox.ExecutionFinished, Exec: id, Time: now, Exit: exit, Cause: cause, Evidence: evidence,
			}})
		}
	}
	return l.Append(append(entries, Entry{Event: sandbox.Event{
		Type: sandbox.SessionStopped, Time: now, Cause: cause, Evidence: evidence,
	}}))
}

// keptBuffer is the largest buffer that a ledger keeps for the next append.
const keptBuffer = 16 << 10

// open makes the last segment ready for appending, or begins another.
func (l *Ledger) open() error {
	full := len(l.segments) == 0 || l.segments[len(l.segments)-1].size >= l.store.opts.SegmentBytes
	if l.file != nil && !full {
		return nil
	}
	number := 1
	if n := len(l.segments); n > 0 {
		number = l.segments[n-1].number
		if full {
			number++
		}
	}
	f, err := os.OpenFile(l.path(number), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	l.rest()
	l.file = f
	if full {
		l.mu.Lock()
		l.segments = append(l.segments, segment{number: number})
		l.mu.Unlock()
		l.tidy()
	}
	return nil
}

// Rest gives back what an idle ledger needs not hold, and forgets what is kept
// no longer.
func (l *Ledger) Rest() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.tidy()
	l.rest()
}

func (l *Ledger) rest() {
	if l.file != nil {
		_ = l.file.Close() // every write was looked at
		l.file = nil
	}
	l.buffer = nil
}

func (l *Ledger) path(number int) string {
	return filepath.Join(l.dir, leftPadded(number)+".log")
}

// leftPadded makes names sort as their numbers do.
func leftPadded(number int) string {
	const zeros = "00000000"
	s := strconv.Itoa(number)
	return zeros[min(len(s), len(zeros)):] + s
}

// apply puts an entry into the index. It is called with the mutex held, in the
// order of the entries.
func (l *Ledger) apply(e *Entry, at place) {
	v := &e.Event
	if !v.Time.IsZero() {
		l.last = v.Time
	}
	if e.Box != "" {
		l.box, l.frame, l.held = e.Box, 0, nil
	}
	if e.Frame > 0 {
		l.frame = e.Frame
	}
	if v.Seq > 0 {
		l.numbered(v.Seq, at)
	}
	switch v.Type { //nolint:exhaustive // the others change executions alone
	case sandbox.SessionReady:
		l.greeted = true
	case sandbox.SessionRestarted:
		if v.FilesLost {
			l.restarts++
		}
	case sandbox.SessionStopped:
		l.stopped = v.Cause
	}
	if e.Accepted != nil {
		id := e.Accepted.Exec.ID
		l.runs[id] = &Run{Accepted: *e.Accepted, Queued: v.Time, After: l.seq, first: at}
		l.order = append(l.order, id)
		return
	}
	if run := l.runs[v.Exec]; run != nil {
		run.apply(e, at)
	} else if v.Stream != "" {
		l.held = holding(l.held, v.Stream, e.Held)
	}
}

// numbered notes where an event stands, now and then.
func (l *Ledger) numbered(seq uint64, at place) {
	l.seq = seq
	if last := &l.segments[len(l.segments)-1]; last.events == 0 {
		last.events = seq
	}
	n := len(l.points)
	if n == 0 || l.points[n-1].at.segment != at.segment || at.offset-l.points[n-1].at.offset >= pointEvery {
		l.points = append(l.points, mark{at, seq})
	}
}

func (r *Run) apply(e *Entry, at place) {
	v := &e.Event
	r.Dropped += e.Dropped
	switch {
	case e.Refused != nil:
		r.Refused, r.Ended = e.Refused, v.Time
		r.shorten()
	case v.Type == sandbox.ExecutionStarted:
		r.Begun, r.Deadline = v.Time, e.Deadline
	case v.Type == sandbox.ExecutionFinished:
		r.Exit, r.Ended, r.Held, r.Last = v.Exit, v.Time, nil, v.Seq
		r.shorten()
	case v.Stream == sandbox.Display:
		if v.Type == sandbox.Output {
			r.Rich++
		}
	case v.Stream != "":
		if len(v.Data) > 0 {
			r.wrote(at, v.Stream, len(v.Data))
		}
		r.Held = holding(r.Held, v.Stream, e.Held)
	}
}

func holding(all map[sandbox.Stream][]byte, stream sandbox.Stream, held []byte) map[sandbox.Stream][]byte {
	switch {
	case len(held) > 0:
		if all == nil {
			all = make(map[sandbox.Stream][]byte)
		}
		all[stream] = held
	case all != nil:
		delete(all, stream)
	}
	return all
}

// Look returns what is known of an execution. It looks at memory alone.
func (l *Ledger) Look(id sandbox.ExecID) (Run, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.runs[id]
	if run == nil {
		return Run{}, false
	}
	return run.copy(), true
}

// Keyed returns the execution that an idempotency key stands for. It looks at
// memory alone.
func (l *Ledger) Keyed(key string) (sandbox.ExecID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Backward(l.order) {
		if l.runs[id].Accepted.Key == key {
			return id, true
		}
	}
	return "", false
}

// Oldest is the number of the oldest event that is kept, or of the next one.
func (l *Ledger) Oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.points) > 0 {
		return l.points[0].seq
	}
	return l.seq + 1
}

// Room returns nil when there is room to keep more, or an error of Kind NoSpace.
func (l *Ledger) Room() error {
	if l.large() {
		l.writing.Lock()
		l.tidy() // what was needed until now may be so no longer
		l.writing.Unlock()
		if l.large() {
			return &sandbox.Error{
				Op: "record", ID: l.info.Session, Kind: sandbox.NoSpace,
				Detail: "the record of this session takes what it may, and what still runs needs all of it",
				Remedy: "wait until what runs the longest has ended, or use another session",
			}
		}
	}
	return l.store.Room()
}

// large tells whether the log is larger than a session's may be. It may be so by
// the segment that is being written and another.
func (l *Ledger) large() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size() > l.store.opts.SessionBytes+2*l.store.opts.SegmentBytes
}

// Runs returns the ids of the executions that are kept, the oldest first.
func (l *Ledger) Runs() []sandbox.ExecID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}
