//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/embedded"
	"github.com/sandwarden/sandwarden/sandbox/agent/pause"
	"github.com/sandwarden/sandwarden/sandbox/native/cgroup"
	"github.com/sandwarden/sandwarden/sandbox/native/doctor"
	"github.com/sandwarden/sandwarden/sandbox/native/filter"
	"github.com/sandwarden/sandwarden/sandbox/native/pool"
)

// Name is the technique's name in the configuration.
const Name = "native"

// Options say how a Backend is to be made. The zero value of a field that is
// not called required is its default.
type Options struct {
	StateDir   string // required: records
	RuntimeDir string // required: sockets
	// Interpreters are the host's interpreters; the defaults are those of
	// Linux distributions below /usr/bin.
	Interpreters map[sandbox.Language]string
	// OrphanGrace is how long a sandbox outlives a daemon that does not come
	// back; 10 min when zero.
	OrphanGrace time.Duration
	// OrphanInterval is the time between looks for sandboxes of ours that nobody
	// claims; zero looks at the start alone.
	OrphanInterval time.Duration
	// ConnectTimeout bounds reaching the agent of a new sandbox; 30 s when zero.
	ConnectTimeout time.Duration
	Volumes        []sandbox.Volume // that every sandbox sees
	// Trusted are files that the daemon believes, there or not: no sandbox may
	// write where they are. Secret ones no sandbox may even see.
	Trusted, Secret []string
	// Claimed are the sandboxes of an earlier daemon that are to be adopted. The
	// others are ended at the start.
	Claimed []sandbox.ID
	// AllowUnenforced lets sandboxes start though this user cannot have all
	// limits. What is missing is in [sandbox.Capabilities].
	AllowUnenforced bool
	// Memory is what all sandboxes may use together, in bytes; zero is the
	// host's memory less a reserve.
	Memory int64
	// CgroupParent is a control group, named from the root of each hierarchy,
	// in which those of sandboxes are made, such as a slice of systemd. Empty
	// is the highest place that is the daemon's to use.
	CgroupParent string
	// PoolMin is how many sandboxes of each template are ready from the start;
	// zero keeps none ready, and then PoolMax and PoolShare say nothing.
	PoolMin int
	// PoolMax is how many of one kind are ready at most, when many are asked for.
	PoolMax int
	// PoolShare is how much of the host's memory all ready sandboxes together
	// may take, in percent.
	PoolShare int
	// NoZygote starts an interpreter for each Python kernel, instead of forking
	// it from one that is loaded.
	NoZygote bool
	// Preimport are modules that zygotes import besides the standard set, as
	// dotted names.
	Preimport []string
	// ZygoteForks is how many kernels a zygote forks before another takes its
	// place; with zero there are no zygotes.
	ZygoteForks int
	Logger      *slog.Logger // discards when nil

	noBetween bool // zygotes fork twice, as where there is no machine code
}

func (o Options) withDefaults() Options {
	if o.OrphanGrace == 0 {
		o.OrphanGrace = 10 * time.Minute
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Memory == 0 {
		total, _ := cgroup.HostMemory()
		o.Memory = total - max(total/10, min(total/4, 1<<30))
	}
	return o
}

// A Backend makes sandboxes of namespaces. It implements [sandbox.Backend].
type Backend struct {
	opts    Options
	ready   error // why there can be no sandbox
	nest    *nest
	trees   map[string]*os.File // by template: mount namespaces, of which sandboxes have copies
	cgroups *cgroup.Host        // nil where there are none
	program *os.File            // the agent, in a sealed memory file
	init    *os.File            // the program that becomes it, likewise
	pause   *os.File            // the program that waits until one is needed, likewise; empty where there is none
	alive   *os.File            // a pipe that ends with the daemon, or with Close; for sandboxes
	lives   *os.File            // its other end
	late    bool                // agents are started when they are needed

	canPause bool
	watches  atomic.Int64 // of kernels without an agent; see mostWatches
	hash     string       // of the agent
	filter   []byte
	records  records
	uids     *uids

	templates    []sandbox.TemplateStatus
	volumes      []volume
	enforced     []string
	unenforced   []string
	limits       string            // how to get what is not enforced, where that is known
	interpreters map[string]string // by template
	foreign      bool              // sandboxes have ids of a user namespace over which the next daemon has no rights

	nurseries map[string]*nursery // by template; none where no kernel can be forked

	pool  *pool.Pool[poolKey, *box] // nil without
	namer *namer
	room  *room

	places  chan struct{} // holds one of each sandbox that is being made for a session
	closed  sync.Once
	closing chan struct{}  // closed by Close
	burials sync.WaitGroup // of sandboxes that could not be ended at once, the look for orphans, and zygotes
	unmade  chan struct{}  // closed when nothing is made for sessions, and nothing will be

	mu      sync.Mutex
	making  int  // for sessions
	shut    bool // nothing more is made for them
	boxes   map[sandbox.ID]*box
	slots   map[sandbox.ID]bool // that differ from the ids of their sandboxes
	claimed map[sandbox.ID]bool // of an earlier daemon, and not adopted yet
}

// New makes the backend, ends what an earlier daemon left in the same state
// directory and nobody claims, and proves each template by running its interpreter in a sandbox.
//
// A host on which no sandbox can be made is no error: then Ready says why, so
// that the daemon can tell its clients. Errors are for what is wrong with the
// options.
func New(ctx context.Context, opts Options) (*Backend, error) {
	opts = opts.withDefaults()
	if opts.StateDir == "" || opts.RuntimeDir == "" {
		return nil, &sandbox.Error{Op: "start", Kind: sandbox.Invalid, Detail: "a state and a runtime directory are needed"}
	}
	b := &Backend{opts: opts, places: make(chan struct{}, 2*runtime.NumCPU()), closing: make(chan struct{}), unmade: make(chan struct{}), boxes: map[sandbox.ID]*box{}, slots: map[sandbox.ID]bool{}, trees: map[string]*os.File{}, claimed: map[sandbox.ID]bool{}, records: openRecords(opts.StateDir)}
	for _, id := range opts.Claimed {
		b.claimed[id] = true
	}
	b.claimSlots()
	for _, dir := range []string{b.records.dir, b.socketDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, &sandbox.Error{Op: "start", Kind: sandbox.Invalid, Detail: "a directory cannot be made", Err: err}
		}
	}
	if err := b.records.old.open(); err != nil {
		return nil, &sandbox.Error{Op: "start", Kind: sandbox.Invalid, Detail: "a directory cannot be made", Err: err}
	}
	if err := b.checkVolumes(); err != nil {
		return nil, err
	}
	err := b.prepare(ctx)
	if err != nil && sandbox.KindOf(err) == sandbox.Invalid { // a volume that cannot be as it was asked for
		return nil, errors.Join(err, b.Close(ctx))
	}
	if err != nil {
		b.ready = unavailable(ctx, err)
		opts.Logger.Error("no sandbox can be made here", "err", err)
	} else {
		b.watchOrphans(ctx)
		b.openNurseries(ctx)
		b.openPool(ctx)
	}
	return b, nil
}

