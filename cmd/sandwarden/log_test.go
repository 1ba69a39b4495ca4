package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

func TestLineHandler_WritesTheLinesOfTheOriginal(t *testing.T) {
	for name, test := range map[string]struct {
		log  func(*slog.Logger)
		want string
	}{
		"bare":       {func(l *slog.Logger) { l.Info("started") }, `INFO     | sandwarden   | started`},
		"component":  {func(l *slog.Logger) { l.With("part", "supervision").Warn("full") }, `WARNING  | supervision  | full`},
		"session":    {func(l *slog.Logger) { l.Info("ready", "session", "a1") }, `INFO     | sandwarden   | ready | {"session_id":"a1"}`},
		"request":    {func(l *slog.Logger) { l.Info("ready", "request", "r1") }, `INFO     | sandwarden   | ready | {"request_id":"r1"}`},
		"numbers":    {func(l *slog.Logger) { l.Info("x", "a", -1, "b", uint(2), "c", 1.5, "d", nil) }, `INFO     | sandwarden   | x | {"a":-1,"b":2,"c":1.5,"d":null}`},
		"bound":      {func(l *slog.Logger) { l.With("n", 1).Info("x", "dur", time.Second) }, `INFO     | sandwarden   | x | {"n":1,"dur":"1s"}`},
		"error":      {func(l *slog.Logger) { l.Error("failed", "err", errors.New("a\nb")) }, `ERROR    | sandwarden   | failed | {"error":"a\nb"}`},
		"group":      {func(l *slog.Logger) { l.WithGroup("g").Info("x", slog.Group("h", "k", true)) }, `INFO     | sandwarden   | x | {"g.h.k":true}`},
		"list":       {func(l *slog.Logger) { l.Info("x", "all", []string{"<", ">"}) }, `INFO     | sandwarden   | x | {"all":["<",">"]}`},
		"no JSON":    {func(l *slog.Logger) { l.Info("x", "f", func() {}) }, `INFO     | sandwarden   | x | {"f":"0x`},
		"line break": {func(l *slog.Logger) { l.Info("a\n2026 | forged\x1b[2J") }, `INFO     | sandwarden   | a\n2026 | forged\x1b[2J`},
		"in a value": {func(l *slog.Logger) { l.Info("x", "v", "a\n\x1b\x9b\u009b\u2028b") }, `INFO     | sandwarden   | x | {"v":"a\n\u001b\ufffd\u009b\u2028b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			test.log(slog.New(newLineHandler(&b, slog.LevelDebug, false)))
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
	logger := slog.New(newLineHandler(&b, slog.LevelInfo, false)).With("a", 1)
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

func TestLineHandler_PlainLinesEndWithPairs(t *testing.T) {
	for name, test := range map[string]struct {
		log  func(*slog.Logger)
		want string
	}{
		"bare":    {func(l *slog.Logger) { l.Info("x") }, `INFO     | sandwarden           | x`},
		"pairs":   {func(l *slog.Logger) { l.With("part", "actors").Warn("x", "session", "a1", "n", 1) }, `WARNING  | actors               | x | session_id=a1 n=1`},
		"quoted":  {func(l *slog.Logger) { l.Error("x", "err", errors.New("a b"), "empty", "") }, `ERROR    | sandwarden           | x | error="a b" empty=""`},
		"hostile": {func(l *slog.Logger) { l.Info("x", "v", "a=b\n\"") }, `INFO     | sandwarden           | x | v="a=b\n\""`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			test.log(slog.New(newLineHandler(&b, slog.LevelDebug, true)))
			head := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| `)
			if got := head.ReplaceAllString(b.String(), ""); got != test.want+"\n" {
				t.Errorf("line %q, want %q", got, test.want)
			}
		})
	}
}

