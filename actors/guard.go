package actors

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
)

// Guard logs a handler's panic with its stack and answers the asker at once;
// then the supervisor acts. It covers neither HandleFailure nor goroutines.
func Guard(logger *slog.Logger) actor.ReceiverMiddleware {
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			defer func() {
				cause := recover()
				if cause == nil {
					return
				}
				logger.Error("actor panicked", "actor", c.Self().Id, "message", fmt.Sprintf("%T", envelope.Message),
					"panic", cause, "stack", string(debug.Stack()))
				switch envelope.Message.(type) {
				case *actor.Stopping, *actor.Stopped, *actor.Restarting:
					return // the library does not survive these
				}
				if envelope.Sender != nil {
					c.ActorSystem().Root.Send(envelope.Sender, &Failed{Reason: fmt.Sprint(cause)})
				}
				panic(cause)
			}()
			next(c, envelope)
		}
	}
}

// NewSystem returns an actor system that logs warnings and errors alone: below
// that the library prints whole messages, users' output included.
func NewSystem(logger *slog.Logger) *actor.ActorSystem {
	quiet := slog.New(warnings{logger.Handler()}).With("part", "actors")
	return actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }),
		actor.WithDeadLetterRequestLogging(false), // the asker is told anyway
	)
}

// warnings passes on what is at least a warning.
type warnings struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// WithAttrs implements [slog.Handler].
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// Caught runs work and returns its error, or a panic of it as one: no
// supervisor sees a goroutine. The stack is logged.
func Caught(logger *slog.Logger, work func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			logger.Error("goroutine panicked", "panic", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return work()
}
