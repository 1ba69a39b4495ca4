//go:build linux

package native

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// KillAgent implements [sandboxtest.AgentKiller].
func (x *box) KillAgent() error { return x.signalAgent(unix.SIGKILL) }

// Hangup closes the daemon's connection to an agent, as its death would.
func Hangup(x sandbox.Sandbox) error { return x.(*box).client.Load().Close() }

// Abandon is Hangup by a daemon that is gone, and so does nothing more.
func Abandon(x sandbox.Sandbox) error {
	b := x.(*box)
	b.mu.Lock()
	b.ending = true
	b.mu.Unlock()
	b.hangUp()
	return nil
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

// ForkTwice has zygotes do without machine code.
func ForkTwice(o *Options) { o.noBetween = true }

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

// StopZygote stops a template's zygote where it is.
func StopZygote(b *Backend, template string) {
	_ = unix.Kill(ZygotePID(b, template), unix.SIGSTOP)
}

// ContinueZygote has one go on.
func ContinueZygote(pid int) { _ = unix.Kill(pid, unix.SIGCONT) }

// AwaitFork waits until a template's zygote was asked for a kernel.
func AwaitFork(ctx context.Context, b *Backend, template string) {
	awaitFork(ctx, b.nurseries[template])
}

func awaitFork(ctx context.Context, n *nursery) {
	asked := func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.current != nil && n.current.forks > 0
	}
	for ctx.Err() == nil && !asked() {
		rest(ctx, time.Millisecond)
	}
}

// AskAfterEnd ends a context when its request has been answered, and returns how the
// next one fares.
func AskAfterEnd(ctx context.Context, b *Backend, template string) error {
	n := b.nurseries[template]
	n.mu.Lock()
	defer n.mu.Unlock()
	ended, cancel := context.WithCancel(ctx)
	stop := heed(ended, n.current.conn)
	cancel()
	stop()
	_, err := n.current.ask(ctx, []byte(`{}`), nil) // which it refuses
	return err
}

// PutLeavesWorn reports whether a nursery is to replace a zygote that has just come.
func PutLeavesWorn() bool {
	n := newNursery(nil, 1, nil)
	n.replace()
	n.put(nil)
	return len(n.worn) > 0
}

// EndNurseryInFork ends a nursery whose zygote hangs in a fork, and reports whether
// the zygote is there afterwards.
func EndNurseryInFork(ctx context.Context, b *Backend, t sandbox.Template) (left bool, err error) {
	n := newNursery(func(ctx context.Context) (*zygote, error) { return b.startZygote(ctx, t) }, 100, b.opts.Logger)
	running, end := context.WithCancel(ctx)
	defer end()
	ended := make(chan struct{})
	go func() { defer close(ended); n.run(running, t) }()
	n.await(ctx)
	if !n.ready() {
		return false, errNoZygote
	}
	pid := n.current.pid
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return false, err
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false, err
	}
	defer func() { _ = unix.Close(self) }()
	forked := make(chan error, 1)
	go func() {
		there := make(chan struct{})
		close(there)
		_, err := n.fork(ctx, there, func(ctx context.Context, z *zygote) (*os.File, error) {
			return z.fork(ctx, 1, true, self, os.Stdin, nil)
		})
		forked <- err
	}()
	awaitFork(ctx, n)
	end()
	<-ended
	left = !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	if err := <-forked; !errors.Is(err, errZygote) {
		return left, errors.Join(errors.New("the fork that hung"), err)
	}
	return left, nil
}

// NameWhenClosed names a sandbox when nobody does that any more.
func NameWhenClosed() error {
	n, err := newNamer()
	if err != nil {
		return nil //nolint:nilerr // the caller wants another
	}
	n.close()
	return n.name(&box{}, "late")
}

// EndOrphans looks once for what nobody claims, and ends it.
func EndOrphans(ctx context.Context, b *Backend) error { return b.endOrphans(ctx) }

// WasReady reports whether a sandbox was made before its session was known.
func WasReady(x sandbox.Sandbox) bool { return x.(*box).pooled }

// StartZygoteOf starts a zygote of another interpreter than the template's, while
// nothing else is made, and returns why that failed.
func StartZygoteOf(ctx context.Context, b *Backend, t sandbox.Template, interpreter string) error {
	before := b.interpreters[t.Name]
	b.interpreters[t.Name] = interpreter
	defer func() { b.interpreters[t.Name] = before }()
	z, err := b.startZygote(ctx, t)
	if err == nil {
		z.end()
	}
	return err
}

// HasAgent reports whether there is an agent in a sandbox.
func HasAgent(x sandbox.Sandbox) bool { return x.(*box).direct.isOver() }

// SendAndForget sends code to a kernel as a daemon does that ends at once.
func SendAndForget(ctx context.Context, x sandbox.Sandbox, code string) error {
	b := x.(*box)
	d := b.direct
	if err := d.take(ctx); err != nil {
		return err
	}
	defer d.leave()
	until := time.Now().Add(time.Minute)
	if err := errors.Join(d.greet(b, until), d.bind("", nil, until)); err != nil {
		return err
	}
	return (&run{direct: d, box: b, exec: &sandbox.Exec{Code: code}}).send(until)
}

// HasPrinted reports whether a kernel has printed what nobody has read, as it has not
// rested since its last run.
func HasPrinted(x sandbox.Sandbox) bool { return x.(*box).direct.watch.hasOutput() }

// KernelHasEnded reports whether the kernel of a sandbox without an agent has ended, for
// which nobody has waited.
func KernelHasEnded(x sandbox.Sandbox) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(x.(*box).direct.pid) + "/stat")
	return err != nil || bytes.Contains(stat, []byte(") Z"))
}
