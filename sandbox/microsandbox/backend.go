package microsandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/embedded"
)

// Name is the technique's name in the configuration.
const Name = "microsandbox"

// Options say how a Backend is to be made. The zero value of a field that is
// not called required is its default.
type Options struct {
	URL      string // required: of the server, without a slash at its end
	Key      string // to it; none in its development mode
	Instance string // required: the id of this daemon and what it left, of at least 12 letters and digits
	// Images are those of the templates; the defaults are the server's own. Bash
	// has that of Python.
	Images  map[sandbox.Language]string
	Volumes []sandbox.Volume // of the server's host, that every sandbox sees; read-write all
	// Claimed are the sandboxes of an earlier daemon that are to be adopted. The
	// other ones of ours are ended.
	Claimed        []sandbox.ID
	ConnectTimeout time.Duration // of a connection to the server; 10 s
	RequestTimeout time.Duration // of a call that answers at once; 30 s
	StartTimeout   time.Duration // of a sandbox, as the server may take; 180 s
	OrphanInterval time.Duration // between looks for sandboxes of ours that nobody owns; 10 min
	WatchInterval  time.Duration // between looks at the server; 5 s
	Logger         *slog.Logger  // discards when nil
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for value, usual := range map[*time.Duration]time.Duration{
		&o.ConnectTimeout: 10 * time.Second, &o.RequestTimeout: 30 * time.Second, &o.StartTimeout: 180 * time.Second,
		&o.OrphanInterval: 10 * time.Minute, &o.WatchInterval: 5 * time.Second,
	} {
		if *value <= 0 {
			*value = usual
		}
	}
	o.Images = map[sandbox.Language]string{
		sandbox.Python: cmp.Or(o.Images[sandbox.Python], "microsandbox/python"),
		sandbox.Node:   cmp.Or(o.Images[sandbox.Node], "microsandbox/node"),
		sandbox.Bash:   cmp.Or(o.Images[sandbox.Bash], o.Images[sandbox.Python], "microsandbox/python"),
	}
	return o
}

// A Backend makes sandboxes at a server. It implements [sandbox.Backend].
type Backend struct {
	opts   Options
	server *server
	prefix string // of the names of our sandboxes

	end   context.CancelFunc // of what follows the server
	tasks sync.WaitGroup

	mu      sync.Mutex
	ready   error // why no sandbox can be made now
	behind  []string
	isOurs  bool // the server is a sandwarden
	boxes   map[sandbox.ID]*box
	claimed map[sandbox.ID]bool // of an earlier daemon, and not adopted yet
	swept   time.Time           // when orphans were looked for
	doubt   time.Time           // until when a start that we gave up may yet make one
}

// instanceSize is how much of the daemon's id is in the names of sandboxes.
const instanceSize = 12

// prefixOf begins the names of the sandboxes of an instance.
func prefixOf(instance string) string { return "sw-" + instance[:instanceSize] + "-" }

// New makes the backend and has a first look at the server. That it is not there
// is no error: then Ready says so until it is. Errors are for what is wrong with
// the options.
func New(ctx context.Context, o Options) (*Backend, error) {
	o = o.withDefaults()
	if len(o.Instance) < instanceSize {
		return nil, &sandbox.Error{Op: "start", Kind: sandbox.Invalid, Detail: "the daemon has no id to call its sandboxes by"}
	}
	for _, v := range o.Volumes {
		if v.Access == sandbox.ReadOnly {
			return nil, &sandbox.Error{
				Op: "start", Kind: sandbox.Invalid, Detail: "a microsandbox server cannot share " + v.HostPath + " read-only",
				Remedy: "leave the volume out, or share it without :ro",
			}
		}
	}
	if _, err := embedded.Agent(); err != nil {
		return nil, err
	}
	b := &Backend{
		opts: o, server: newServer(&o), prefix: prefixOf(o.Instance),
		boxes: map[sandbox.ID]*box{}, claimed: map[sandbox.ID]bool{}, ready: errUnseen,
	}
	for _, id := range o.Claimed {
		b.claimed[id] = true
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	b.end = end
	b.look(ctx)
	b.tasks.Go(func() { b.watch(life) })
	b.tasks.Go(func() { _, _ = parcel() }) // before a sandbox waits for it
	return b, nil
}

var errUnseen = &sandbox.Error{Op: "start", Kind: sandbox.Unavailable, Detail: "the microsandbox server was not asked yet"}

// Name implements [sandbox.Backend].
func (b *Backend) Name() string { return Name }

// Ready implements [sandbox.Backend].
func (b *Backend) Ready() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready
}

// Behind returns the ids of the daemons that the server's sandboxes are made
// by, the nearest first; none where it is no sandwarden.
func (b *Backend) Behind() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.behind)
}

