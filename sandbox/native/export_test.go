//go:build linux

package native

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// KillAgent implements [sandboxtest.AgentKiller].
func (x *box) KillAgent() error { return x.signalAgent(unix.SIGKILL) }

// Hangup closes the daemon's connection to an agent, as its death would.
func Hangup(x sandbox.Sandbox) error { return x.(*box).client.Close() }

// Abandon is Hangup by a daemon that is gone, and so does nothing more.
func Abandon(x sandbox.Sandbox) error {
	b := x.(*box)
	b.mu.Lock()
	b.ending = true
	b.mu.Unlock()
	return b.client.Close()
}

// Subordinate returns the ids that a file grants this user.
func Subordinate(file string) (start, size int) {
	r := subordinate(file)
	return r.start, r.size
}

// Forget makes a backend lose sight of a sandbox, as a fault of ours would.
func Forget(b *Backend, x sandbox.Sandbox) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.boxes, x.ID())
}

// FreezeAnyway freezes what runs, as a daemon does that destroys a sandbox.
func FreezeAnyway(ctx context.Context, x sandbox.Sandbox) error {
	return x.(*box).cgroup.Freeze(ctx)
}
