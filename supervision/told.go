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

// tellReady logs that a session can be used.
func (s *state) tellReady(sl *slot) {
	args := []any{
		"session", sl.spec.Session, "sandbox", string(sl.box.ID()), "template", sl.spec.Template.Name, "flavor", sl.spec.Flavor.Name,
	}
	if sl.restored {
		s.opts.Logger.Info("session taken over", args...)
		return
	}
	s.opts.Logger.Info("session ready", args...)
}

// tellEnded logs and counts that nothing is left of a session, or that it is left
// to the next daemon.
func (s *state) tellEnded(sl *slot) {
	if sl.left {
		s.opts.Logger.Info("session left to the next daemon", "session", sl.spec.Session)
		return
	}
	s.opts.Meter.SessionEnded(sl.cause)
	s.opts.Logger.Info("session ended", "session", sl.spec.Session, "cause", string(sl.cause))
}

// opOf is what a request asks for, as logs name it.
func opOf(request *sandbox.ExecRequest) string {
	if len(request.Argv) == 0 {
		return "code"
	}
	return "command"
}
