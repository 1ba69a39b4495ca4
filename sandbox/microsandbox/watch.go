package microsandbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// missesToDie is how many looks in a row must miss a sandbox.
const missesToDie = 2

// sweepers is how many orphans are ended side by side.
const sweepers = 8

// watch looks at the server until life ends: whether it is there, which of our
// sandboxes still run, and which run that nobody owns.
func (b *Backend) watch(life context.Context) {
	for sleep(life, b.opts.WatchInterval) == nil {
		b.look(life)
	}
}

// look looks once, and notes what it sees.
func (b *Backend) look(ctx context.Context) {
	began := time.Now()
	h, err := b.server.health(ctx)
	if err == nil && b.isLoop(h) {
		err = &sandbox.Error{
			Op: "start", Kind: sandbox.Unavailable, Detail: "the microsandbox server at MSB_SERVER_URL leads back to this daemon",
			Remedy: "let it name a server that makes sandboxes itself, or unset it to make them here",
		}
	}
	var all []metric
	if err == nil {
		all, err = b.server.metrics(ctx, "")
	}
	if ctx.Err() != nil {
		return
	}
	b.note(h, err)
	if err != nil {
		return
	}
	b.missing(all, began)
	if b.sweepIsDue() {
		b.sweep(ctx, all)
	}
}

// isLoop reports whether sandboxes of the server would come back to us.
func (b *Backend) isLoop(h health) bool {
	return h.Instance == b.opts.Instance || slices.Contains(h.Behind, b.opts.Instance)
}

// note takes over what a look has brought, and logs what is new of it.
func (b *Backend) note(h health, err error) {
	b.mu.Lock()
	was := b.ready
	b.ready = nil
	if err != nil {
		b.ready = fault("start", "", err)
	} else {
		b.isOurs, b.behind = h.Instance != "", nil
		if b.isOurs {
			b.behind = append([]string{h.Instance}, h.Behind...)
		}
	}
	b.mu.Unlock()
	switch {
	case err != nil && (was == nil || detailOf(was) != detailOf(err)):
		b.opts.Logger.Error("the microsandbox server is of no use", "err", err)
	case err == nil && was != nil:
		b.opts.Logger.Info("the microsandbox server is there", "sandwarden", h.Instance)
	}
}

// detailOf is what clients hear of an error, without what differs each time.
func detailOf(err error) string {
	if e, ok := errors.AsType[*sandbox.Error](fault("start", "", err)); ok {
		return e.Detail
	}
	return ""
}

// missing lets those sandboxes die that the server does not run any more. began
// is when it was asked: younger ones it may not know yet.
func (b *Backend) missing(all []metric, began time.Time) {
	running := map[string]bool{}
	for _, m := range all {
		running[m.Name] = m.Running
	}
	b.mu.Lock()
	boxes := make([]*box, 0, len(b.boxes))
	for _, x := range b.boxes {
		boxes = append(boxes, x)
	}
	b.mu.Unlock()
	for _, x := range boxes {
		x.seen(running[x.name], began)
	}
}

// sweepIsDue tells whether it is time to look for orphans. A server may go on
// with a start that we gave up, also after it was told to stop what was not
// there yet: so for a while each look is one for orphans.
func (b *Backend) sweepIsDue() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.swept) >= b.opts.OrphanInterval || time.Now().Before(b.doubt)
}

// sweep ends the sandboxes of ours that nobody owns, and no others.
func (b *Backend) sweep(ctx context.Context, all []metric) {
	var orphans []string
	b.mu.Lock()
	b.swept = time.Now()
	for _, m := range all {
		id, ours := b.idOf(m.Name)
		if ours && m.Running && b.boxes[id] == nil && !b.claimed[id] {
			orphans = append(orphans, m.Name)
		}
	}
	b.mu.Unlock()
	var stopping sync.WaitGroup
	gate := make(chan struct{}, sweepers)
	for _, name := range orphans {
		gate <- struct{}{}
		stopping.Go(func() {
			defer func() { <-gate }()
			if err := b.server.stop(ctx, name); err != nil {
				b.opts.Logger.Warn("a sandbox without an owner cannot be stopped", "name", name, "err", err)
				return
			}
			b.opts.Logger.Info("a sandbox without an owner was stopped", "name", name)
		})
	}
	stopping.Wait()
}
