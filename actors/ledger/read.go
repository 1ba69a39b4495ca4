package ledger

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/sandwarden/sandwarden/sandbox"
)

// errStop ends a reading that has what it wants.
var errStop = errors.New("enough")

// each calls visit with the entries from a place on, as far as they are written
// now. It holds no lock while it reads. A segment that is forgotten meanwhile is
// passed over.
func (l *Ledger) each(from place, visit func(e *Entry, at place) error) error {
	l.mu.Lock()
	segments := slices.Clone(l.segments)
	l.mu.Unlock()
	for _, s := range segments {
		if s.number < from.segment {
			continue
		}
		begin := int64(0)
		if s.number == from.segment {
			begin = from.offset
		}
		err := l.eachIn(s, begin, visit)
		switch {
		case errors.Is(err, errStop):
			return nil
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fault("read", err)
		}
	}
	return nil
}

// segment opens a segment, also one that is put aside just now.
func (l *Ledger) segment(number int) (*os.File, error) {
	l.mu.Lock()
	path := l.path(number)
	l.mu.Unlock()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Open(filepath.Join(l.store.dir, ended, l.info.ID, filepath.Base(path)))
	}
	return f, err
}

func (l *Ledger) eachIn(s segment, begin int64, visit func(e *Entry, at place) error) error {
	f, err := l.segment(s.number)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReaderSize(io.NewSectionReader(f, begin, s.size-begin), pointEvery)
	var text []byte
	for offset := begin; offset < s.size; {
		e, size, scratch, err := readEntry(r, text)
		if err != nil {
			return err
		}
		text = scratch
		if err := visit(&e, place{s.number, offset}); err != nil {
			return err
		}
		offset += size
	}
	return nil
}

// Replay calls visit with all entries that are kept, in their order.
func (l *Ledger) Replay(visit func(e *Entry)) error {
	return l.each(place{}, func(e *Entry, _ place) error { visit(e); return nil })
}

// Events returns events from a number on, at most so many bytes of them but
// always one if there is one. Those that are kept no longer are left out: the
// first may have a higher number.
func (l *Ledger) Events(from uint64, most, bytes int) ([]sandbox.Event, error) {
	var events []sandbox.Event
	err := l.each(l.placeOf(from), func(e *Entry, _ place) error {
		if e.Event.Seq < from || e.Event.Type == "" {
			return nil
		}
		if bytes -= len(e.Event.Data); len(events) > 0 && (bytes < 0 || len(events) >= most) {
			return errStop
		}
		e.Event.Session = l.info.Session
		events = append(events, e.Event)
		return nil
	})
	return events, err
}

// placeOf returns where the reading of events from a number on begins.
func (l *Ledger) placeOf(seq uint64) place {
	l.mu.Lock()
	defer l.mu.Unlock()
	var at place
	for _, m := range l.points {
		if m.seq > seq {
			break
		}
		at = m.at
	}
	return at
}

// Output returns a range of an execution's text. Kind NotFound when it is not
// kept.
func (l *Ledger) Output(id sandbox.ExecID, q sandbox.OutputQuery) (sandbox.OutputPage, error) {
	run, found := l.run(id)
	if !found {
		return sandbox.OutputPage{}, notKept(id)
	}
	total := (&point{total: run.Output.Total, stdout: run.Output.Stdout, stderr: run.Output.Stderr}).of(q.Stream)
	from := min(q.From, total)
	if q.From < 0 {
		from = max(0, total+q.From)
	}
	left := min(int64(q.Max), sandbox.MaxOutput, total-from)
	if q.Max <= 0 {
		left = min(sandbox.MaxOutput, total-from)
	}
	page := sandbox.OutputPage{From: from, Next: from + left, End: run.Over() && from+left == total}
	start, ok := run.seek(q.Stream, from)
	if left == 0 || !ok {
		return page, nil
	}
	offset := start.of(q.Stream) // of the data that comes next
	err := l.each(start.at, func(e *Entry, _ place) error {
		v := &e.Event
		if v.Exec != id || v.Type != sandbox.Output || v.Stream == sandbox.Display || q.Stream != "" && v.Stream != q.Stream {
			return nil
		}
		data := v.Data[min(max(from-offset, 0), int64(len(v.Data))):]
		offset += int64(len(v.Data))
		data = data[:min(left, int64(len(data)))]
		left -= int64(len(data))
		add(&page, v.Stream, data)
		if left == 0 {
			return errStop
		}
		return nil
	})
	if left > 0 && err == nil { // a segment went missing under us
		page.Missing, page.Next, page.End = left, page.Next-left, false
	}
	return page, err
}

func add(p *sandbox.OutputPage, stream sandbox.Stream, data []byte) {
	if len(data) == 0 {
		return
	}
	if last := len(p.Chunks) - 1; last >= 0 && p.Chunks[last].Stream == stream {
		p.Chunks[last].Data = append(p.Chunks[last].Data, data...)
		return
	}
	p.Chunks = append(p.Chunks, sandbox.OutputChunk{Stream: stream, Data: data})
}

// Rich returns the rich results of an execution that has ended.
func (l *Ledger) Rich(id sandbox.ExecID) ([]sandbox.Rich, error) {
	run, found := l.run(id)
	if !found || run.Rich == 0 {
		return nil, nil
	}
	var all []sandbox.Rich
	err := l.each(run.first, func(e *Entry, _ place) error {
		v := &e.Event
		switch {
		case v.Exec != id:
		case v.Type == sandbox.Output && v.Stream == sandbox.Display:
			all = append(all, sandbox.Rich{MIME: v.MIME, Data: v.Data})
		case v.Type == sandbox.ExecutionFinished:
			return errStop
		}
		if len(all) == run.Rich {
			return errStop
		}
		return nil
	})
	return all, err
}

// run returns a copy of a Run whose points may be read.
func (l *Ledger) run(id sandbox.ExecID) (Run, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.runs[id]
	if run == nil {
		return Run{}, false
	}
	c := run.copy()
	c.points = slices.Clip(run.points) // those are only added to
	return c, true
}

func notKept(id sandbox.ExecID) error {
	return &sandbox.Error{
		Op: "find", ID: string(id), Kind: sandbox.NotFound,
		Detail: "there is no execution of that id, or it is kept no longer", Remedy: "list the executions of the session",
	}
}
