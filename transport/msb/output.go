package msb

import (
	"bytes"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A line of output, without its end. What is no UTF-8 in it is replaced.
type line struct {
	Stream string `json:"stream"`
	Text   string `json:"text"`
}

// lines makes lines of output as it comes, up to a number of bytes.
type lines struct {
	left      int
	all       []line
	rest      map[sandbox.Stream][]byte // behind the last end of a line
	truncated bool
}

func newLines(most int) *lines {
	return &lines{left: most, all: []line{}, rest: make(map[sandbox.Stream][]byte)}
}

// lineCost is what a line costs beside its text.
const lineCost = 16

// follow takes a piece.
func (l *lines) follow(s sandbox.Stream, data []byte) {
	if s != sandbox.Stdout && s != sandbox.Stderr {
		return
	}
	for len(data) > 0 && !l.truncated {
		piece, behind, ended := bytes.Cut(data, []byte{'\n'})
		cost := len(piece)
		if ended {
			cost += lineCost
		}
		if l.left -= cost; l.left < 0 {
			piece, l.truncated = piece[:max(0, len(piece)+l.left)], true
		}
		l.rest[s] = append(l.rest[s], piece...)
		if ended {
			l.end(s)
		}
		data = behind
	}
}

// end ends a line.
func (l *lines) end(s sandbox.Stream) {
	l.add(s, string(bytes.TrimSuffix(l.rest[s], []byte{'\r'})))
	l.rest[s] = l.rest[s][:0]
}

func (l *lines) add(s sandbox.Stream, text string) {
	name := "stdout"
	if s == sandbox.Stderr {
		name = "stderr"
	}
	l.all = append(l.all, line{name, text})
}

// close returns the lines, the last of which may have no end.
func (l *lines) close() []line {
	for _, s := range []sandbox.Stream{sandbox.Stdout, sandbox.Stderr} {
		if len(l.rest[s]) > 0 {
			l.end(s)
		}
	}
	return l.all
}
