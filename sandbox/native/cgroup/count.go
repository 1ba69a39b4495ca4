//go:build linux

package cgroup

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// A TaskCount is how many tasks there are in the work of a session, for who asks often:
// it holds one file open.
type TaskCount struct{ file *os.File }

// CountsTasks tells whether the tasks of a session can be counted.
func (h *Host) CountsTasks() bool { return h.pids != nil }

// TaskCount opens the count. The caller closes it. Kind Unsupported: nobody counts.
func (s *Session) TaskCount() (*TaskCount, error) {
	t := s.host.pids
	if t == nil {
		return nil, &sandbox.Error{Op: "cgroup", ID: s.name, Kind: sandbox.Unsupported, Detail: "tasks are not counted here"}
	}
	file, err := t.open(t.work(s.name)+"/pids.current", unix.O_RDONLY)
	if err != nil {
		return nil, s.fault(err)
	}
	return &TaskCount{file}, nil
}

// Read returns the count, in which those are that have ended and nobody has waited for.
func (c *TaskCount) Read() (int64, error) {
	var text [32]byte
	n, err := quick.ReadStart(c.file.Fd(), text[:])
	if err != nil {
		return 0, err
	}
	return parseAmount(strings.TrimSpace(string(text[:n])))
}

// Close gives the file back.
func (c *TaskCount) Close() error { return c.file.Close() }