// prepare does all that is done once.
func (b *Backend) prepare(ctx context.Context) error {
	if NeedsUserNamespace() { // one was tried where it helps, so all that follows would fail
		return errNoRights
	}
	if err := b.openCgroups(ctx); err != nil {
		return err
	}
	if err := b.sweep(ctx); err != nil {
		return err
	}
	var err error
	if b.filter, err = filter.Program(); err != nil {
		return err
	}
	if err = b.loadAgent(); err != nil {
		return err
	}
	if b.room, err = newRoom(); err != nil { // before the next line, from which on sandboxes may be adopted
		return fmt.Errorf("a network namespace: %w", err)
	}
	b.uids = newUIDs(instance(b.opts.StateDir), mappedIDs())
	b.foreign = mappedIDs() < allIDs && !b.uids.shared // the one id of all is ours in each namespace
	b.reserve()
	if b.uids.shared {
		b.unenforced = append(b.unenforced, "uid")
	} else {
		b.enforced = append(b.enforced, "uid")
	}
	if b.nest, err = newNest(b.opts.RuntimeDir); err != nil {
		return err
	}
	if b.namer, err = newNamer(); err != nil {
		return err
	}
	if err := b.pinVolumes(); err != nil {
		return err
	}
	return b.prove(ctx)
}

// openCgroups opens the host's cgroups. Without them sandboxes need the
// operator's leave.
func (b *Backend) openCgroups(ctx context.Context) error {
	host, err := cgroup.Open(ctx, cgroup.Options{
		Instance: instance(b.opts.StateDir), Parent: b.opts.CgroupParent, Memory: b.opts.Memory, Logger: b.opts.Logger,
	})
	if err != nil {
		b.unenforced = []string{"memory", "pids", "cpu"}
		_, b.limits = doctor.Explain(ctx)
		return b.permitted(err)
	}
	b.cgroups = host
	if b.enforced, b.unenforced = host.Enforced(); len(b.unenforced) > 0 {
		_, b.limits = doctor.Explain(ctx)
	}
	return nil
}

func (b *Backend) loadAgent() error {
	program, err := embedded.Agent()
	if err != nil {
		return err
	}
	b.hash = agent.Hash(program)
	if b.program, err = sealed("sandwarden-agent", agentLowest, program); err != nil {
		return err
	}
	first, err := embedded.Init()
	if err != nil {
		return err
	}
	if b.init, err = sealed("sandwarden-init", initLowest, first); err != nil {
		return err
	}
	if b.alive, b.lives, err = os.Pipe(); err != nil {
		return err
	}
	waits, ok := pause.Program(b.opts.OrphanGrace)
	b.canPause = ok
	b.pause, err = sealed("sandwarden-pause", agentLowest, waits)
	return err
}

// Name implements [sandbox.Backend].
func (b *Backend) Name() string { return Name }

// Ready implements [sandbox.Backend].
func (b *Backend) Ready() error { return b.ready }