// Capabilities implements [sandbox.Backend]. What the server enforces is its
// own to know: of it the flavor's memory and processors are asked for.
func (b *Backend) Capabilities() sandbox.Capabilities {
	b.mu.Lock()
	ours := b.isOurs
	b.mu.Unlock()
	c := sandbox.Capabilities{
		Isolation: "microvm", Enforced: []string{"memory", "cpu"}, Unenforced: []string{"pids", "disk"}, Survives: true,
	}
	if ours {
		c.Isolation = "remote"
	}
	for _, t := range sandbox.Templates() {
		c.Templates = append(c.Templates, sandbox.TemplateStatus{Template: t})
	}
	for _, v := range b.opts.Volumes {
		c.Volumes = append(c.Volumes, sandbox.VolumeStatus{Volume: v})
	}
	return c
}

// List implements [sandbox.Backend].
func (b *Backend) List(ctx context.Context) ([]sandbox.ID, error) {
	all, err := b.server.metrics(ctx, "")
	if err != nil {
		return nil, fault("list", "", err)
	}
	var ids []sandbox.ID
	for _, m := range all {
		if id, ok := b.idOf(m.Name); ok && m.Running {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// nameOf is the name of a sandbox at the server.
func (b *Backend) nameOf(id sandbox.ID) string { return b.prefix + string(id) }

// idOf is the sandbox of ours that has a name.
func (b *Backend) idOf(name string) (sandbox.ID, bool) {
	id, ok := strings.CutPrefix(name, b.prefix)
	return sandbox.ID(id), ok && id != ""
}

// maxName is the length of the longest name that the server takes.
const maxName = 63

// checkID keeps ids out that would not make a name.
func (b *Backend) checkID(op string, id sandbox.ID) error {
	ok := id != "" && len(b.nameOf(id)) <= maxName
	for _, c := range []byte(id) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_')
	}
	if ok {
		return nil
	}
	return &sandbox.Error{Op: op, ID: string(id), Kind: sandbox.Invalid, Detail: "the sandbox's id makes no name at a microsandbox server"}
}

// Create implements [sandbox.Backend].
func (b *Backend) Create(ctx context.Context, id sandbox.ID, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := b.checkID("create", id); err != nil {
		return nil, err
	}
	if err := b.Ready(); err != nil {
		b.look(ctx) // it may be back since
		if err = b.Ready(); err != nil {
			return nil, err
		}
	}
	x := newBox(b, id, spec)
	if !b.enter(x) {
		return nil, &sandbox.Error{Op: "create", ID: string(id), Kind: sandbox.Invalid, Detail: "there is a sandbox of that id"}
	}
	err := x.begin(ctx)
	if err == nil {
		return x, nil
	}
	err = fault("create", id, err)
	b.mu.Lock()
	b.doubt = time.Now().Add(b.opts.StartTimeout)
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	if gone := x.Destroy(ctx); gone != nil { // the look for orphans will find it
		b.opts.Logger.Warn("a sandbox that failed to start is left at the microsandbox server", "sandbox", string(id), "err", gone)
		b.leave(x)
	}
	return nil, err
}

// enter makes a sandbox known.
func (b *Backend) enter(x *box) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.boxes[x.id] != nil {
		return false
	}
	b.boxes[x.id] = x
	delete(b.claimed, x.id)
	return true
}

func (b *Backend) leave(x *box) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.boxes[x.id] == x {
		delete(b.boxes, x.id)
	}
}

// Adopt implements [sandbox.Backend]. It waits for a server that is not there,
// as long as ctx lets it.
func (b *Backend) Adopt(ctx context.Context, id sandbox.ID) (sandbox.Sandbox, error) {
	if err := b.checkID("adopt", id); err != nil {
		return nil, err
	}
	x := newBox(b, id, sandbox.Spec{})
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := x.rejoin(ctx)
		switch _, lost := errors.AsType[*unreachable](err); {
		case err == nil && b.enter(x):
			return x, nil
		case err == nil:
			return nil, &sandbox.Error{Op: "adopt", ID: string(id), Kind: sandbox.Invalid, Detail: "it is adopted already"}
		case !lost:
			return nil, b.unadopted(ctx, id, err)
		case sleep(ctx, jittered(pause)) != nil:
			return nil, b.unadopted(ctx, id, err)
		}
	}
}

// unadopted is why a sandbox cannot be taken over. What is left of it is ended
// by the look for orphans.
func (b *Backend) unadopted(ctx context.Context, id sandbox.ID, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) { // this daemon ends before it knows: the sandbox stays the next one's
		return &sandbox.Error{Op: "adopt", ID: string(id), Kind: sandbox.Canceled, Err: err}
	}
	b.mu.Lock()
	delete(b.claimed, id)
	b.mu.Unlock()
	return &sandbox.Error{
		Op: "adopt", ID: string(id), Kind: sandbox.Stopped, Cause: sandbox.CauseAgentLost,
		Detail: fmt.Sprintf("the sandbox at the microsandbox server cannot be reached any more (%s)", explain(err).Detail), Err: err,
	}
}

// Close implements [sandbox.Backend].
func (b *Backend) Close(context.Context) error {
	b.end()
	b.tasks.Wait()
	b.server.close()
	return nil
}
