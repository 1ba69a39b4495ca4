package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// What Python says of text that is not JSON. It is quoted in configuration
// errors that users know, so the texts must be the same and point to the same
// letter; encoding/json has others, and counts bytes.
const (
	expectingValue     = "Expecting value"
	expectingComma     = "Expecting ',' delimiter"
	expectingColon     = "Expecting ':' delimiter"
	expectingName      = "Expecting property name enclosed in double quotes"
	extraData          = "Extra data"
	unterminatedString = "Unterminated string starting at"
	invalidControl     = "Invalid control character at"
	invalidEscape      = `Invalid \escape`
	invalidUnicode     = `Invalid \uXXXX escape`
	tooDeep            = "Too deeply nested"
)

// A jsonError says where text is not JSON.
type jsonError struct {
	what string
	at   int // letters, not bytes
	text []rune
}

// Error returns what Python's json.JSONDecodeError says.
func (e *jsonError) Error() string {
	line, column := 1, e.at+1
	for i, r := range e.text[:min(e.at, len(e.text))] {
		if r == '\n' {
			line, column = line+1, e.at-i
		}
	}
	return fmt.Sprintf("%s: line %d column %d (char %d)", e.what, line, column, e.at)
}

// A jsonReader reads JSON as Python's json.loads does, with NaN and Infinity.
type jsonReader struct {
	text  []rune
	depth int
}

// parseJSONArray reads a text that begins with a bracket. Its items are strings,
// or of the Go type that [typeOf] names; only strings have their value.
func parseJSONArray(text string) ([]any, error) {
	r := &jsonReader{text: []rune(text)}
	value, end, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if end = r.skip(end); end != len(r.text) {
		return nil, r.fault(extraData, end)
	}
	items, ok := value.([]any)
	if !ok {
		return nil, r.fault(expectingValue, 0)
	}
	return items, nil
}

func (r *jsonReader) fault(what string, at int) error {
	return &jsonError{what: what, at: at, text: r.text}
}

// at is the letter at a place, or 0 behind the end.
func (r *jsonReader) at(i int) rune {
	if i >= len(r.text) {
		return 0
	}
	return r.text[i]
}

func (r *jsonReader) skip(i int) int {
	for i < len(r.text) && strings.ContainsRune(" \t\n\r", r.text[i]) {
		i++
	}
	return i
}

// value reads what begins at i, and returns where it ends.
func (r *jsonReader) value(i int) (value any, end int, err error) {
	const deepest = 1000
	r.depth++
	defer func() { r.depth-- }()
	switch {
	case r.depth > deepest:
		return nil, i, r.fault(tooDeep, i)
	case r.at(i) == '"':
		return r.string(i + 1)
	case r.at(i) == '[':
		return r.array(i + 1)
	case r.at(i) == '{':
		return r.object(i + 1)
	}
	return r.scalar(i)
}

// number is one at the beginning of a text.
var number = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?`)

func (r *jsonReader) scalar(i int) (value any, end int, err error) {
	words := map[string]any{
		"null": nil, "true": true, "false": false,
		"NaN": 0.0, "Infinity": 0.0, "-Infinity": 0.0,
	}
	for name, value := range words {
		if slices.Equal(r.text[min(i, len(r.text)):min(i+len(name), len(r.text))], []rune(name)) {
			return value, i + len(name), nil
		}
	}
	end = i
	for strings.ContainsRune("+-.0123456789eE", r.at(end)) && end < len(r.text) {
		end++
	}
	found := number.FindStringSubmatch(string(r.text[min(i, end):end]))
	switch {
	case found == nil:
		return nil, i, r.fault(expectingValue, i)
	case found[1] != "" || found[2] != "":
		return 0.0, i + len(found[0]), nil
	}
	return 0, i + len(found[0]), nil
}

// array reads the items behind a bracket.
func (r *jsonReader) array(i int) (items any, end int, err error) {
	all := []any{}
	if i = r.skip(i); r.at(i) == ']' {
		return all, i + 1, nil
	}
	for {
		value, next, err := r.value(i)
		if err != nil {
			return nil, i, err
		}
		all = append(all, value)
		i = r.skip(next)
		switch r.at(i) {
		case ']':
			return all, i + 1, nil
		case ',':
			i = r.skip(i + 1)
		default:
			return nil, i, r.fault(expectingComma, i)
		}
	}
}

// object reads the members behind a brace. Nobody needs their values.
func (r *jsonReader) object(i int) (value any, end int, err error) {
	if i = r.skip(i); r.at(i) == '}' {
		return map[string]any{}, i + 1, nil
	}
	for {
		if r.at(i) != '"' {
			return nil, i, r.fault(expectingName, i)
		}
		_, next, err := r.string(i + 1)
		if err != nil {
			return nil, i, err
		}
		if i = r.skip(next); r.at(i) != ':' {
			return nil, i, r.fault(expectingColon, i)
		}
		if _, next, err = r.value(r.skip(i + 1)); err != nil {
			return nil, i, err
		}
		i = r.skip(next)
		switch r.at(i) {
		case '}':
			return map[string]any{}, i + 1, nil
		case ',':
			i = r.skip(i + 1)
		default:
			return nil, i, r.fault(expectingComma, i)
		}
	}
}

// string reads the letters behind a quote.
func (r *jsonReader) string(i int) (value any, end int, err error) {
	begin := i - 1
	var letters []rune
	for {
		switch c := r.at(i); {
		case i >= len(r.text):
			return nil, i, r.fault(unterminatedString, begin)
		case c == '"':
			return string(letters), i + 1, nil
		case c < ' ':
			return nil, i, r.fault(invalidControl, i)
		case c != '\\':
			letters = append(letters, c)
			i++
		case i+1 >= len(r.text):
			return nil, i, r.fault(unterminatedString, begin)
		case r.text[i+1] == 'u':
			unit, err := r.unit(i)
			if err != nil {
				return nil, i, err
			}
			letters = append(letters, unit)
			i += 6
		default:
			at := strings.IndexRune(`"\/bfnrt`, r.text[i+1])
			if at < 0 {
				return nil, i, r.fault(invalidEscape, i)
			}
			letters = append(letters, []rune("\"\\/\b\f\n\r\t")[at])
			i += 2
		}
		letters = joined(letters)
	}
}

// unit is the letter, or half of one, that is escaped at i with four digits.
func (r *jsonReader) unit(i int) (rune, error) {
	const digits = 4
	if i+2+digits >= len(r.text) {
		return 0, r.fault(invalidUnicode, i+1)
	}
	n, err := strconv.ParseUint(string(r.text[i+2:i+2+digits]), 16, 16)
	if err != nil {
		return 0, r.fault(invalidUnicode, i+1)
	}
	return rune(n), nil
}

// joined makes one letter of two halves at the end.
func joined(letters []rune) []rune {
	if n := len(letters); n >= 2 {
		if r := utf16.DecodeRune(letters[n-2], letters[n-1]); r != utf8.RuneError {
			return append(letters[:n-2], r)
		}
	}
	return letters
}
