package supervision

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

const (
	// maxEnded is how many names of ended sessions are remembered, and
	// endedFor how long.
	maxEnded = 4096
	endedFor = time.Hour
	// maxAskers is how many calls may wait for one session to be made, or hold
	// it. Its queue is shorter, but while its actor pauses after a panic
	// nothing else bounds what waits for it.
	maxAskers = 256
	// tickEvery is the time between looks around while there are sessions.
	tickEvery = time.Second
)

// A phase is how far a session has come.
type phase int

// The phases, in order.
const (
	waiting  phase = iota // for admission
	creating              // booked; its first sandbox is being made
	live                  // with an actor, which may be without a sandbox for a while
	ending                // without a name; what it holds is being given back
)

// A slot is a session as the supervisor knows it.
type slot struct {
	id       string // of this incarnation; never used again
	restored bool   // an earlier daemon made it
	left     bool   // to the next daemon
	spec     sandbox.Spec
	asked    sandbox.SessionRequest
	number   uint64 // in the order of admission
	phase    phase
	askers   []asker // who waits for it to be made
	made     time.Time
	previous *sandbox.Ended
	lacks    []string // limits that are not in force for it

	use     use
	entry   *entry             // nil but while it is live
	session *actors.Session    // nil until it is live
	record  *ledger.Ledger     // nil until it has one
	box     sandbox.Sandbox    // nil while there is none; else ours to destroy
	coming  sandbox.ID         // of the sandbox that is being made
	making  context.CancelFunc // of that; nil when none is being made
	things  int                // that it holds: its actor, each sandbox, each making of one

	freezing bool        // its sandbox is being frozen
	chilled  time.Time   // when that was last tried
	lapse    *time.Timer // of the wait for admission
	revive   *time.Timer // of the actor after a panic
	retry    *time.Timer // of the next sandbox
	failures []time.Time // of its sandboxes, within the window
	cause    sandbox.Cause
	stoppers []*actor.PID // who waits for its end
}

// An asker waits for a session to be made.
type asker struct {
	pid  *actor.PID
	open *open
}

// state is what only Receive, and what it calls, may touch.
type state struct {
	life    context.Context // the daemon's
	last    context.Context //nolint:containedctx // outlives life: what is to be destroyed is destroyed after it, until Close has ended
	backend sandbox.Backend
	store   *ledger.Store
	shared  *shared
	opts    Options
	gate    chan struct{} // as many places as sandboxes may be destroyed at once

	names   map[sandbox.Ref]*slot        // waiting, creating and live
	actors  map[string]*slot             // by the id of their actor
	booked  map[*slot]struct{}           // creating, live and ending
	queue   []*slot                      // waiting, first come first
	memory  int64                        // MiB, of booked
	cpus    int                          // of booked
	held    map[sandbox.Principal]int    // how many of booked are whose
	served  map[sandbox.Principal]uint64 // when each owner in the queue was last admitted, by number
	numbers uint64                       // given out
	ended   map[sandbox.Ref]sandbox.Ended
	endings []sandbox.Ref // the names in ended, oldest first

	restoring int // sessions of an earlier daemon that are not looked after yet
	closing   bool
	keeping   bool // sandboxes are left to the next daemon
	drainers  []*actor.PID
	tick      *tick // nil when none is under way
	swept     time.Time
	counted   time.Time // when states were
	counts    map[sandbox.Status]int
	frozen    int       // of counts, whose sandboxes are frozen
	evicted   time.Time // when a session last made room for another
	seen      sight     // of the host
	looking   bool      // at the host, beside
	freezing  int       // sandboxes that are being frozen
	due       []*slot   // whose are to be frozen next
}

func newState(life, last context.Context, backend sandbox.Backend, store *ledger.Store, sh *shared, opts Options) *state {
	return &state{
		life: life, last: last, backend: backend, store: store, shared: sh, opts: opts, gate: make(chan struct{}, opts.Destroyers),
		names: map[sandbox.Ref]*slot{}, actors: map[string]*slot{}, booked: map[*slot]struct{}{},
		held: map[sandbox.Principal]int{}, served: map[sandbox.Principal]uint64{}, ended: map[sandbox.Ref]sandbox.Ended{},
	}
}

// Receive implements [actor.Actor]. It only dispatches.
func (s *state) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case message:
		s.handle(c, m)
	case *actor.Started:
		s.adoptAll(c)
	case *actor.Terminated:
		s.terminated(c, m.Who)
	case *actor.Stopping:
		s.abandon()
	}
}

