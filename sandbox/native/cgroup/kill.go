//go:build linux

package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// freezeTime is how long Freeze waits for tasks that are slow to stop.
const freezeTime = time.Second

// Freeze stops all of work where it stands, and returns when it does. It thaws
// it again when that takes too long, or ctx ends.
func (s *Session) Freeze(ctx context.Context) error {
	t := s.host.freezer
	if t == nil {
		return &sandbox.Error{Op: "freeze", ID: s.name, Kind: sandbox.Unsupported, Detail: "this host cannot freeze sandboxes"}
	}
	dir := t.work(s.name)
	err := s.host.dialect.freeze(t, dir, true)
	if err != nil {
		return s.fault(err)
	}
	ctx, stop := context.WithTimeout(ctx, freezeTime)
	defer stop()
	for wait := range backoff {
		frozen, err := s.host.dialect.isFrozen(t, dir)
		if frozen && err == nil {
			return nil
		}
		if err != nil {
			return s.fault(errors.Join(err, s.host.dialect.freeze(t, dir, false)))
		}
		select {
		case <-ctx.Done():
			return s.fault(errors.Join(context.Cause(ctx), s.host.dialect.freeze(t, dir, false)))
		case <-time.After(wait):
		}
	}
	return nil
}

// Thaw lets work go on. It is no error when it was not frozen.
func (s *Session) Thaw() error {
	if s.host.freezer == nil {
		return nil
	}
	return s.fault(s.host.dialect.freeze(s.host.freezer, s.host.freezer.work(s.name), false))
}

// backoff yields the times to wait between two looks, without end.
func backoff(yield func(time.Duration) bool) {
	for wait := 200 * time.Microsecond; yield(wait); {
		wait = min(2*wait, 20*time.Millisecond)
	}
}

// Kill ends everything of the session, the agent too, and returns when nothing
// is left or ctx ends. Stopped and frozen processes die as well.
func (s *Session) Kill(ctx context.Context) error {
	for wait := range backoff {
		left, err := s.killOnce()
		if err != nil {
			return s.fault(err)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return s.fault(context.Cause(ctx))
		case <-time.After(wait):
		}
	}
	return nil
}

// killOnce ends what is there now and returns how many processes that were. It
// always thaws in the end: a frozen process cannot die in version 1, and keeps
// its parent from being reaped.
func (s *Session) killOnce() (left int, err error) {
	pids, err := s.processes()
	if err != nil || len(pids) == 0 {
		return 0, err
	}
	defer func() {
		if thawErr := s.Thaw(); sandbox.KindOf(thawErr) != sandbox.NotFound {
			err = errors.Join(err, thawErr)
		}
	}()
	if done, err := s.killWhole(); done || err != nil {
		return len(pids), err
	}
	if t := s.host.freezer; t != nil { // so that no fork outruns us; it need not be complete
		err := s.host.dialect.freeze(t, t.work(s.name), true)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return len(pids), err
		}
	}
	if pids, err = s.processes(); err != nil {
		return 0, err
	}
	return len(pids), s.signal(pids)
}

// killWhole has the kernel kill the session at one stroke, where it can.
func (s *Session) killWhole() (bool, error) {
	for _, t := range s.host.trees {
		if done, err := s.host.dialect.kill(t, s.name); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// processes returns what is in the session's groups, of all hierarchies.
func (s *Session) processes() (map[int]bool, error) {
	have := make(map[int]bool)
	for _, t := range s.host.trees {
		dirs, err := s.dirs(t)
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			if err := t.pids(dir, have); err != nil {
				return nil, err
			}
		}
	}
	return have, nil
}

// dirs returns the session's directories in a tree, children first. Only where
// the session's uid may make some are they looked for.
func (s *Session) dirs(t *tree) ([]string, error) {
	known := t.dirs(s.name)
	slices.Reverse(known)
	if t != s.home() {
		return known, nil
	}
	made, err := t.below(known[0])
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	return append(made, known[1:]...), err
}

// signal sends SIGKILL to those of pids that are still the session's once a
// descriptor pins them: a number alone may have become another process.
func (s *Session) signal(pids map[int]bool) error {
	pinned := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range pinned {
			_ = unix.Close(fd) // nothing was written
		}
	}()
	for pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return err
		}
		pinned[pid] = fd
	}
	still, err := s.processes()
	if err != nil {
		return err
	}
	for pid, fd := range pinned {
		if !still[pid] {
			continue
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// Remove waits until nothing is left in the session's groups and removes them,
// those of executions included. It kills nothing. A session that is gone is no
// error.
func (s *Session) Remove(ctx context.Context) error {
	for wait := range backoff {
		err := s.removeOnce()
		if err == nil || !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			return s.fault(err)
		}
		select {
		case <-ctx.Done():
			return s.fault(errors.Join(context.Cause(ctx), err))
		case <-time.After(wait):
		}
	}
	return nil
}

// Clear removes the groups of a session that has ended. It ends what is left
// all the same.
func (s *Session) Clear(ctx context.Context) error {
	err := s.removeOnce()
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		return errors.Join(s.Kill(ctx), s.Remove(ctx))
	}
	return s.fault(err)
}

func (s *Session) removeOnce() error {
	var errs []error
	for _, t := range s.host.trees {
		dirs, err := s.dirs(t)
		errs = append(errs, err)
		for _, dir := range dirs {
			if err := t.rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
