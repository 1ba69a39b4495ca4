package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
)

func TestLogs_FollowTheirOptions(t *testing.T) {
	json, text := `"level":"WARN","msg":"seen","request_id":"r1","session_id":"s","error":"e"`, `WARNING  | sandwarden   | seen | {"session_id":"s","error":"e","request_id":"r1"}`
	plain := `WARNING  | sandwarden           | seen | session_id=s error=e request_id=r1`
	for name, test := range map[string]struct {
		options       logOptions
		console, file string
	}{
		"zero value":           {logOptions{}, text, ""},
		"text":                 {logOptions{Format: "text"}, text, ""},
		"JSON":                 {logOptions{Format: "json"}, json, ""},
		"plain":                {logOptions{Plain: true}, plain, ""},
		"and a file":           {logOptions{File: "f"}, text, text},
		"and a file of JSON":   {logOptions{File: "f", Format: "json"}, json, json},
		"a file alone":         {logOptions{File: "f", Quiet: true}, "", text},
		"quiet":                {logOptions{Quiet: true}, "", ""},
		"from errors on":       {logOptions{File: "f", Level: slog.LevelError}, "", ""},
		"plain file, and JSON": {logOptions{File: "f", Format: "json", Plain: true}, json, json},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			var console bytes.Buffer
			l := newLogs(&console, test.options)
			defer l.Close()
			l.Debug("unseen")
			ctx := sandbox.WithRequest(t.Context(), "r1")
			l.WarnContext(ctx, "seen", "session", "s", "err", errors.New("e"))
			file, _ := os.ReadFile("f")
			for where, got := range map[string][2]string{"console": {console.String(), test.console}, "file": {string(file), test.file}} {
				if got[1] == "" && got[0] != "" || strings.Count(got[0], "\n") > 1 {
					t.Errorf("the %s has %q, want %q alone", where, got[0], got[1])
				}
				for part := range strings.SplitSeq(got[1], ",") { // their order differs
					if !strings.Contains(got[0], strings.Trim(part, "{}")) {
						t.Errorf("the %s has %q, want %q in it", where, got[0], part)
					}
				}
			}
		})
	}
}

func TestLogs_TellErrorsWhereThereIsNoOtherPlace(t *testing.T) {
	var console bytes.Buffer
	l := newLogs(&console, logOptions{Quiet: true, Level: slog.LevelDebug})
	l.Warn("unseen")
	l.Error("seen")
	if got := console.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "| seen") {
		t.Errorf("the console has %q, want the error alone", got)
	}
}

func TestLogs_ChangeTheLevelOfBoth(t *testing.T) {
	t.Chdir(t.TempDir())
	var console bytes.Buffer
	l := newLogs(&console, logOptions{File: "f", Level: slog.LevelWarn})
	defer l.Close()
	bound := l.With("part", "x")
	bound.Info("before")
	l.SetLevel(slog.LevelDebug)
	bound.Debug("after")
	file, _ := os.ReadFile("f")
	for where, got := range map[string]string{"console": console.String(), "file": string(file)} {
		if strings.Contains(got, "before") || !strings.Contains(got, "after") {
			t.Errorf("the %s has %q", where, got)
		}
	}
}

func TestLogs_AnOldRequestIsNotStamped(t *testing.T) {
	var console bytes.Buffer
	l := newLogs(&console, logOptions{})
	l.InfoContext(t.Context(), "x")
	l.With("part", "y").InfoContext(sandbox.WithRequest(t.Context(), "r2"), "x")
	if got := console.String(); strings.Count(got, "request_id") != 1 || !strings.Contains(got, `| y            | x | {"request_id":"r2"}`) {
		t.Errorf("console %q", got)
	}
}

func modeOf(t *testing.T, name string) fs.FileMode {
	t.Helper()
	stat, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return stat.Mode().Perm()
}

func TestLogFile_MakesItsDirectoryAndIsNotForAll(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a", "b", "mcp-server.log")
	l := newLogs(io.Discard, logOptions{File: name})
	defer l.Close()
	l.Info("x")
	if file, directory := modeOf(t, name), modeOf(t, filepath.Dir(name)); file != 0o640 || directory != 0o750 {
		t.Errorf("modes %o and %o, want 640 and 750", file, directory)
	}
}

