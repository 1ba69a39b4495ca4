package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// plain shows a text on one line, whatever is in it. A backslash stays one, as
// in the messages of the original.
func plain(s string) string { return escaped(s, "") }

// quote is plain between quotes.
func quote(s string) string { return "'" + plain(s) + "'" }

// repr shows a text as Python's repr does.
func repr(s string) string {
	q := "'"
	if strings.Contains(s, q) && !strings.Contains(s, `"`) {
		q = `"`
	}
	return q + escaped(s, `\`+q) + q
}

// escaped replaces what cannot be printed, and puts a backslash before certain
// letters. What is very long is cut.
func escaped(s, letters string) string {
	const longest = 200
	end := ""
	if len(s) > longest {
		s, end = cut(s, longest), "…"
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strings.ContainsRune(letters, r):
			b.WriteString(`\` + s[:n])
		case strconv.IsPrint(r):
			b.WriteString(s[:n])
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String() + end
}

// cut returns the first n bytes of a text, without a part of a letter.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// float writes a number as Python does.
func float(n float64) string {
	const small, large = 1e-4, 1e16
	if size := math.Abs(n); size != 0 && (size < small || size >= large) {
		return strconv.FormatFloat(n, 'e', -1, 64)
	}
	text := strconv.FormatFloat(n, 'f', -1, 64)
	if !strings.ContainsAny(text, ".Na") { // NaN and Inf are words
		text += ".0"
	}
	return text
}
