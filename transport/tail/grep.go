package tail

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"regexp/syntax"

	"github.com/sandwarden/sandwarden/sandbox"
)

// The bounds of a search. What a pattern costs is the product of its size and
// that of the piece it is held against, as it never steps back.
const (
	maxPattern = 1000     // bytes
	maxProgram = 2000     // instructions
	maxPiece   = 4 << 10  // bytes of a line that are looked at together
	maxShown   = 1 << 10  // bytes of a line that are shown
	maxScan    = 16 << 20 // bytes of one search
	scanPage   = 64 << 10
)

// Pattern compiles what Grep looks for.
func Pattern(expression string) (*regexp.Regexp, error) {
	if len(expression) > maxPattern {
		return nil, errors.New("it is too long")
	}
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if program, err := syntax.Compile(tree.Simplify()); err != nil || len(program.Inst) > maxProgram {
		return nil, errors.New("it is too large")
	}
	return regexp.Compile(expression)
}

// A Match is a line that matches.
type Match struct {
	Line   int64 // from 1, of what was searched
	Offset int64 // of its first byte
	Text   []byte
	Cut    bool // it is longer
}

// A Found is what a search came to.
type Found struct {
	Matches []Match
	Next    int64 // where the next search goes on
	More    bool  // not all was searched: too much of it, or too many matches
	Missing int64 // bytes that were to be searched, and are not kept any more
}

// Grep returns the lines between two offsets that match, as many as the budget
// has room for, and at least one. A line of more than 4 KiB is searched in
// pieces. When ctx ends it returns what it has found.
func Grep(ctx context.Context, source Source, from, to int64, pattern *regexp.Regexp, budget int) (Found, error) {
	s := &search{pattern: pattern, budget: budget, line: 1}
	s.found.Next = absolute(from, to)
	end := min(to, s.found.Next+maxScan)
	for at := s.found.Next; at < end && !s.found.More; {
		page, err := source(ctx, sandbox.OutputQuery{From: at, Max: int(min(scanPage, end-at))})
		if ctx.Err() != nil {
			s.found.More = true
			break
		}
		if err != nil {
			return Found{}, err
		}
		if page.Missing > 0 {
			s.found.Missing, s.found.Next = page.Missing, page.From
		}
		for _, chunk := range page.Chunks {
			s.rest = append(s.rest, chunk.Data...)
		}
		s.lines(ctx, page.End)
		if page.Next <= at {
			break
		}
		at = page.Next
	}
	if !s.found.More {
		s.last()
		s.found.More = end < to
	}
	return s.found, nil
}

// A search is where a Grep stands. What is not searched yet begins at the Next
// of what was found.
type search struct {
	pattern *regexp.Regexp
	budget  int
	found   Found
	line    int64
	rest    []byte
}

// lines searches the lines that are there to their ends, and long ones as far
// as they are there.
func (s *search) lines(ctx context.Context, over bool) {
	for !s.found.More {
		n := bytes.IndexByte(s.rest, '\n')
		if n < 0 && (over || len(s.rest) >= maxPiece) {
			n = len(s.rest)
		}
		if n < 0 || len(s.rest) == 0 {
			return
		}
		whole := n < len(s.rest) && n <= maxPiece
		n = min(n, maxPiece)
		if ctx.Err() != nil || !s.take(s.rest[:n]) {
			s.found.More = true
			return
		}
		if whole {
			n++
			s.line++
		}
		s.rest = s.rest[n:]
		s.found.Next += int64(n)
	}
}

// last searches a line that is still being written. One that does not match yet
// is left to the next search.
func (s *search) last() {
	if len(s.rest) > 0 && s.pattern.Match(s.rest) && s.take(s.rest) {
		s.found.Next += int64(len(s.rest))
	}
}

// take keeps a line that matches. It returns false when there is no room.
func (s *search) take(line []byte) bool {
	if !s.pattern.Match(line) {
		return true
	}
	m := Match{Line: s.line, Offset: s.found.Next, Text: line}
	if len(line) > maxShown {
		m.Text, m.Cut = line[:maxShown-Unfinished(line[:maxShown])], true
	}
	cost := len(m.Text) + 24 // with its numbers
	if cost > s.budget && len(s.found.Matches) > 0 {
		return false
	}
	s.budget -= cost
	m.Text = bytes.Clone(m.Text)
	s.found.Matches = append(s.found.Matches, m)
	return true
}
