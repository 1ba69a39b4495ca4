package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"

	"github.com/sandwarden/sandwarden/config"
)

// newLogger makes the one logger of the daemon: colours for a person at a
// terminal, else the lines that the guide's users grep, or JSON on request.
func newLogger(w io.Writer, c config.Config, noColor bool) *slog.Logger {
	terminal := isTerminal(w)
	switch {
	case c.LogFormat == "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.LogLevel}))
	case c.LogFormat == "text" || !terminal:
		return slog.New(newLineHandler(w, c.LogLevel))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: c.LogLevel, TimeFormat: time.TimeOnly, NoColor: noColor}))
}

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
