package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// An Entry is one step of a session: an event, or what nobody is told of and a
// later daemon must know.
type Entry struct {
	// Event is what observers are told. One without a Type is no event and has
	// no number, but may name an execution and a stream.
	Event sandbox.Event
	// Box is the session's sandbox from here on; its frames begin anew.
	Box sandbox.ID
	// Frame is the last frame of the sandbox that is in the ledger with this
	// entry; 0 says nothing.
	Frame uint64
	// Held is the beginning of a character at the end of the stream of Event,
	// which waits for the rest.
	Held []byte
	// Accepted is an execution that was asked for.
	Accepted *Accepted
	// Deadline of an execution that begins, on the clock of deadlines.
	Deadline time.Duration
	// Refused is why the execution of Event never ran. It has ended with that.
	Refused *Refusal
	// Dropped is how much output of the execution of Event was not kept here.
	Dropped int64
}

// An Accepted is what was asked for, so that a later daemon can do it.
type Accepted struct {
	Exec    sandbox.Exec
	Key     string
	Digest  []byte // of what was asked for with the key; nil without one
	Timeout time.Duration
}

// A Refusal is an error that outlives its daemon.
type Refusal struct {
	Kind   sandbox.Kind
	Cause  sandbox.Cause
	Detail string
	Remedy string
}

// Error is the refusal as it is told.
func (r *Refusal) Error(op, id string) *sandbox.Error {
	return &sandbox.Error{Op: op, ID: id, Kind: r.Kind, Cause: r.Cause, Detail: r.Detail, Remedy: r.Remedy}
}

// A line is an entry as it stands in a file, but for the data of its event. The
// names are short, since there is one for each piece of output.
type line struct {
	Seq      uint64            `json:"n,omitempty"`
	Time     int64             `json:"t,omitempty"` // Unix nanoseconds
	Type     sandbox.EventType `json:"y,omitempty"`
	Exec     sandbox.ExecID    `json:"x,omitempty"`
	Stream   sandbox.Stream    `json:"s,omitempty"`
	MIME     string            `json:"m,omitempty"`
	Exit     *sandbox.Exit     `json:"e,omitempty"`
	Cause    sandbox.Cause     `json:"c,omitempty"`
	Evidence string            `json:"v,omitempty"`
	State    bool              `json:"sl,omitempty"`
	Files    bool              `json:"fl,omitempty"`
	Box      sandbox.ID        `json:"b,omitempty"`
	Frame    uint64            `json:"f,omitempty"`
	Held     []byte            `json:"h,omitempty"`
	Accepted *Accepted         `json:"a,omitempty"`
	Deadline time.Duration     `json:"d,omitempty"`
	Refused  *Refusal          `json:"r,omitempty"`
	Dropped  int64             `json:"dr,omitempty"`
}

// An entry in a file is a head, the line as JSON, and the data. The head has the
// two lengths and a checksum of itself and the line. The data has none: only its
// end can be missing, unless the disk itself is at fault.
const headSize = 12

// What an entry may be at most. More of it is no entry of ours: the largest has
// 2 MiB of code or arguments and 1 MiB of variables, each byte written as six.
const (
	maxLine = 32 << 20
	maxData = 1 << 20
)

var table = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // never changes

// errLarge says that an entry is larger than any may be.
var errLarge = errors.New("the entry is too large")

// errTorn says that bytes are not an entry, or not all of one.
var errTorn = errors.New("not a whole entry")

// appendEntry appends an entry as it stands in a file.
func appendEntry(dst []byte, e *Entry) ([]byte, error) {
	var head [headSize]byte
	begin := len(dst)
	whole, err := appendLine(append(dst, head[:]...), e)
	if err != nil {
		return dst, err
	}
	text := whole[begin+headSize:]
	if len(text) > maxLine || len(e.Event.Data) > maxData {
		return dst, errLarge
	}
	binary.LittleEndian.PutUint32(head[0:], uint32(len(text)))         //nolint:gosec // it was looked at
	binary.LittleEndian.PutUint32(head[4:], uint32(len(e.Event.Data))) //nolint:gosec // it was looked at
	binary.LittleEndian.PutUint32(head[8:], checksum(head[:8], text))
	copy(whole[begin:], head[:])
	return append(whole, e.Event.Data...), nil
}

func checksum(head, text []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, table), table, text)
}

// readEntry reads an entry and returns how many bytes it took. io.EOF: there is
// none; errTorn: what is there is none.
func readEntry(r io.Reader, text []byte) (e Entry, size int64, scratch []byte, err error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return e, 0, text, tornUnless(err, io.EOF)
	}
	n, data := binary.LittleEndian.Uint32(head[0:]), binary.LittleEndian.Uint32(head[4:])
	if n > maxLine || data > maxData {
		return e, 0, text, errTorn
	}
	if cap(text) < int(n) {
		text = make([]byte, n)
	}
	text = text[:n]
	if _, err := io.ReadFull(r, text); err != nil {
		return e, 0, text, tornUnless(err, nil)
	}
	var l line
	if checksum(head[:8], text) != binary.LittleEndian.Uint32(head[8:]) || json.Unmarshal(text, &l) != nil {
		return e, 0, text, errTorn
	}
	e = l.entry()
	if data > 0 {
		e.Event.Data = make([]byte, data)
		if _, err := io.ReadFull(r, e.Event.Data); err != nil {
			return e, 0, text, tornUnless(err, nil)
		}
	}
	return e, headSize + int64(n) + int64(data), text, nil
}

// tornUnless tells a file that ended from one that cannot be read.
func tornUnless(err, end error) error {
	switch {
	case end != nil && errors.Is(err, end):
		return end
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errTorn
	}
	return err
}

func lineOf(e *Entry) *line {
	v := &e.Event
	l := &line{
		Seq: v.Seq, Type: v.Type, Exec: v.Exec, Stream: v.Stream, MIME: v.MIME, Exit: v.Exit, Cause: v.Cause, Evidence: v.Evidence,
		State: v.StateLost, Files: v.FilesLost, Box: e.Box, Frame: e.Frame, Held: e.Held, Accepted: e.Accepted,
		Deadline: e.Deadline, Refused: e.Refused, Dropped: e.Dropped,
	}
	if !v.Time.IsZero() {
		l.Time = v.Time.UnixNano()
	}
	return l
}

func (l *line) entry() Entry {
	e := Entry{
		Event: sandbox.Event{
			Seq: l.Seq, Type: l.Type, Exec: l.Exec, Stream: l.Stream, MIME: l.MIME, Exit: l.Exit, Cause: l.Cause, Evidence: l.Evidence,
			StateLost: l.State, FilesLost: l.Files,
		},
		Box: l.Box, Frame: l.Frame, Held: l.Held, Accepted: l.Accepted, Deadline: l.Deadline, Refused: l.Refused, Dropped: l.Dropped,
	}
	if l.Time != 0 {
		e.Event.Time = time.Unix(0, l.Time)
	}
	return e
}
