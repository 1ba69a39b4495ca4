package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/lmittmann/tint"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
)

// logOptions say where the log goes and how it looks. The zero value writes
// text lines from Info on to the console alone.
type logOptions struct {
	Level   slog.Level
	Format  string // "json"; "text"; else "auto": colours for a terminal, text elsewhere
	Plain   bool   // text lines without the object of JSON at their end
	NoColor bool
	Quiet   bool   // nothing on the console; but errors, where there is no file
	File    string // written too; empty is none
	MaxSize int64  // bytes of the file before it is put aside, in whole MiB; 10 MiB
	Backups int    // files put aside that are kept; 5
}

// logOptionsOf are the parts of a configuration that the log follows.
func logOptionsOf(c config.Config) logOptions {
	o := logOptions{
		Level: c.LogLevel, Format: c.LogFormat, Plain: !c.LogStructured, Quiet: !c.LogConsole,
		File: c.LogFile, MaxSize: c.LogMaxSize, Backups: c.LogBackups,
	}
	if c.LogMaxSize == 0 || c.LogBackups == 0 { // as in the original, the file is then never put aside
		o.MaxSize = math.MaxInt64 >> 20 << 20
	}
	return o
}

// logs are the log of the daemon: the console and a file, which have one level.
type logs struct {
	*slog.Logger
	level *slog.LevelVar
	quiet bool         // the console is for errors at most
	file  *logFile     // nil is none
	aside *slog.Logger // the file alone, for what the console is told otherwise
}

// newLogs makes the log. A file that cannot be written is told on the console
// and costs nothing else.
func newLogs(console io.Writer, o logOptions) *logs {
	l := &logs{level: new(slog.LevelVar), quiet: o.Quiet, aside: slog.New(slog.DiscardHandler)}
	l.level.Set(o.Level)
	var handlers []slog.Handler
	if !o.Quiet {
		handlers = append(handlers, o.consoleHandler(console, l.level))
	}
	if o.File != "" {
		alarm := slog.New(o.consoleHandler(console, slog.LevelError))
		l.file = newLogFile(&o, func(path string, err error) {
			alarm.Error("log file cannot be written, and the daemon goes on without it", "path", path, "err", err)
		})
		handler := o.handler(l.file, l.level)
		l.aside = slog.New(stamped{handler})
		handlers = append(handlers, handler)
	}
	if len(handlers) == 0 { // a daemon that fails without a word helps nobody
		handlers = append(handlers, o.handler(console, errorsOnly{l.level}))
	}
	handler := handlers[0]
	if len(handlers) > 1 {
		handler = slog.NewMultiHandler(handlers...)
	}
	l.Logger = slog.New(stamped{handler})
	return l
}

// consoleHandler is for who sits at a terminal, if somebody does.
func (o *logOptions) consoleHandler(w io.Writer, level slog.Leveler) slog.Handler {
	if o.Format == "json" || o.Format == "text" || !isTerminal(w) {
		return o.handler(w, level)
	}
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: o.NoColor})
}

// handler writes JSON where that was asked for, else the lines of the original.
func (o *logOptions) handler(w io.Writer, level slog.Leveler) slog.Handler {
	if o.Format == "json" {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: asOnTheWire})
	}
	return newLineHandler(w, level, o.Plain)
}

// asOnTheWire names attributes as readers of the log know them.
func asOnTheWire(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 {
		a.Key = wireKey(a.Key)
	}
	return a
}

// SetLevel changes what is logged from now on.
func (l *logs) SetLevel(level slog.Level) { l.level.Set(level) }

// Reopen opens the file anew, under the name it had: somebody has moved it.
func (l *logs) Reopen() error {
	if l.file == nil {
		return nil
	}
	return l.file.Reopen()
}

// Close ends the file. What is logged after it is still written.
func (l *logs) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// errorsOnly is a level that does not fall below Error.
type errorsOnly struct{ slog.Leveler }

// Level implements [slog.Leveler].
func (e errorsOnly) Level() slog.Level { return max(e.Leveler.Level(), slog.LevelError) }

// stamped adds the id of the request that a line is about.
type stamped struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h stamped) Handle(ctx context.Context, r slog.Record) error {
	if id := sandbox.RequestOf(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("request", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h stamped) WithAttrs(attrs []slog.Attr) slog.Handler {
	return stamped{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h stamped) WithGroup(name string) slog.Handler { return stamped{h.Handler.WithGroup(name)} }

// isTerminal reports whether a person may be reading. A device that is none,
// such as /dev/null, does no harm.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	stat, err := file.Stat()
	return err == nil && stat.Mode()&os.ModeCharDevice != 0
}

// told reports whether another process has already said what an error says.
func told(err error) bool {
	_, ok := errors.AsType[exitError](err)
	return ok
}