func (s *state) handle(c actor.Context, m message) {
	switch m := m.(type) {
	case *open:
		s.open(c, m)
	case *stop:
		s.stop(c, m)
	case *list:
		if s.keeping {
			c.Respond(shuttingDown("list", ""))
			return
		}
		c.Respond(s.list(m.owner))
	case *find:
		s.find(c, m)
	case *count:
		c.Respond(&sandbox.Overview{
			Sessions: len(s.booked), MaxSessions: s.opts.MaxSessions, MemoryMB: s.memory, MaxMemoryMB: s.opts.MaxMemoryMB,
			CPUs: s.cpus, MaxCPUs: s.opts.MaxCPUs, Waiting: len(s.queue), States: s.states(), Frozen: s.frozen,
		})
	case *tune:
		s.tune(c, m)
	case *drain:
		s.drain(c, m.keep)
	case *remain:
		c.Respond(&remaining{s.remaining()})
	case *created:
		s.created(c, m)
	case *adopted:
		s.adopted(c, m)
	case *buried:
		if m.restored {
			s.tookOver()
		}
		m.of.things--
		s.settle(c, m.of)
	case *destroyed:
		s.destroyed(c, m)
	case *lost:
		s.lost(c, m)
	case *retry:
		s.retry(c, m)
	case *lapsed:
		s.lapsed(c, m)
	case *froze:
		s.froze(c, m)
	case *looked:
		s.looked(m)
	case *released:
		s.admit(c)
	case *tick:
		s.look(c, m)
	}
}

func (s *state) find(c actor.Context, m *find) {
	sl := s.names[m.ref]
	if sl == nil || sl.phase == waiting {
		c.Respond(s.absent("find", m.ref.Name))
		return
	}
	c.Respond(&found{sl.snapshot(), sl.session, &sl.use})
}

// absent is the answer of who asks for a session that has no name here. While
// sessions are left to the next daemon, that does not say that there is none.
func (s *state) absent(op, name string) error {
	if s.keeping {
		return shuttingDown(op, name)
	}
	return &sandbox.Error{
		Op: op, ID: name, Kind: sandbox.NotFound,
		Detail: "there is no session of that name", Remedy: "list the sessions to see which there are",
	}
}

// list returns the sessions of an owner that have a name and a place.
func (s *state) list(owner sandbox.Principal) *listed {
	var slots []*slot
	for ref, sl := range s.names {
		if ref.Owner == owner && sl.phase != waiting {
			slots = append(slots, sl)
		}
	}
	slices.SortFunc(slots, func(a, b *slot) int { return cmp.Compare(a.number, b.number) })
	all := &listed{found: make([]found, len(slots))}
	for i, sl := range slots {
		all.found[i] = found{sl.snapshot(), sl.session, &sl.use}
	}
	return all
}

// snapshot is what can be told of a session.
func (sl *slot) snapshot() sandbox.Session {
	session := sandbox.Session{
		Owner: sl.spec.Owner, Name: sl.spec.Session, Sandbox: sl.coming, Template: sl.spec.Template, Flavor: sl.spec.Flavor,
		Status: sandbox.StatusCreating, Created: sl.made, LastUsed: sl.made, Previous: sl.previous,
		Unenforced: sl.lacks, Dir: sl.asked.Dir, Labels: sl.asked.Labels, IdleTimeout: sl.asked.IdleTimeout, Expires: sl.expires(),
	}
	if sl.session == nil {
		return session
	}
	now := sl.session.Activity()
	session.Restarts, session.Running = now.Restarts, now.Running
	session.LastUsed, session.Frozen = sl.lastUsed(now), frozen(sl.box)
	switch {
	case now.Running > 0:
		session.Status = sandbox.StatusRunning
	case sl.box != nil:
		session.Status = sandbox.StatusReady
	}
	return session
}

// lastUsed is when the session's last call ended; now while one goes on.
func (sl *slot) lastUsed(now actors.Activity) time.Time {
	if now.Running > 0 || sl.use.busy() {
		return time.Now()
	}
	if last := sl.use.lastUsed(); last.After(now.LastUsed) {
		return last
	}
	return now.LastUsed
}

// idle tells since when nobody uses the session.
func (sl *slot) idle() (since time.Time, ok bool) {
	if sl.phase != live || sl.box == nil || sl.use.busy() {
		return time.Time{}, false
	}
	now := sl.session.Activity()
	return sl.lastUsed(now), now.Running == 0
}

// expires is when the session ends in any case; zero is never.
func (sl *slot) expires() time.Time {
	if sl.asked.MaxAge <= 0 {
		return time.Time{}
	}
	return sl.made.Add(sl.asked.MaxAge)
}

// remember notes a session that ended, for who comes back within the hour.
func (s *state) remember(name sandbox.Ref, cause sandbox.Cause) {
	if _, known := s.ended[name]; known {
		s.endings = slices.DeleteFunc(s.endings, func(other sandbox.Ref) bool { return other == name })
	}
	for len(s.endings) > 0 && (len(s.endings) >= maxEnded || time.Since(s.ended[s.endings[0]].At) > endedFor) {
		delete(s.ended, s.endings[0])
		s.endings = s.endings[1:]
	}
	s.ended[name] = sandbox.Ended{At: time.Now(), Cause: cause}
	s.endings = append(s.endings, name)
}

// previous is what is remembered of a name.
func (s *state) previous(name sandbox.Ref) *sandbox.Ended {
	before, ok := s.ended[name]
	if !ok || time.Since(before.At) > endedFor {
		return nil
	}
	return &before
}

func reply(c actor.Context, to *actor.PID, answer any) {
	if to != nil {
		c.Send(to, answer)
	}
}