// Each event that the original had a message for, as its users search for it.
func TestLineHandler_SpeaksInTheOriginalsWords(t *testing.T) {
	for want, log := range map[string]func(*slog.Logger){
		`Starting MCP Server... | {"version":"1"}`:             func(l *slog.Logger) { l.Info("starting", "version", "1") },
		`Configuration: host=localhost, port=8775, cors=False`: func(l *slog.Logger) { l.Info("configuration", "host", "localhost", "port", 8775, "cors", false) },
		`Starting MCP HTTP server on localhost:8775`:           func(l *slog.Logger) { l.Info("serving", "addr", "localhost:8775") },
		`Failed to start MCP Server: no port`:                  func(l *slog.Logger) { l.Info("daemon not started", "err", errors.New("no port")) },
		`Received SIGTERM signal, initiating shutdown...`:      func(l *slog.Logger) { l.Info("shutting down", "signal", "SIGTERM") },
		`Stopping 1 active sessions`:                           func(l *slog.Logger) { l.Info("sessions ending", "count", 1) },
		`Session manager stopped in 0.01s`:                     func(l *slog.Logger) { l.Info("sessions ended", "dur", 12*time.Millisecond) },
		`Creating sandbox for session a with template=python | {"session_id":"a"}`: func(l *slog.Logger) {
			l.Info("sandbox being made", "session", "a", "template", "python")
		},
		`Created new session a | {"session_id":"a","flavor":"small"}`:    func(l *slog.Logger) { l.With("session", "a").Info("session ready", "flavor", "small") },
		`Stopping managed session a | {"session_id":"a","cause":"idle"}`: func(l *slog.Logger) { l.Info("session ending", "session", "a", "cause", "idle") },
		`Stopped session a | {"session_id":"a"}`:                         func(l *slog.Logger) { l.Info("session ended", "session", "a") },
		`[SANDBOX_CREATION_ERROR] Sandbox creation failed: no | {"session_id":"a"}`: func(l *slog.Logger) {
			l.Warn("session not made", "session", "a", "err", errors.New("no"))
		},
		`Sandbox creation failed: no | {"session_id":"a"}`:                func(l *slog.Logger) { l.Warn("sandbox not made", "session", "a", "err", errors.New("no")) },
		`Session event: code_execution_started | {"session_id":"a"}`:      func(l *slog.Logger) { l.Debug("execution started", "session", "a", "op", "code") },
		`Session event: command_execution_completed | {"session_id":"a"}`: func(l *slog.Logger) { l.Debug("execution ended", "session", "a", "op", "command") },
		`[RESOURCE_LIMIT_ERROR] Resource limit exceeded: x | {"session_id":"a"}`: func(l *slog.Logger) {
			l.Info("call failed", "session", "a", "code", "RESOURCE_LIMIT_ERROR", "told", "Resource limit exceeded: x")
		},
		`call failed | {"session_id":"a","told":"x"}`: func(l *slog.Logger) { l.Info("call failed", "session", "a", "code", "", "told", "x") },
		`Code execution completed: session_id=a, success=True, time=2ms, session_created=True | {"session_id":"a","code":0}`: func(l *slog.Logger) {
			l.Info("execution completed", "session", "a", "op", "code", "success", true, "code", 0, "dur", 2*time.Millisecond, "created", true)
		},
		`Command execution completed: session_id=a, exit_code=3, time=8ms, session_created=False | {"session_id":"a","success":false}`: func(l *slog.Logger) {
			l.Info("execution completed", "session", "a", "op", "command", "success", false, "code", 3, "dur", 8*time.Millisecond, "created", false)
		},
		// Words that lack what they need are odd, and do no harm.
		`Evicting LRU session  (last_accessed: 0001-01-01T00:00:00.000000, flavor: , status: ready)`: func(l *slog.Logger) {
			_ = l.Handler().Handle(t.Context(), slog.NewRecord(time.Time{}, slog.LevelInfo, "session evicted", 0))
		},
		`Session manager stopped in 0.00s`: func(l *slog.Logger) { l.Info("sessions ended") },
	} {
		var b bytes.Buffer
		log(slog.New(newLineHandler(&b, slog.LevelDebug, false)))
		if got := b.String(); !strings.HasSuffix(got, "| "+want+"\n") {
			t.Errorf("line %q, want %q at its end", got, want)
		}
	}
}

func TestLineHandler_TellsWhenAnEvictedSessionWasUsed(t *testing.T) {
	var b bytes.Buffer
	r := slog.NewRecord(time.Date(2026, 1, 31, 15, 0, 1, 0, time.Local), slog.LevelInfo, "session evicted", 0)
	r.AddAttrs(slog.String("session", "a"), slog.String("flavor", "small"), slog.Duration("idle", time.Second))
	if err := newLineHandler(&b, slog.LevelDebug, false).Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want := `Evicting LRU session a (last_accessed: 2026-01-31T15:00:00.000000, flavor: small, status: ready) | {"session_id":"a"}`
	if !strings.Contains(b.String(), want) {
		t.Errorf("line %q, want %q in it", b.String(), want)
	}
}

func BenchmarkLineHandler(b *testing.B) {
	logger := slog.New(stamped{slog.NewMultiHandler(newLineHandler(io.Discard, slog.LevelInfo, false))}).With("part", "supervision")
	ctx := sandbox.WithRequest(b.Context(), "0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		logger.InfoContext(ctx, "execution completed", "session", "a1", "op", "code",
			"success", true, "code", 0, "dur", time.Millisecond, "created", false)
	}
}
