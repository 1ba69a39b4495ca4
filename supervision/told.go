package supervision

import (
	"context"
	"log/slog"

	"github.com/sandwarden/sandwarden/sandbox"
)

// tellBegun and tellDone log executions, with nothing of what was run and what
// it wrote.
func (s *Sessions) tellBegun(ctx context.Context, session *sandbox.Session, op string) {
	if s.opts.Logger.Enabled(ctx, slog.LevelDebug) {
		s.opts.Logger.DebugContext(ctx, "execution started", "session", session.Name, "op", op)
	}
}

func (s *Sessions) tellDone(ctx context.Context, result *sandbox.ExecResult, op string) {
	if !s.opts.Logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	exit, session := &result.Exit, result.Session.Name
	if s.opts.Logger.Enabled(ctx, slog.LevelDebug) {
		s.opts.Logger.DebugContext(ctx, "execution ended", "session", session, "op", op)
	}
	attrs := append(make([]slog.Attr, 0, 8), slog.String("session", session), slog.String("op", op),
		slog.Bool("success", exit.Cause == sandbox.CauseNone && exit.Code == 0 && exit.Failure == nil), slog.Int("code", exit.Code),
		slog.Duration("dur", exit.Duration), slog.Bool("created", result.Created))
	if exit.Cause != sandbox.CauseNone {
		attrs = append(attrs, slog.String("cause", string(exit.Cause)))
	}
	s.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "execution completed", attrs...)
}

// opOf is what a request asks for, as logs name it.
func opOf(request *sandbox.ExecRequest) string {
	if len(request.Argv) == 0 {
		return "code"
	}
	return "command"
}
