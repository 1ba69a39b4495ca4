package actors

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A joiner cuts the bytes of one stream where characters end: the start of a
// character that is not complete waits for the next bytes, three of them at
// most. The zero value is ready.
type joiner struct {
	rest []byte
}

// next returns what can be shown after data came. What it returns is not
// written to again; it may be data itself.
func (j *joiner) next(data []byte) []byte {
	if len(j.rest) > 0 {
		data = append(slices.Clip(j.rest), data...)
		j.rest = nil
	}
	keep := incomplete(data)
	if keep > 0 {
		j.rest = append([]byte(nil), data[len(data)-keep:]...)
	}
	return data[: len(data)-keep : len(data)-keep]
}

// flush returns what was kept back, as it is.
func (j *joiner) flush() []byte {
	rest := j.rest
	j.rest = nil
	return rest
}

// incomplete is how many bytes at the end of data begin a character that more
// bytes could complete.
func incomplete(data []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(data); n++ {
		tail := data[len(data)-n:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// head returns at most n bytes of s that do not end within a character.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[:n]
	return strings.Clone(s[:len(s)-incomplete([]byte(s[max(0, n-utf8.UTFMax):]))])
}