// Capabilities implements [sandbox.Backend].
func (b *Backend) Capabilities() sandbox.Capabilities {
	return sandbox.Capabilities{
		Isolation:  "process",
		Enforced:   append([]string{"namespaces", "seccomp", "disk", "network"}, b.enforced...),
		Unenforced: b.unenforced,
		Freeze:     b.cgroups != nil && !slices.Contains(b.unenforced, "freeze"),
		Templates:  b.templates,
		Volumes:    b.volumeStatuses(),
		Survives:   b.uids != nil && !b.foreign,
	}
}

// List implements [sandbox.Backend].
func (b *Backend) List(context.Context) ([]sandbox.ID, error) {
	all, err := b.records.list()
	if err != nil {
		return nil, &sandbox.Error{Op: "list", Kind: sandbox.Other, Err: err}
	}
	ids := make([]sandbox.ID, 0, len(all))
	for _, r := range all {
		if r.State != "pooled" {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// Pressure returns what all sandboxes use together and may use, in bytes; a
// limit of 0 is none.
func (b *Backend) Pressure() (used, limit int64) {
	if b.cgroups == nil {
		return 0, 0
	}
	return b.cgroups.Memory()
}

// HostMemory returns the memory of this host and what of it is free, in bytes,
// as the limits of the daemon's own cgroup have it.
func (b *Backend) HostMemory() (total, available int64) { return cgroup.HostMemory() }

// Close implements [sandbox.Backend]. Once it has been called, it does nothing.
func (b *Backend) Close(ctx context.Context) (err error) {
	b.closed.Do(func() { err = b.close(ctx) })
	return err
}

func (b *Backend) close(ctx context.Context) error {
	b.shutDoor()
	err := b.closePool(ctx)
	b.mu.Lock()
	close(b.closing)
	b.mu.Unlock()
	err = errors.Join(err, b.settle(ctx))
	if b.namer != nil {
		b.namer.close()
	}
	if b.room != nil {
		err = errors.Join(err, b.room.close())
	}
	err = errors.Join(err, b.records.old.close())
	if b.nest != nil {
		b.nest.close()
	}
	for _, file := range append(slices.Collect(maps.Values(b.trees)), b.program, b.init, b.pause, b.alive, b.lives) {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	if b.cgroups != nil {
		err = errors.Join(err, b.cgroups.Close())
	}
	return err
}

// enter begins to make a sandbox for a session, which Close waits for until leave
// is called.
func (b *Backend) enter() (leave func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return nil, &sandbox.Error{Op: "create", Kind: sandbox.Unavailable, Detail: "the daemon is ending", Remedy: "try again when it has started"}
	}
	b.making++
	return b.leave, nil
}

func (b *Backend) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.making--
	if b.shut && b.making == 0 {
		close(b.unmade)
	}
}

// shutDoor is called once.
func (b *Backend) shutDoor() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
	if b.making == 0 {
		close(b.unmade)
	}
}

// awaitMade waits until nothing is made for sessions, or ctx ends.
func (b *Backend) awaitMade(ctx context.Context) error {
	select { // a context that has ended is none of our business then
	case <-b.unmade:
		return nil
	default:
	}
	select {
	case <-b.unmade:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sandboxes are still being made: %w", context.Cause(ctx))
	}
}

// settle waits until nothing is being made or destroyed any more, or ctx ends: what
// does needs the cgroups.
func (b *Backend) settle(ctx context.Context) error {
	made := b.awaitMade(ctx)
	b.burials.Wait()
	if made != nil {
		return made
	}
	b.mu.Lock()
	left := slices.Collect(maps.Values(b.boxes))
	b.mu.Unlock()
	return letGo(ctx, left)
}

// letGo leaves sandboxes to a later daemon, side by side, once nobody destroys them.
func letGo(ctx context.Context, boxes []*box) error {
	errs := make([]error, len(boxes))
	var all sync.WaitGroup
	for i, x := range boxes {
		all.Go(func() {
			if errs[i] = x.settled(ctx); errs[i] == nil {
				errs[i] = x.letGo(ctx)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (b *Backend) socketDir() string { return filepath.Join(b.opts.RuntimeDir, "agents") }

// errNoRights says that the process has not the rights of root, and could not
// get those of a namespace.
var errNoRights = errors.New("no CAP_SYS_ADMIN, and no user namespace in which to have it")

// unavailable tells why there can be no sandbox in words that a client may
// see: of the container that withholds something, if that is what it is.
func unavailable(ctx context.Context, err error) error {
	told, ok := errors.AsType[*sandbox.Error](err)
	ok = ok && told.Kind == sandbox.Unavailable
	if ok && told.Op != opTemplate {
		return told
	}
	what, remedy := doctor.Explain(ctx)
	switch {
	case what == "" && ok:
		return told
	case what == "":
		what = "this host cannot make sandboxes"
	}
	if remedy == "" {
		remedy = "run: sandwarden doctor"
	} else {
		remedy += "; sandwarden doctor says more"
	}
	return &sandbox.Error{Op: "start", Kind: sandbox.Unavailable, Detail: what, Remedy: remedy, Err: err}
}
