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

// AwaitZygotes waits until each template that can have a zygote has one.
func AwaitZygotes(ctx context.Context, b *Backend) {
	for _, n := range b.nurseries {
		n.await(ctx)
	}
}

// ZygotePID returns the process id of a template's zygote, or 0.
func ZygotePID(b *Backend, template string) (pid int) {
	n := b.nurseries[template]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current != nil {
		return n.current.pid
	}
	return 0
}

// KillZygote kills a template's zygote.
func KillZygote(b *Backend, template string) {
	_ = unix.Kill(ZygotePID(b, template), unix.SIGKILL)
}

// ReadySandboxes returns how many of a template are ready.
func ReadySandboxes(b *Backend, template string) (n int) {
	for _, s := range b.pool.Stats() {
		if s.Key.template == template {
			n += s.Ready
		}
	}
	return n
}

// TakenReady returns how many ready sandboxes were given to sessions.
func TakenReady(b *Backend) (n int) {
	for _, s := range b.pool.Stats() {
		n += int(s.Hits)
	}
	return n
}

// FreezeWork stops what a sandbox runs, in use or not.
func FreezeWork(ctx context.Context, x sandbox.Sandbox) error { return x.(*box).cgroup.Freeze(ctx) }