func TestLogFile_IsPutAsideAndOldOnesGo(t *testing.T) {
	directory := t.TempDir()
	name := filepath.Join(directory, "mcp-server.log")
	l := newLogs(io.Discard, logOptions{File: name, MaxSize: 1, Backups: 2})
	line := strings.Repeat("x", 200<<10)
	for range 40 { // 8 MiB
		l.Info("x", "data", line)
	}
	l.Close() // waits for what is to go
	names, err := filepath.Glob(filepath.Join(directory, "*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("files %q (%v), want the file and two that were put aside", names, err)
	}
	for _, n := range names {
		stat, err := os.Stat(n)
		if err != nil || stat.Size() > 1<<20 || stat.Mode().Perm() != 0o640 {
			t.Errorf("%s: %d bytes, mode %o (%v)", n, stat.Size(), stat.Mode(), err)
		}
	}
}

// logrotate moves the file away and sends a signal; many goroutines write on.
func TestLogFile_LosesNothingWhenItIsMovedAndOpenedAnew(t *testing.T) {
	directory := t.TempDir()
	name := filepath.Join(directory, "mcp-server.log")
	l := newLogs(io.Discard, logOptions{File: name})
	const writers, each = 8, 200
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				l.Info("x", "line", w*each+i)
			}
		})
	}
	for i := range 20 {
		if err := os.Rename(name, name+"."+strconv.Itoa(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if err := l.Reopen(); err != nil {
			t.Error(err)
		}
		if mode := modeOf(t, name); mode != 0o640 {
			t.Errorf("mode %o, want 640", mode)
		}
	}
	all.Wait()
	l.Close()
	l.Info("x", "line", writers*each) // after the end, still written
	names, _ := filepath.Glob(filepath.Join(directory, "*"))
	var lines int
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			lines++
			if !strings.Contains(line, `| x | {"line":`) || !strings.HasSuffix(line, "}\n") {
				t.Errorf("broken line %q", line)
			}
		}
	}
	if lines != writers*each+1 {
		t.Errorf("%d lines, want %d", lines, writers*each+1)
	}
}

func TestLogFile_ThatCannotBeWrittenIsToldOnce(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this host has no /dev/full:", err)
	}
	for name, file := range map[string]string{"full disk": "/dev/full", "no directory": "/dev/null/x/f"} {
		t.Run(name, func(t *testing.T) {
			var console bytes.Buffer
			l := newLogs(&console, logOptions{File: file, Format: "json"})
			defer l.Close()
			l.Info("one")
			l.Info("two")
			if got := console.String(); strings.Count(got, "log file cannot be written") != 1 || !strings.Contains(got, `"msg":"two"`) {
				t.Errorf("the console has %q, want both lines and the fault once", got)
			}
		})
	}
}

// That is what logrotate does where it is told to copytruncate.
func TestLogFile_GoesOnAtTheEndOfAFileThatWasCut(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	l := newLogs(io.Discard, logOptions{File: name})
	defer l.Close()
	l.Info("before")
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	l.Info("after")
	if data, err := os.ReadFile(name); err != nil || !strings.HasPrefix(string(data), "20") || strings.Contains(string(data), "before") {
		t.Errorf("file %q (%v), want the line after alone", data, err)
	}
}

// A failing writer, as a disk is that was full for a while.
type failing struct {
	bytes.Buffer
	room int // -1 for any
}

func (f *failing) Write(p []byte) (int, error) {
	if f.room < 0 || len(p) <= f.room {
		return f.Buffer.Write(p)
	}
	n, _ := f.Buffer.Write(p[:f.room])
	return n, errors.New("no space")
}

func (f *failing) Close() error { return nil }

func TestLogFile_BeginsALineAfterOneThatWasTorn(t *testing.T) {
	disk, faults := &failing{room: 2}, 0
	f := newLogFile(&logOptions{File: filepath.Join(t.TempDir(), "f")}, func(string, error) { faults++ })
	f.out = disk
	write := func(line string) {
		if n, err := f.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
	write("torn\n")
	disk.room = 0
	write("lost\n")
	disk.room = -1
	write("whole\n")
	write("next\n")
	disk.room = 0
	write("lost\n")
	if got := disk.String(); got != "to\nwhole\nnext\n" || faults != 2 {
		t.Errorf("file %q and %d faults told, want the torn line ended and 2", got, faults)
	}
}

func TestReopen_TellsWhatIsInTheWay(t *testing.T) {
	directory := t.TempDir()
	name := filepath.Join(directory, "a", "f")
	var console bytes.Buffer
	l := newLogs(&console, logOptions{File: name})
	defer l.Close()
	l.Info("before")
	if err := errors.Join(os.RemoveAll(filepath.Join(directory, "a")), os.WriteFile(filepath.Join(directory, "a"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	reopen(t.Context(), l)
	if got := console.String(); strings.Count(got, "log file not opened anew") != 1 || strings.Count(got, "log file cannot be written") != 1 {
		t.Errorf("console %q, want both faults once", got)
	}
}

func TestSignalOf(t *testing.T) {
	for cause, want := range map[string]string{
		"terminated signal received": "SIGTERM", "interrupt signal received": "SIGINT", "context canceled": "no",
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New(cause))
		if got := signalOf(ctx); got != want {
			t.Errorf("%s: %s, want %s", cause, got, want)
		}
	}
}
