package transport

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// A Meter counts requests. Its methods may be called from many goroutines and
// must not block.
type Meter interface {
	// RequestAnswered tells of a request to one of our faces: "mcp", "rest",
	// "events", "status", "metrics" or "other". One that was answered with a
	// stream took a time below 0.
	RequestAnswered(face string, status int, took time.Duration)
	// RequestRefused tells why one was turned away: "host", "origin", "auth"
	// or "busy".
	RequestRefused(reason string)
	// StreamsChanged tells that a stream was opened, or with -1 that one ended.
	StreamsChanged(by int)
}

// noMeter counts nothing.
type noMeter struct{}

// RequestAnswered implements [Meter].
func (noMeter) RequestAnswered(string, int, time.Duration) {}

// RequestRefused implements [Meter].
func (noMeter) RequestRefused(string) {}

// StreamsChanged implements [Meter].
func (noMeter) StreamsChanged(int) {}

// A statusWriter notes how a request is answered.
type statusWriter struct {
	http.ResponseWriter
	meter  Meter
	status int
	stream bool
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	if !w.stream && w.Header().Get("Content-Type") == "text/event-stream" {
		w.stream = true
		w.meter.StreamsChanged(1)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// answered counts a request that is over, and writes its line, which has
// nothing of what was sent.
func (h *Handler) answered(r *http.Request, w *statusWriter, began time.Time) {
	face, took := faceOf(r), time.Since(began)
	if h.options.Logger.Enabled(r.Context(), slog.LevelDebug) {
		h.options.Logger.DebugContext(r.Context(), "request", "addr", r.RemoteAddr, "method", r.Method,
			"path", r.URL.Path, "status", w.status, "dur", took)
	}
	if w.stream {
		w.meter.StreamsChanged(-1)
		took = -1
	}
	if w.status == http.StatusServiceUnavailable && (face == "mcp" || face == "events") {
		w.meter.RequestRefused("busy")
	}
	w.meter.RequestAnswered(face, w.status, took)
}

// faceOf is what a request is for, as meters have it.
func faceOf(r *http.Request) string {
	switch path := r.URL.Path; {
	case path == "/mcp", path == "/" && r.Method == http.MethodPost:
		return "mcp"
	case path == "/", path == "/health", path == "/ready":
		return "status"
	case path == "/metrics":
		return "metrics"
	case path == "/v1/events", strings.HasSuffix(path, "/events") &&
		(strings.HasPrefix(path, "/v1/sessions/") || strings.HasPrefix(path, "/v1/executions/")):
		return "events"
	case strings.HasPrefix(path, "/v1/"):
		return "rest"
	}
	return "other"
}
