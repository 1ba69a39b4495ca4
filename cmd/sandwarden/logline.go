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
//	2026-01-31T15:51:28.042373 | INFO     | supervision  | session ready | {"session_id":"a1"}
//
// The component is the attribute "part"; the other attributes are one compact
// JSON object. No value can begin a new line.
type lineHandler struct {
	out    *lockedWriter
	level  slog.Leveler
	part   string
	group  string // with a dot at its end, or empty
	before []byte // attributes that are bound, as members of the object
}

// lockedWriter keeps the lines of many goroutines apart.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func newLineHandler(w io.Writer, level slog.Leveler) *lineHandler {
	return &lineHandler{out: &lockedWriter{w: w}, level: level, part: "sandwarden"}
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
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s | %-8s | %-12s | %s", r.Time.Format("2006-01-02T15:04:05.000000"), levelName(r.Level), oneLine(line.part), oneLine(r.Message))
	if len(line.before) > 0 {
		b.WriteString(" | {")
		b.Write(line.before)
		b.WriteByte('}')
	}
	b.WriteByte('\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b.Bytes())
	return err
}

// WithAttrs implements [slog.Handler].
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	bound := h.clone()
	for _, a := range attrs {
		bound.add(bound.group, a)
	}
	return bound
}

// WithGroup implements [slog.Handler].
func (h *lineHandler) WithGroup(name string) slog.Handler {
	bound := h.clone()
	if name != "" {
		bound.group += name + "."
	}
	return bound
}

// clone is a handler that shares the writer alone.
func (h *lineHandler) clone() *lineHandler {
	c := *h
	c.before = bytes.Clone(h.before)
	return &c
}

// add binds one attribute; a group becomes keys with dots.
func (h *lineHandler) add(group string, a slog.Attr) {
	value := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
		return
	case value.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range value.Group() {
			h.add(group, member)
		}
		return
	case group == "" && a.Key == "part":
		h.part = value.String()
		return
	}
	if len(h.before) > 0 {
		h.before = append(h.before, ',')
	}
	h.before = append(h.before, jsonOf(group+wireKey(a.Key))...)
	h.before = append(h.before, ':')
	h.before = append(h.before, jsonOf(plainValue(value))...)
}

// wireKey is the key that the original's users look for.
func wireKey(key string) string {
	if key == "session" {
		return "session_id"
	}
	return key
}

// plainValue is a value as JSON should have it: errors and times as text.
func plainValue(v slog.Value) any {
	switch v.Kind() {
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindString:
		return v.Any()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error, fmt.Stringer:
		default:
			return x
		}
	case slog.KindDuration, slog.KindGroup, slog.KindLogValuer:
	}
	return v.String()
}

// jsonOf is a value as JSON on one line; one that JSON cannot have is text.
func jsonOf(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return strconv.AppendQuote(nil, fmt.Sprint(v))
	}
	return bytes.TrimRight(b.Bytes(), "\n")
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
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
		q := strconv.Quote(s)
		return q[1 : len(q)-1]
	}
	return s
}
