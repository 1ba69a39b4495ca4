//go:build linux

package native

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/setup"
	"github.com/sandwarden/sandwarden/sandbox/native/cgroup"
)

// Create implements [sandbox.Backend].
func (b *Backend) Create(ctx context.Context, id sandbox.ID, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if b.ready != nil {
		return nil, b.ready
	}
	if err := b.permitted(nil); err != nil {
		return nil, err
	}
	if err := b.usable(spec.Template); err != nil {
		return nil, err
	}
	done, err := b.enter()
	if err != nil {
		return nil, err
	}
	defer done()
	if x := b.takeReady(ctx, id, spec); x != nil {
		x.startAnew(ctx)
		return x, nil
	}
	leave, err := b.line(ctx)
	if err != nil {
		return nil, createError(id, err)
	}
	defer leave()
	x, err := b.create(ctx, id, spec, false)
	if err != nil {
		return nil, err
	}
	x.startAnew(ctx)
	return x, nil
}

// startAnew has an agent where the session's variables need an interpreter that starts with
// them: who comes after this daemon could not tell.
func (x *box) startAnew(ctx context.Context) {
	if !x.direct.isOver() && kernel.ReadAtStart(x.spec.Template.Language, x.env) {
		x.needAgent(ctx)
	}
}

// line waits for a place among the sandboxes that are being made: more at once than
// the processors can start would only make each of them late. Those that are made
// ahead give way meanwhile.
func (b *Backend) line(ctx context.Context) (leave func(), err error) {
	select {
	case b.places <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	done := func() {}
	if b.pool != nil {
		done = b.pool.Foreground()
	}
	return func() { done(); <-b.places }, nil
}

// permitted refuses sandboxes with fewer limits than promised, unless the
// operator allows them. why is for the log.
func (b *Backend) permitted(why error) error {
	if len(b.unenforced) == 0 || b.opts.AllowUnenforced {
		return nil
	}
	remedy := "run as root"
	if b.limits != "" {
		remedy = b.limits
	}
	return &sandbox.Error{
		Op: "create", Kind: sandbox.Unavailable,
		Detail: "these limits cannot be enforced for this user: " + strings.Join(b.unenforced, ", "),
		Remedy: remedy + "; or allow it by SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1; sandwarden doctor says what is missing",
		Err:    why,
	}
}

// usable refuses a template that was not proven.
func (b *Backend) usable(t sandbox.Template) error {
	for _, status := range b.templates {
		if status.Template == t {
			return status.Err
		}
	}
	return &sandbox.Error{Op: "create", Kind: sandbox.Invalid, Detail: fmt.Sprintf("there is no template %q", t.Name)}
}

// create makes a sandbox in steps, and takes back all of them when one fails.
// pooled: it is to be ready for a session that is not known yet.
func (b *Backend) create(ctx context.Context, id sandbox.ID, spec sandbox.Spec, pooled bool) (x *box, err error) {
	x, err = b.newBox(id, spec)
	if err != nil {
		return x, err
	}
	x.pooled = pooled
	defer func() {
		if err != nil {
			err = createError(id, err)
			b.bury(ctx, x)
			x = nil
		}
	}()
	if err := b.records.begin(x.record); err != nil {
		return x, err
	}
	if err := x.makeCgroup(spec.Flavor); err != nil {
		return x, err
	}
	if err := x.begin(ctx); err != nil {
		return x, err
	}
	x.record.State = "ready"
	if pooled {
		x.record.State = "pooled"
	}
	if err := b.records.write(x.record); err != nil {
		return x, err
	}
	return x, nil
}

// begin starts the agent and speaks with it, which may take so long on a very
// busy host.
func (x *box) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, x.backend.opts.ConnectTimeout)
	defer cancel()
	if err := x.launch(ctx); err != nil || x.direct != nil {
		return err
	}
	return x.connect(ctx)
}

