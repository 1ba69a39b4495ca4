// Package plainjson appends JSON to byte slices: compact, in the order in which
// it is called, and without the escapes for HTML that encoding/json adds.
//
// The wire contract fixes the order of members and the bytes between them, and
// what a sandbox puts out is text of any size that must not be copied often.
// Bytes that are not UTF-8 become U+FFFD, so that every answer is valid JSON.
package plainjson

import (
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	dst = AppendEscaped(dst, s)
	return append(dst, '"')
}

// AppendEscaped appends s as the inside of a JSON string, so that one string
// can be made of several pieces.
func AppendEscaped[T string | []byte](dst []byte, s T) []byte {
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= utf8.RuneSelf {
			size := runeLen(s[i:])
			if size == 0 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\uFFFD"...)
				i++
				start = i
				continue
			}
			i += size
			continue
		}
		if b >= ' ' && b != '"' && b != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendControl(dst, b)
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

// runeLen returns the length of the first character of s, or 0 when it is not
// UTF-8.
func runeLen[T string | []byte](s T) int {
	var window [utf8.UTFMax]byte
	r, size := utf8.DecodeRune(window[:copy(window[:], s)])
	if r == utf8.RuneError && size <= 1 {
		return 0
	}
	return size
}

// appendControl appends an ASCII byte that may not stand in a string as it is.
func appendControl(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xF])
}

// AppendASCII appends s as a JSON string in which every character beyond ASCII
// is escaped.
func AppendASCII(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r < ' ' || r == '"' || r == '\\':
			dst = appendControl(dst, byte(r&0x7F))
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r&0x7F))
		case r < 0x10000:
			dst = appendUnit(dst, r)
		default:
			r -= 0x10000
			dst = appendUnit(dst, 0xD800+r>>10)
			dst = appendUnit(dst, 0xDC00+r&0x3FF)
		}
	}
	return append(dst, '"')
}

// appendUnit appends one UTF-16 code unit as an escape.
func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', hexDigits[u>>12&0xF], hexDigits[u>>8&0xF], hexDigits[u>>4&0xF], hexDigits[u&0xF])
}

// AppendStrings appends an array of strings.
func AppendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s)
	}
	return append(dst, ']')
}

// AppendName appends a member's name and its colon, with a comma before it
// unless it is the first of its object.
func AppendName(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// StringMember appends a member that is a string.
func StringMember[T string | []byte](dst []byte, name string, value T) []byte {
	return AppendString(AppendName(dst, name), value)
}

// IntMember appends a member that is an integer.
func IntMember(dst []byte, name string, value int64) []byte {
	return strconv.AppendInt(AppendName(dst, name), value, 10)
}

// UintMember appends a member that is an integer without sign.
func UintMember(dst []byte, name string, value uint64) []byte {
	return strconv.AppendUint(AppendName(dst, name), value, 10)
}

// BoolMember appends a member that is true or false.
func BoolMember(dst []byte, name string, value bool) []byte {
	return strconv.AppendBool(AppendName(dst, name), value)
}
