package ledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// load reads what an earlier daemon left in a directory. A log that ends within
// an entry is cut there; what is behind an entry that cannot be read is set
// aside.
func (s *Store) load(dir string) (*Ledger, error) {
	info, err := describe(dir)
	if err != nil {
		return nil, err
	}
	if info.ID != filepath.Base(dir) {
		return nil, fmt.Errorf("the record is of %q", info.ID)
	}
	l := s.ledger(dir, info)
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	for i, name := range names { // sorted, as their numbers are
		number, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".log"))
		if err != nil {
			return nil, err
		}
		whole, err := l.replay(name, number)
		if err != nil {
			return nil, err
		}
		if !whole && i < len(names)-1 {
			return l, l.breakOff(names[i+1:])
		}
		l.tidy() // now, as what was forgotten in a segment that was needed comes back with it
	}
	return l, nil
}

// describe reads what a directory is of.
func describe(dir string) (info Info, err error) {
	data, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	return info, err
}

// replay puts the entries of one segment into the index. It tells whether all
// of the segment was good; what was not is cut off.
func (l *Ledger) replay(name string, number int) (whole bool, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	l.segments = append(l.segments, segment{number: number})
	last := &l.segments[len(l.segments)-1]
	r := bufio.NewReaderSize(f, pointEvery)
	var text []byte
	for {
		e, size, scratch, err := readEntry(r, text)
		text = scratch
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case errors.Is(err, errTorn):
			l.store.opts.Logger.Warn("the record of a session is cut at an entry that is not whole",
				"session", l.info.Session, "segment", number, "offset", last.size)
			return false, f.Truncate(last.size)
		case err != nil:
			return false, err
		}
		l.apply(&e, place{number, last.size})
		last.size += size
	}
}

// breakOff sets segments aside that are behind one that could not be read: what
// they say does not follow on.
func (l *Ledger) breakOff(names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, os.Rename(name, strings.TrimSuffix(name, ".log")+".broken"))
	}
	l.store.opts.Logger.Error("a part of the record of a session was set aside", "session", l.info.Session, "segments", len(names))
	return errors.Join(errs...)
}