// bury gives back what a sandbox that never came to be holds. What cannot be
// given back at once is tried again, for as long as is sensible.
func (b *Backend) bury(ctx context.Context, x *box) {
	const tries, pause = 10, 3 * time.Second
	attempt := func() error {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyLimit)
		defer cancel()
		return x.Destroy(clean)
	}
	err := attempt()
	if err == nil {
		return
	}
	b.burials.Go(func() { // ends with its tries, or with the backend
		for range tries {
			b.opts.Logger.Warn("a sandbox that was not made cannot be ended yet", "sandbox", string(x.id), "err", err)
			select {
			case <-time.After(pause):
			case <-b.closing:
				return
			}
			if err = attempt(); err == nil {
				return
			}
		}
	})
}

func createError(id sandbox.ID, err error) error {
	kind := sandbox.KindOf(err)
	if isExhausted(err) {
		kind = sandbox.Exhausted
	}
	return &sandbox.Error{Op: "create", ID: string(id), Kind: kind, Err: err}
}

// isExhausted tells whether the host, or the daemon, has run out of something.
func isExhausted(err error) bool {
	return slices.ContainsFunc([]error{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.ENOSPC}, func(of error) bool { return errors.Is(err, of) })
}

// newBox takes a user id and registers the sandbox; from here on Destroy gives
// everything back.
func (b *Backend) newBox(id sandbox.ID, spec sandbox.Spec) (*box, error) {
	uid, ok := b.uids.take()
	if !ok {
		return nil, &sandbox.Error{
			Op: "create", ID: string(id), Kind: sandbox.Exhausted,
			Limit:  &sandbox.Limit{Resource: "users", Current: int64(b.uids.size), Max: int64(b.uids.size)},
			Detail: "no user id is free", Remedy: "stop sessions that are not needed",
		}
	}
	secret := make([]byte, agent.SecretSize)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	x := &box{
		backend: b, id: id, spec: spec, env: spec.Env, dead: make(chan struct{}), exited: make(chan struct{}), turn: make(chan struct{}, 1),
		record: record{
			ID: id, Session: spec.Session, Template: spec.Template.Name, Flavor: spec.Flavor.Name, Memory: spec.Flavor.MemoryMB, Disk: spec.Flavor.DiskMB, UID: uid,
			State: "creating", Boot: bootID(), Secret: secret, Env: spec.Env, Agent: b.hash, Protocol: agent.Version, Created: time.Now(),
		},
	}
	b.mu.Lock()
	b.boxes[id] = x
	b.mu.Unlock()
	return x, nil
}

func (x *box) makeCgroup(f sandbox.Flavor) error {
	if x.backend.cgroups == nil {
		return nil
	}
	var err error
	x.cgroup, err = x.backend.cgroups.Create(x.record.slot(), x.limits(f))
	return err
}

func (x *box) limits(f sandbox.Flavor) cgroup.Limits {
	return cgroup.Limits{MemoryBytes: int64(f.MemoryMB) << 20, Pids: f.Pids, CPUs: f.CPUs, UID: x.record.UID}
}

// launch starts what becomes the agent, and waits until it serves, or waits for being
// needed. Where there is a zygote it forks the kernel meanwhile, and one that waits for
// its session is there at the end.
func (x *box) launch(ctx context.Context) error {
	gifts, err := x.openGifts()
	if err != nil {
		return err
	}
	ready, err := x.startWith(gifts)
	if err != nil {
		gifts.close()
		return err
	}
	defer func() { _ = ready.Close() }()
	birth, err := x.forkBeside(ctx, gifts)
	if err != nil {
		return err
	}
	err = awaitWord(ctx, ready, boot.WallsWord)
	birth.tell(err == nil)
	if err != nil || x.direct != nil {
		return err
	}
	if err := awaitWord(ctx, ready, boot.ReadyWord); err != nil {
		return err
	}
	if x.pooled {
		<-birth.done
	}
	return nil
}

