package cgroup

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// WorkTasks is how many tasks there are in work, for who asks often: it holds one file
// open.
type WorkTasks struct{ file *os.File }

// CountsTasks tells whether the tasks of a session can be counted.
func (h *Host) CountsTasks() bool { return h.pids != nil }

// WorkTasks opens the count. The caller closes it. Kind Unsupported: nobody counts.
func (s *Session) WorkTasks() (*WorkTasks, error) {
	t := s.host.pids
	if t == nil {
		return nil, &sandbox.Error{Op: "cgroup", ID: s.name, Kind: sandbox.Unsupported, Detail: "tasks are not counted here"}
	}
	file, err := t.open(t.work(s.name)+"/pids.current", unix.O_RDONLY)
	if err != nil {
		return nil, s.fault(err)
	}
	return &WorkTasks{file}, nil
}

// Read returns the count, of those that nobody has waited for too.
func (w *WorkTasks) Read() (int64, error) {
	var text [32]byte
	n, err := quick.ReadStart(w.file.Fd(), text[:])
	if err != nil {
		return 0, err
	}
	return parseAmount(strings.TrimSpace(string(text[:n])))
}

// Close gives the file back.
func (w *WorkTasks) Close() error { return w.file.Close() }
