package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/config"
)

func TestLineHandler_WritesTheLinesOfTheOriginal(t *testing.T) {
	for name, test := range map[string]struct {
		log  func(*slog.Logger)
		want string
	}{
		"bare":       {func(l *slog.Logger) { l.Info("started") }, `INFO     | sandwarden   | started`},
		"component":  {func(l *slog.Logger) { l.With("part", "supervision").Warn("full") }, `WARNING  | supervision  | full`},
		"session":    {func(l *slog.Logger) { l.Info("ready", "session", "a1") }, `INFO     | sandwarden   | ready | {"session_id":"a1"}`},
		"bound":      {func(l *slog.Logger) { l.With("n", 1).Info("x", "dur", time.Second) }, `INFO     | sandwarden   | x | {"n":1,"dur":"1s"}`},
		"error":      {func(l *slog.Logger) { l.Error("failed", "err", errors.New("a\nb")) }, `ERROR    | sandwarden   | failed | {"err":"a\nb"}`},
		"group":      {func(l *slog.Logger) { l.WithGroup("g").Info("x", slog.Group("h", "k", true)) }, `INFO     | sandwarden   | x | {"g.h.k":true}`},
		"list":       {func(l *slog.Logger) { l.Info("x", "all", []string{"<", ">"}) }, `INFO     | sandwarden   | x | {"all":["<",">"]}`},
		"no JSON":    {func(l *slog.Logger) { l.Info("x", "f", func() {}) }, `INFO     | sandwarden   | x | {"f":"0x`},
		"line break": {func(l *slog.Logger) { l.Info("a\n2026 | forged\x1b[2J") }, `INFO     | sandwarden   | a\n2026 | forged\x1b[2J`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			test.log(slog.New(newLineHandler(&b, slog.LevelDebug)))
			head := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} \| `)
			line := b.String()
			if !head.MatchString(line) {
				t.Errorf("%q does not begin with a time", line)
			}
			if got := head.ReplaceAllString(line, ""); !strings.HasPrefix(got, test.want) || strings.Count(line, "\n") != 1 {
				t.Errorf("line %q, want %q", got, test.want)
			}
		})
	}
}

func TestLineHandler_KeepsLinesApart(t *testing.T) {
	var b bytes.Buffer
	logger := slog.New(newLineHandler(&b, slog.LevelInfo)).With("a", 1)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() { logger.With("i", i).Info("x", "j", i) })
	}
	all.Wait()
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for _, line := range lines {
		if _, object, ok := strings.Cut(line, "x | "); !ok || !json.Valid([]byte(object)) {
			t.Errorf("broken line %q", line)
		}
	}
	if len(lines) != 50 {
		t.Errorf("%d lines, want 50", len(lines))
	}
}

func TestNewLogger_FollowsTheConfiguration(t *testing.T) {
	for format, want := range map[string]string{"json": `{"time":`, "text": "| WARNING  |", "auto": "| WARNING  |"} {
		var b bytes.Buffer
		logger := newLogger(&b, config.Config{LogFormat: format, LogLevel: slog.LevelWarn}, false)
		logger.Info("unseen")
		logger.Warn("seen")
		if got := b.String(); !strings.Contains(got, want) || strings.Contains(got, "unseen") {
			t.Errorf("%s: %q, want %q in it and one line", format, got, want)
		}
	}
}
