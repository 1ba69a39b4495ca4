package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A lineHandler writes the text lines of the original:
//
//	2026-01-31T15:51:28.042373 | INFO     | supervision  | Created new session a1 | {"session_id":"a1"}
//
// or, when plain,
//
//	2026-01-31 15:51:28 | INFO     | supervision          | Created new session a1 | session_id=a1
//
// The component is the attribute "part"; the others are what stands last. What
// the original had a message for is told in its words, see inOriginalWords. No
// value can begin a new line.
type lineHandler struct {
	out   *lockedWriter
	level slog.Leveler
	plain bool
	part  string
	group string      // with a dot at its end, or empty
	bound []slog.Attr // flat, under their keys on the wire
}

// lockedWriter keeps the lines of many goroutines apart.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func newLineHandler(w io.Writer, level slog.Leveler, plain bool) *lineHandler {
	return &lineHandler{out: &lockedWriter{w: w}, level: level, plain: plain, part: "sandwarden"}
}

// Enabled implements [slog.Handler].
func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements [slog.Handler].
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	line := h.clone()
	r.Attrs(func(a slog.Attr) bool {
		line.add(line.group, a)
		return true
	})
	e := entry{at: r.Time, message: r.Message, attrs: line.bound}
	text := inOriginalWords(&e)
	b := make([]byte, 0, 256)
	if h.plain {
		b = r.Time.AppendFormat(b, time.DateTime)
	} else {
		b = r.Time.AppendFormat(b, "2006-01-02T15:04:05.000000")
	}
	b = appendColumn(b, levelName(r.Level), 8)
	if h.plain {
		b = appendColumn(b, oneLine(line.part), 20)
	} else {
		b = appendColumn(b, oneLine(line.part), 12)
	}
	b = append(append(b, " | "...), oneLine(text)...)
	b = append(e.appendRest(b, h.plain), '\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b)
	return err
}

// appendColumn appends text that is filled up to a width.
func appendColumn(b []byte, text string, width int) []byte {
	b = append(append(b, " | "...), text...)
	for n := len(text); n < width; n++ {
		b = append(b, ' ')
	}
	return b
}

// WithAttrs implements [slog.Handler].
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	bound := h.clone()
	for _, a := range attrs {
		bound.add(bound.group, a)
	}
	return &bound
}

// WithGroup implements [slog.Handler].
func (h *lineHandler) WithGroup(name string) slog.Handler {
	bound := h.clone()
	if name != "" {
		bound.group += name + "."
	}
	return &bound
}

// clone is a handler that shares the writer alone.
func (h *lineHandler) clone() lineHandler {
	c := *h
	c.bound = append(make([]slog.Attr, 0, len(h.bound)+8), h.bound...)
	return c
}

// add binds one attribute; a group becomes keys with dots.
func (h *lineHandler) add(group string, a slog.Attr) {
	value := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case value.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range value.Group() {
			h.add(group, member)
		}
	case group == "" && a.Key == "part":
		h.part = value.String()
	default:
		key := a.Key
		if group == "" {
			key = wireKey(key)
		}
		h.bound = append(h.bound, slog.Attr{Key: group + key, Value: value})
	}
}

// wireKey is the key that readers of the log look for: with err under that
// name, a search for errors finds every line that has one.
func wireKey(key string) string {
	switch key {
	case "session", "request":
		return key + "_id"
	case "err":
		return "error"
	}
	return key
}

// An entry is a line as those see it who word it.
type entry struct {
	at      time.Time
	message string
	attrs   []slog.Attr
	said    uint64 // a bit for each attribute that the words have
}

// value returns an attribute, and notes that the words have it.
func (e *entry) value(key string) slog.Value {
	for i, a := range e.attrs {
		if a.Key == key {
			if key != wireKey("session") { // which is looked for under its key
				e.said |= 1 << min(i, 63)
			}
			return a.Value
		}
	}
	return slog.Value{}
}

// text returns an attribute as text.
func (e *entry) text(key string) string {
	if v := e.value(key); !v.Equal(slog.Value{}) {
		return v.String()
	}
	return ""
}

// appendRest appends the attributes that the words do not have.
func (e *entry) appendRest(b []byte, plain bool) []byte {
	head := len(b)
	for i, a := range e.attrs {
		switch {
		case i < 63 && e.said&(1<<i) != 0:
			continue
		case len(b) == head && plain:
			b = append(b, " | "...)
		case len(b) == head:
			b = append(b, " | {"...)
		case plain:
			b = append(b, ' ')
		default:
			b = append(b, ',')
		}
		if plain {
			b = appendPair(b, a)
		} else {
			b = appendValue(append(appendString(b, a.Key), ':'), a.Value)
		}
	}
	if len(b) > head && !plain {
		b = append(b, '}')
	}
	return b
}

// appendPair appends key=value, with quotes where a reader could not tell where
// the value ends.
func appendPair(b []byte, a slog.Attr) []byte {
	b = append(append(b, oneLine(a.Key)...), '=')
	value := appendValue(nil, a.Value)
	if inner := bytes.Trim(value, `"`); len(inner) == len(value)-2 && len(inner) > 0 && !bytes.ContainsAny(inner, " =\"\\") {
		return append(b, inner...)
	}
	return append(b, value...)
}

// appendValue appends a value as JSON: errors and times as text.
func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindTime:
		return appendString(b, v.Time().Format(time.RFC3339Nano))
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error, fmt.Stringer:
		default:
			return appendJSON(b, x)
		}
	case slog.KindFloat64:
		return appendJSON(b, v.Float64())
	case slog.KindDuration, slog.KindGroup, slog.KindLogValuer:
	}
	return appendString(b, v.String())
}

// appendString appends text as a string of JSON, in which nothing can begin a
// new line or move the cursor.
func appendString(b []byte, s string) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool { return isControl(r) || r == '"' || r == '\\' || r > 0x7f }) {
		return append(append(append(b, '"'), s...), '"')
	}
	return appendJSON(b, s)
}

// appendJSON appends a value as JSON on one line; one that JSON cannot have is
// text.
func appendJSON(b []byte, v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return strconv.AppendQuote(b, fmt.Sprint(v))
	}
	text := bytes.TrimRight(out.Bytes(), "\n")
	if !bytes.ContainsFunc(text, isControl) {
		return append(b, text...)
	}
	for _, r := range string(text) { // those that JSON lets stand
		if isControl(r) {
			b = fmt.Appendf(b, `\u%04x`, r)
		} else {
			b = append(b, string(r)...)
		}
	}
	return b
}

// levelName is the name that the original gave to a level.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARNING"
	}
	return "ERROR"
}

// oneLine is text without what could begin a new line or move the cursor.
func oneLine(s string) string {
	if strings.ContainsFunc(s, isControl) {
		q := strconv.Quote(s)
		return q[1 : len(q)-1]
	}
	return s
}

// isControl reports whether a terminal takes a character for a command. The
// separators of lines and paragraphs are none, but some readers break there.
func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}
