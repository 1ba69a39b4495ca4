//go:build linux

package native

import (
	"context"
	"crypto/rand"
	"runtime"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native/pool"
)

// poolKey is what the ready sandboxes of one pool have in common: all that shapes
// their mounts, of which only the template differs within one daemon.
type poolKey struct{ template string }

// readyBytes is what a ready sandbox may take of the host's memory, roughly: that
// of an interpreter which was not forked.
const readyBytes = 16 << 20

// openPool begins to make sandboxes ready, if the options ask for it.
func (b *Backend) openPool(ctx context.Context) {
	if b.opts.PoolMin <= 0 {
		return
	}
	var warm []poolKey
	for _, status := range b.templates {
		if status.Err == nil {
			warm = append(warm, poolKey{status.Template.Name})
		}
	}
	total, _ := b.HostMemory()
	b.pool = pool.New(ctx, pool.Options[poolKey, *box]{
		Make: b.makeReady, Discard: func(x *box) { b.bury(ctx, x) }, Alive: (*box).isAlive,
		Min: b.opts.PoolMin, Max: max(b.opts.PoolMax, b.opts.PoolMin), Total: max(int(total/100*int64(b.opts.PoolShare)/readyBytes), len(warm)),
		Parallel: runtime.NumCPU(), Warm: warm, Limit: b.opts.ConnectTimeout, Logger: b.opts.Logger,
	})
}

// closePool ends what is ready, also when ctx has ended: nobody else would before
// the next daemon starts.
func (b *Backend) closePool(ctx context.Context) error {
	if b.pool == nil {
		return nil
	}
	const limit = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return b.pool.Close(ctx)
}

// Pools tells of the ready sandboxes.
func (b *Backend) Pools() []sandbox.PoolStat {
	if b.pool == nil {
		return nil
	}
	var all []sandbox.PoolStat
	for _, s := range b.pool.Stats() {
		all = append(all, sandbox.PoolStat{
			Template: s.Key.template, Ready: s.Ready, Target: s.Target, Hits: s.Hits, Misses: s.Misses, Failed: s.Failed,
		})
	}
	return all
}

// makeReady makes a sandbox that waits for its session.
func (b *Backend) makeReady(ctx context.Context, key poolKey) (*box, error) {
	b.nurseries[key.template].await(ctx)
	slot := sandbox.ID("pool-" + strings.ToLower(rand.Text()))
	x, err := b.create(ctx, slot, sandbox.Spec{Template: b.template(key.template), Flavor: sandbox.Flavors()[0]}, true)
	if err != nil {
		return nil, err
	}
	x.rehearse(ctx)
	return x, nil
}

// rehearse asks the agent twice for nothing: the first calls touch memory that the
// first of a session then finds there. Where there is none yet, it waits for the kernel.
func (x *box) rehearse(ctx context.Context) {
	if x.direct.isOver() {
		client := x.client.Load()
		_, _ = client.Executions(ctx)
		_, _ = client.Follow(ctx, 0, 0)
		return
	}
	if !x.direct.await(ctx, x) {
		_, _ = x.reach(ctx, "create") // which starts an interpreter
	}
}

func (b *Backend) template(name string) sandbox.Template {
	for _, status := range b.templates {
		if status.Template.Name == name {
			return status.Template
		}
	}
	return sandbox.Template{}
}

func (x *box) isAlive() bool {
	select {
	case <-x.dead:
		return false
	default:
		return true
	}
}

// firstCall is about what a session takes to begin, and to answer once: who asked for
// it waits for that, and nobody for the next ready sandbox.
const firstCall = 5 * time.Millisecond

// takeReady returns a ready sandbox as that of a session, or nil.
func (b *Backend) takeReady(ctx context.Context, id sandbox.ID, spec sandbox.Spec) *box {
	if b.pool == nil {
		return nil
	}
	done := b.pool.Foreground()
	defer time.AfterFunc(firstCall, done)
	x, ok := b.pool.Take(poolKey{spec.Template.Name})
	if !ok {
		return nil
	}
	if err := x.bind(id, spec); err != nil {
		b.opts.Logger.Warn("a ready sandbox could not be given to its session", "sandbox", string(id), "err", err)
		b.burials.Go(func() { b.bury(ctx, x) })
		return nil
	}
	return x
}
