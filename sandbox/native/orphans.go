//go:build linux

package native

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// watchOrphans looks every now and then for sandboxes of this daemon that none
// of its boxes is of: what a fault of ours lost sight of. Those of other daemons
// have records and control groups elsewhere.
func (b *Backend) watchOrphans(ctx context.Context) {
	if b.opts.OrphanInterval <= 0 {
		return
	}
	b.background(ctx, func(ctx context.Context) {
		ticker := time.NewTicker(b.opts.OrphanInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := b.endOrphans(ctx); err != nil {
				b.opts.Logger.Error("failed to end sandboxes that nobody claims", "err", err)
			}
		}
	})
}

// endOrphans ends what nobody claims. What there is is read before it is asked
// who claims it: a sandbox that is made meanwhile is not among it, and one that
// was being made was claimed before anything of it was there.
func (b *Backend) endOrphans(ctx context.Context) error {
	all, err := b.records.list()
	if err != nil {
		return err
	}
	var groups []string
	if b.cgroups != nil {
		if groups, err = b.cgroups.List(); err != nil {
			return err
		}
	}
	var errs []error
	for _, rec := range slices.DeleteFunc(all, func(r record) bool { return b.claims(r.ID) }) {
		errs = append(errs, b.endLeftover(ctx, rec))
	}
	for _, name := range groups {
		if !b.claims(sandbox.ID(name)) {
			errs = append(errs, b.endCgroup(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// claims reports whether a sandbox, or what is so named on the host, is somebody's.
func (b *Backend) claims(id sandbox.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.boxes[id]
	return ok || b.claimed[id] || b.slots[id]
}

// leaveSlot says that nothing of that name is on the host any more.
func (b *Backend) leaveSlot(slot sandbox.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.slots, slot)
}
