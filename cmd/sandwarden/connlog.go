package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// A connLog tells of connections, and of what net/http says of them. Its
// messages begin with Connection, which the users of the original search for,
// whatever the format.
type connLog struct {
	logger *slog.Logger
	most   int64 // connections that one address takes at once
	open   atomic.Int64
	full   atomic.Bool // and told so
}

// state is for [http.Server.ConnState].
func (l *connLog) state(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.tell(c, "Connection opened")
		if l.open.Add(1) >= l.most && !l.full.Swap(true) {
			l.logger.Warn("Connection limit reached: others may have to wait", "limit", l.most) //nolint:sloglint // see connLog
		}
	case http.StateClosed, http.StateHijacked:
		l.tell(c, "Connection closed")
		if l.open.Add(-1) < l.most-l.most/8 {
			l.full.Store(false)
		}
	case http.StateActive, http.StateIdle:
	}
}

// tell is for those who look for single connections.
func (l *connLog) tell(c net.Conn, what string) {
	ctx := context.Background() // net/http hands in none
	if l.logger.Enabled(ctx, slog.LevelDebug) {
		l.logger.DebugContext(ctx, what, "addr", c.RemoteAddr().String()) //nolint:sloglint // see connLog
	}
}

// Enabled implements [slog.Handler], for [http.Server.ErrorLog].
func (l *connLog) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements [slog.Handler].
func (l *connLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements [slog.Handler].
func (l *connLog) WithGroup(string) slog.Handler { return l }

// Handle implements [slog.Handler]. What comes is a line of net/http, which is
// about a client that spoke badly, the system that is short of something, or a
// fault of ours.
func (l *connLog) Handle(ctx context.Context, r slog.Record) error {
	line := strings.TrimPrefix(r.Message, "http: ")
	about := func(prefix string) (rest string, ok bool) { return strings.CutPrefix(line, prefix) }
	if rest, ok := about("TLS handshake error from "); ok {
		addr, reason, _ := strings.Cut(rest, ": ")
		l.logger.InfoContext(ctx, "Connection failed: TLS handshake", "addr", addr, "err", reason) //nolint:sloglint // see connLog
		return nil
	}
	if rest, ok := about("Accept error: "); ok {
		l.logger.WarnContext(ctx, "Connection failed: not accepted", "err", rest) //nolint:sloglint // see connLog
		return nil
	}
	if rest, ok := about("panic serving "); ok {
		addr, reason, _ := strings.Cut(rest, ": ")
		l.logger.ErrorContext(ctx, "Connection failed: panic", "addr", addr, "err", reason) //nolint:sloglint // see connLog
		return nil
	}
	l.logger.DebugContext(ctx, "Connection trouble", "err", line) //nolint:sloglint // see connLog
	return nil
}
