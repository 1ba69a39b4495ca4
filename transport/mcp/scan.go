package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"unicode/utf8"
)

// members walks the members of a JSON object in the order of the wire, which
// the contract's validation follows and which encoding/json does not keep. The
// object must be valid JSON. Keys come with their quotes.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		i := space(object, 0) + 1 // after the brace
		for {
			i = space(object, i)
			if i >= len(object) || object[i] != '"' {
				return
			}
			end := skip(object, i)
			key := object[i:end]
			i = space(object, end) + 1 // after the colon
			i = space(object, i)
			end = skip(object, i)
			if !yield(key, object[i:end]) {
				return
			}
			i = space(object, end) + 1 // after the comma or the brace
		}
	}
}

// elements walks the elements of a valid JSON array.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func(value []byte) bool) {
		i := space(array, 0) + 1 // after the bracket
		for {
			i = space(array, i)
			if i >= len(array) || array[i] == ']' {
				return
			}
			end := skip(array, i)
			if !yield(array[i:end]) {
				return
			}
			i = space(array, end) + 1 // after the comma or the bracket
		}
	}
}

// space returns the index of the first byte from i on that is not white space.
func space(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r') {
		i++
	}
	return i
}

// skip returns the index after the value that starts at i.
func skip(raw []byte, i int) int {
	depth := 0
	for i < len(raw) {
		switch raw[i] {
		case '"':
			i = skipString(raw, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of what a bare value stands in
			}
			depth--
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// skipString returns the index after the string that starts at i.
func skipString(raw []byte, i int) int {
	for i++; i < len(raw); {
		n := bytes.IndexByte(raw[i:], '"')
		if n < 0 {
			return len(raw)
		}
		end := i + n
		slashes := 0
		for end-1-slashes >= i && raw[end-1-slashes] == '\\' {
			slashes++
		}
		i = end + 1
		if slashes%2 == 0 {
			return i
		}
	}
	return i
}

// text returns the value of a JSON string, and false for any other value.
func text(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", false
	}
	return s, true
}

// is reports whether a JSON string, with its quotes, is the given one.
func is(raw []byte, s string) bool {
	if bytes.IndexByte(raw, '\\') >= 0 {
		t, ok := text(raw)
		return ok && t == s
	}
	return len(raw) == len(s)+2 && raw[0] == '"' && string(raw[1:len(raw)-1]) == s
}

// isNull reports whether a value is null.
func isNull(raw []byte) bool { return string(raw) == "null" }

// isObject reports whether a value is an object.
func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// isArray reports whether a value is an array.
func isArray(raw []byte) bool { return len(raw) > 0 && raw[0] == '[' }

// isFalsy reports what the original took for "not given": null, false, zero and
// whatever is empty.
func isFalsy(raw []byte) bool {
	switch {
	case len(raw) == 0, isNull(raw), string(raw) == "false", string(raw) == `""`:
		return true
	case isObject(raw), isArray(raw):
		return space(raw, 1) == len(raw)-1
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return isZero(raw)
	}
	return false
}

// isZero reports whether a number is zero, however it is written.
func isZero(raw []byte) bool {
	for _, b := range raw {
		switch {
		case b == 'e' || b == 'E':
			return true // the digits before it were all zero
		case b >= '1' && b <= '9':
			return false
		}
	}
	return true
}

// badUTF8 returns what is wrong with bytes that are not UTF-8, in the words of
// the original, and "" for bytes that are.
func badUTF8(raw []byte) string {
	if utf8.Valid(raw) {
		return ""
	}
	at := 0
	for at < len(raw) {
		r, size := utf8.DecodeRune(raw[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	length, reason := broken(raw[at:])
	if length == 1 {
		return fmt.Sprintf("'utf-8' codec can't decode byte 0x%02x in position %d: %s", raw[at], at, reason)
	}
	return fmt.Sprintf("'utf-8' codec can't decode bytes in position %d-%d: %s", at, at+length-1, reason)
}

// broken returns how many bytes at the start of raw look like the begin of a
// character, and why they are none.
func broken(raw []byte) (length int, reason string) {
	var want int
	switch b := raw[0]; {
	case b >= 0xC2 && b <= 0xDF:
		want = 2
	case b >= 0xE0 && b <= 0xEF:
		want = 3
	case b >= 0xF0 && b <= 0xF4:
		want = 4
	default:
		return 1, "invalid start byte"
	}
	low, high := second(raw[0])
	for n := 1; n < want; n++ {
		if n == len(raw) {
			return n, "unexpected end of data"
		}
		if raw[n] < low || raw[n] > high {
			return n, "invalid continuation byte"
		}
		low, high = 0x80, 0xBF
	}
	return want, "invalid continuation byte"
}

// second returns what the second byte of a character may be: less than others
// after the bytes that could also begin a longer form, or what is no character.
func second(first byte) (low, high byte) {
	switch first {
	case 0xE0:
		return 0xA0, 0xBF
	case 0xED:
		return 0x80, 0x9F
	case 0xF0:
		return 0x90, 0xBF
	case 0xF4:
		return 0x80, 0x8F
	}
	return 0x80, 0xBF
}
