//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native/cgroup"
)

// Purge ends all sandboxes that a state directory's records name, and gives
// back what they held. It needs no daemon; a running one must not be there.
// It returns how many it ended.
func Purge(ctx context.Context, opts Options) (int, error) {
	opts = opts.withDefaults()
	b := &Backend{opts: opts, records: openRecords(opts.StateDir)}
	host, err := cgroup.Open(ctx, cgroup.Options{Instance: instance(opts.StateDir), Parent: opts.CgroupParent, Logger: opts.Logger})
	if err == nil {
		b.cgroups = host
	}
	all, err := b.records.list()
	if err != nil {
		return 0, err
	}
	err = errors.Join(b.sweep(ctx), b.records.old.close())
	if b.cgroups != nil {
		err = errors.Join(err, b.cgroups.Close())
	}
	return len(all), err
}

// sweep ends what an earlier daemon left and nobody claims: the sandboxes of its
// records, and cgroups that no record names. It touches nothing of other daemons, whose
// records and parent cgroups are others.
func (b *Backend) sweep(ctx context.Context) error {
	if err := b.records.tidy(); err != nil {
		return err
	}
	all, err := b.records.list()
	if err != nil {
		return err
	}
	for _, rec := range all {
		if b.claims(rec.ID) {
			continue
		}
		if err := b.endLeftover(ctx, rec); err != nil {
			return fmt.Errorf("end %s, which an earlier daemon left: %w", rec.ID, err)
		}
	}
	if b.cgroups == nil {
		return nil
	}
	names, err := b.cgroups.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if b.claims(sandbox.ID(name)) {
			continue
		}
		if err := b.endCgroup(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// errForeign says that a process is of an ordinary user's earlier namespace, over
// which this one has no rights. It ends itself after its grace.
var errForeign = errors.New("the sandbox is of another user namespace")

// endLeftover ends the sandbox of a record, if it still runs.
func (b *Backend) endLeftover(ctx context.Context, rec record) error {
	log := b.opts.Logger.With("sandbox", rec.ID, "session", rec.Session)
	switch err := killRecorded(ctx, rec, func() error { return b.thawCgroup(rec.slot()) }); {
	case errors.Is(err, errForeign):
		log.Warn("a sandbox of an earlier daemon is left to end itself")
	case err != nil:
		return err
	default:
		log.Info("ended a sandbox of an earlier daemon")
	}
	if b.cgroups != nil {
		if err := b.endCgroup(ctx, rec.slot()); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(b.socketDir(), rec.slot())); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return b.records.remove(rec)
}

func (b *Backend) endCgroup(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, destroyLimit)
	defer cancel()
	s, err := b.cgroups.Open(name)
	if sandbox.KindOf(err) == sandbox.NotFound && err != nil {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(s.Kill(ctx), s.Remove(ctx))
}

// thawCgroup lets a session's processes die: an earlier daemon may have been
// ended while it destroyed a session, which it freezes to kill it.
func (b *Backend) thawCgroup(name string) error {
	if b.cgroups == nil {
		return nil
	}
	s, err := b.cgroups.Open(name)
	if err == nil {
		err = s.Thaw()
	}
	if err != nil && sandbox.KindOf(err) == sandbox.NotFound {
		return nil
	}
	return err
}

// killRecorded kills the process of a record, but only when it is that one:
// same boot, same start, same user. A number alone may be another's by now.
func killRecorded(ctx context.Context, rec record, thaw func() error) error {
	if rec.PID <= 1 || rec.Boot != bootID() {
		return nil
	}
	pidfd, err := unix.PidfdOpen(rec.PID, 0)
	if err != nil {
		return nil // it has ended
	}
	defer func() { _ = unix.Close(pidfd) }()
	if !isRecorded(rec) {
		return nil
	}
	err = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	if errors.Is(err, unix.EPERM) {
		return errForeign
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	if err := thaw(); err != nil {
		return err
	}
	return awaitEnd(ctx, pidfd)
}

// isRecorded reports whether the process of the record's number is the one
// that was recorded. The descriptor opened before keeps it from changing.
func isRecorded(rec record) bool {
	started, err := startTime(rec.PID)
	if err != nil || rec.Started != 0 && started != rec.Started {
		return false
	}
	uid, err := uidOf(rec.PID)
	if err != nil {
		return false
	}
	return uid == rec.UID || rec.State == "creating" && uid == os.Getuid()
}

func awaitEnd(ctx context.Context, pidfd int) error {
	for deadline := time.Now().Add(destroyLimit); time.Now().Before(deadline); {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 100)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.New("it does not end")
}