// startWith starts the agent with its configuration and further files, and returns
// the pipe on which it says how far it is.
func (x *box) startWith(g *gifts) (ready *os.File, err error) {
	config, err := x.config(g).Encode()
	if err != nil {
		return nil, err
	}
	socket, err := x.bindSocket()
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }() // the agent has its own, as of the others
	configRead, configWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ready, told, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, configRead.Close(), configWrite.Close())
	}
	defer func() { _ = told.Close() }()
	files := []*os.File{configRead, socket, told, x.backend.program, x.backend.trees[x.spec.Template.Name], x.backend.pause, x.backend.alive}
	err = x.startAgent(append(files, g.files()...))
	_ = configRead.Close() // before the write, which then ends with a reader that has ended
	if err == nil {
		_, err = configWrite.Write(config)
	}
	err = errors.Join(err, configWrite.Close()) // its end lets the agent begin
	if err != nil {
		return nil, errors.Join(err, ready.Close())
	}
	return ready, nil
}

// config is the agent's, with what it is given.
func (x *box) config(g *gifts) boot.Config {
	c := x.backend.agentConfig(x.spec.Template)
	c.Hostname = hostname(x.spec.Session)
	c.UID, c.GID, c.Secret = x.record.UID, x.record.UID, x.record.Secret
	c.DiskBytes, c.Inodes = int64(x.spec.Flavor.DiskMB)<<20, x.spec.Flavor.Inodes
	c.JoinFiles, c.WorkFolder = len(g.joins), g.folder != nil
	if len(g.joins) > 0 {
		c.JoinMode = boot.JoinThread
		if x.backend.cgroups.Version() == 2 {
			c.JoinMode = boot.JoinSelf
		}
	}
	c.Forked, c.Prestart, c.AgentFiles, c.Late = g.kernel != nil, x.pooled, len(g.agent), x.direct != nil
	if g.born != nil {
		c.Group = kernelGroup
	}
	return c
}

// agentConfig is what the agents of all sandboxes of a template have in common.
func (b *Backend) agentConfig(t sandbox.Template) boot.Config {
	return boot.Config{
		Walls: boot.Walls{UserNS: mappedIDs() < allIDs, Processes: b.processes(), Filter: b.filter, Volumes: b.agentVolumes()},
		Grace: b.opts.OrphanGrace, RingBytes: 1 << 20, Env: baseEnv(),
		Kernel: boot.Kernel{Language: t.Language, Interpreter: b.interpreters[t.Name], Driver: driverPath(t.Language)},
	}
}

// processes is the second line behind the cgroup's limit of tasks, and that of the
// largest flavor, since a sandbox gets its own late. It counts by user, so it says
// nothing where sandboxes share one.
func (b *Backend) processes() uint64 {
	if b.uids.shared {
		return 0
	}
	const ofAgent = 64
	most := 0
	for _, f := range sandbox.Flavors() {
		most = max(most, f.Pids)
	}
	return uint64(most) + ofAgent
}

// startAgent starts the agent's first stage in new namespaces. files become
// its descriptors from boot.ConfigFD on.
func (x *box) startAgent(files []*os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	fds := []uintptr{null.Fd(), null.Fd(), null.Fd()}
	for _, f := range files {
		fds = append(fds, f.Fd())
	}
	attr := &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1"}, Files: fds,
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			PidFD:      &x.pidfd,
			Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET, // and of mounts a copy of the tree's
		},
	}
	pid, err := x.backend.nest.start(x.backend.init, []string{"sandwarden-agent"}, attr)
	if err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	x.record.PID = pid
	_ = unix.SetNonblock(x.pidfd, true) // so that it can be polled
	x.process = os.NewFile(uintptr(x.pidfd), "agent")
	go x.watch(pid)
	if x.record.Started, err = startTime(pid); err != nil {
		return err
	}
	return x.backend.records.write(x.record)
}

// baseEnv is what every process inside begins with.
func baseEnv() []string {
	return []string{"PATH=" + setup.Path, "HOME=/work", "TMPDIR=/tmp", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TERM=dumb", "USER=sandbox", "LOGNAME=sandbox", "SHELL=/bin/bash"}
}

// hostname makes a session's name fit for one.
func hostname(session string) string {
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}
	name := strings.Trim(strings.Map(keep, session), "-")
	if name == "" {
		return "sandbox"
	}
	return name[:min(len(name), 63)]
}
