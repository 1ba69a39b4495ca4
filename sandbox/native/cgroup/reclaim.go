//go:build linux

package cgroup

import (
	"errors"
	"io/fs"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Reclaim takes back what memory work can go without, and returns how many bytes
// that was. It takes as long as the kernel needs: milliseconds mostly. What it
// took is read again from files when it is used. Kind Unsupported: the host
// counts no memory, or its kernel cannot.
func (s *Session) Reclaim() (int64, error) {
	t := s.host.memory
	if t == nil {
		return 0, &sandbox.Error{Op: "reclaim", ID: s.name, Kind: sandbox.Unsupported, Detail: "this host does not count memory"}
	}
	dir := t.work(s.name)
	before, err := s.host.dialect.memoryUsed(t, dir)
	if err != nil || before == 0 {
		return 0, s.fault(err)
	}
	if err := s.host.dialect.reclaim(t, dir, before); err != nil {
		if errors.Is(err, fs.ErrNotExist) && t.exists(dir) {
			return 0, &sandbox.Error{Op: "reclaim", ID: s.name, Kind: sandbox.Unsupported, Detail: "this kernel gives back no memory on request", Err: err}
		}
		return 0, s.fault(err)
	}
	after, err := s.host.dialect.memoryUsed(t, dir)
	return max(before-after, 0), s.fault(err)
}

// WorkProcesses returns the processes of work, as this namespace numbers them.
func (s *Session) WorkProcesses() ([]int, error) {
	t := s.home()
	dirs, err := t.below(t.work(s.name))
	if err != nil {
		return nil, s.fault(err)
	}
	have := make(map[int]bool)
	for _, dir := range dirs {
		if err := t.pids(dir, have); err != nil {
			return nil, s.fault(err)
		}
	}
	all := make([]int, 0, len(have))
	for pid := range have {
		all = append(all, pid)
	}
	return all, nil
}
