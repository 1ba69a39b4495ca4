package main

import (
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/DeRuina/timberjack"
)

// Who may see the log: its owner, and a group that reads.
const (
	logFileMode      = 0o640
	logDirectoryMode = 0o750
)

const (
	logSize    = 10 << 20 // bytes
	logBackups = 5
)

// A logFile is a file that is put aside when it is large, under a name with the
// time, and begun anew. What it cannot write is lost. Writing to it never
// fails, so that a full disk does not keep others from their copy.
type logFile struct {
	path    string
	size    int // MiB
	backups int
	// tell is told of the first of some failures in a row. It is called by
	// whoever logs, and must not log to this file.
	tell func(path string, err error)

	mu     sync.Mutex
	out    io.WriteCloser
	failed bool // and told so
	torn   bool // the last line is not whole
}

// newLogFile returns the file.
func newLogFile(o *logOptions, tell func(path string, err error)) *logFile {
	f := &logFile{path: o.File, backups: o.Backups, tell: tell}
	bytes := o.MaxSize
	if bytes <= 0 {
		bytes = logSize
	}
	f.size = int((bytes + 1<<20 - 1) >> 20)
	if f.backups <= 0 {
		f.backups = logBackups
	}
	f.begin()
	return f
}

// begin makes the directory, the file, and a writer: one that was closed does
// not put files aside any more. A file that is there already is appended to,
// whoever cuts or writes it meanwhile. What fails here is told by the first line.
func (f *logFile) begin() {
	_ = os.MkdirAll(filepath.Dir(f.path), logDirectoryMode)
	if made, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, logFileMode); err == nil {
		_ = made.Chmod(logFileMode) // a umask does not know who is to read it
		_ = made.Close()
	}
	f.out = &timberjack.Logger{
		Filename: f.path, MaxSize: f.size, MaxBackups: f.backups, FileMode: logFileMode, LocalTime: true, Compression: "none",
	}
	f.torn = false
}

// Write implements [io.Writer].
func (f *logFile) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	whole := line
	if f.torn {
		whole = append([]byte{'\n'}, line...)
	}
	n, err := f.out.Write(whole)
	f.torn = n < len(whole) && (n > 0 || f.torn)
	if err != nil && !f.failed {
		f.tell(f.path, err)
	}
	f.failed = err != nil
	return len(line), nil
}

// Reopen opens the file under its name, and makes it where it was moved away.
func (f *logFile) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.out.Close() // what it had is with the system; the next one tells what is wrong
	f.begin()
	_, err := f.out.Write(nil)
	return err
}

// Close closes the file. A line that comes later is still written.
func (f *logFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Close()
}
