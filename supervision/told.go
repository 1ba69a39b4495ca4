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
	args := make([]any, 0, 14)
	args = append(args, "session", session, "op", op,
		"success", exit.Cause == sandbox.CauseNone && exit.Code == 0 && exit.Failure == nil,
		"code", exit.Code, "dur", exit.Duration, "created", result.Created)
	if exit.Cause != sandbox.CauseNone {
		args = append(args, "cause", string(exit.Cause))
	}
	s.opts.Logger.InfoContext(ctx, "execution completed", args...)
}

// opOf is what a request asks for, as logs name it.
func opOf(request *sandbox.ExecRequest) string {
	if len(request.Argv) == 0 {
		return "code"
	}
	return "command"
}
