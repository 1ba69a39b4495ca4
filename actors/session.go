package actors

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// A Session is one session as the rest of the daemon sees it. Its methods may
// be called from many goroutines.
type Session struct {
	name    string
	pid     *actor.PID
	sys     *actor.ActorSystem
	journal *journal
}

// A Birth is what a session begins with.
type Birth struct {
	Name string          // the caller's
	ID   string          // of the actor; never used again
	Box  sandbox.Sandbox // the session uses it, the parent destroys it
	All  *Log            // of the owner; gets every event of the session
	// Ledger keeps what the session must not forget. One that an earlier daemon
	// has left is gone on with: Box is the sandbox that it names.
	Ledger *ledger.Ledger
	// Recalled is what such a ledger tells of what has not ended.
	Recalled Recalled
	// Lost is told that the session gave up a sandbox, and why. It may be told
	// twice, and must not block. The parent destroys the sandbox, and gives
	// the session another with Replace or ends it.
	Lost func(sandbox.Sandbox, sandbox.Death)
}

// Spawn starts a session as a child of parent, which gets Terminated when its
// actor has ended, and calls Bury then.
func Spawn(life context.Context, parent actor.Context, birth Birth, opts Options) (*Session, error) {
	opts = opts.withDefaults()
	opts.Logger = opts.Logger.With("session", birth.Name)
	j := newJournal(&birth, opts)
	pid, err := parent.SpawnNamed(actor.PropsFromProducer(
		func() actor.Actor { return newState(life, j, birth.Lost, opts) }, // runs again at each restart
		actor.WithReceiverMiddleware(Guard(opts.Logger)),
	), birth.ID)
	if err != nil {
		return nil, &sandbox.Error{Op: "create", ID: birth.Name, Err: err}
	}
	s := &Session{name: birth.Name, pid: pid, sys: parent.ActorSystem(), journal: j}
	s.watch(birth.Box)
	return s, nil
}

// watch tells the actor when box is dead. Its goroutine ends then, or with the
// session.
func (s *Session) watch(box sandbox.Sandbox) {
	go func() {
		select {
		case <-box.Dead():
			s.tell(&died{box})
		case <-s.journal.over:
		}
	}()
}

func (s *Session) tell(m message) { s.sys.Root.Send(s.pid, m) }

// PID is the address of the actor, for its parent.
func (s *Session) PID() *actor.PID { return s.pid }

// An Order is one execution asked of a session. Exactly one of Code and Argv
// is set.
type Order struct {
	Request    string // id of the request that it is for; empty when there is none
	Code       string
	Argv       []string
	Env        []string
	Dir        string
	Timeout    time.Duration // of the run; 0 is that of Options
	Key        string        // idempotency key
	Background bool
	Stdin      bool
	Detached   bool          // the end of ctx does not cancel it
	Patience   time.Duration // how long to wait for the end; 0 is as long as it takes
	Accepted   func(sandbox.ExecID)
	Follow     func(sandbox.Stream, []byte) // text alone; called by the goroutine that called Execute
}

// isQuiet tells whether who gave the order has nothing to do before the end.
func (o *Order) isQuiet() bool {
	return !o.Detached && !o.Background && o.Accepted == nil && o.Follow == nil && o.Patience <= 0
}

// quietly is what a quiet order waits for.
func quietly(quiet bool, x *execution) <-chan struct{} {
	if quiet {
		return x.done
	}
	return nil
}

// Execute runs what is ordered after what was ordered before it, and returns
// its result; the result tells nothing of the session. When ctx ends it returns
// at once, and work that is not detached is cancelled: interrupted, then killed.
// Kinds: Exhausted when too many wait, NoSpace when it could not be kept,
// Conflict when its key stands for other work, Timeout when it waited too long
// and never ran, Stopped when the session ended before it ran, and what Start
// returned.
func (s *Session) Execute(ctx context.Context, order Order) (sandbox.ExecResult, error) {
	a, err := s.order(ctx, &order)
	if err != nil {
		return sandbox.ExecResult{Exec: a.id}, err
	}
	if order.Accepted != nil { // it was admitted, even if a panic or the end kept the actor from saying so
		s.journal.flush()
		order.Accepted(a.id)
	}
	if a.of == nil {
		r, err := s.Recorded(a.id)
		r.Replayed = true
		return r, err
	}
	settled := a.of.detached
	defer func() {
		if !settled {
			s.tell(&cancel{a.of})
		}
	}()
	if err := s.await(ctx, a.of, &order); err != nil {
		return sandbox.ExecResult{Exec: a.id}, Refusal("execute", s.name, err)
	}
	settled = true
	r, err := s.journal.result(a.of)
	r.Replayed = a.replayed
	return r, err
}

// Begin is Execute for who does not wait.
func (s *Session) Begin(ctx context.Context, order Order) (sandbox.ExecID, error) {
	order.Detached = true
	a, err := s.order(ctx, &order)
	if err == nil {
		s.journal.flush()
	}
	return a.id, err
}

// order gives an order to the actor, and returns when it is in the ledger or about
// to be: what is started at once is there before.
func (s *Session) order(ctx context.Context, order *Order) (accepted, error) {
	if err := s.journal.ledger.Room(); err != nil {
		return accepted{}, err
	}
	x := newExecution(*order, s.journal.ledger.Info().ID, s.journal.opts)
	quiet := order.isQuiet()
	a, done, err := askUnless[*accepted](ctx, s.sys, s.pid, s.journal.over, quietly(quiet, x), &run{x, quiet})
	if err != nil && (ctx.Err() != nil || !s.journal.holds(x)) {
		if !x.detached {
			s.tell(&cancel{x})
		}
		return accepted{id: x.id}, s.refusal("execute", err)
	}
	if err != nil || done {
		a = &accepted{of: x, id: x.id}
	}
	if s.journal.look(x).phase == queued {
		s.journal.flush()
	}
	return *a, nil
}

// errPatience ends the waiting of who wants to wait no longer.
var errPatience = errors.New("the caller's patience ended")

// await waits for the end of an execution, for ctx, or until patience ends,
// which is no error.
func (s *Session) await(ctx context.Context, x *execution, order *Order) error {
	if order.Patience > 0 {
		patient, stop := context.WithTimeoutCause(ctx, order.Patience, errPatience)
		defer stop()
		ctx = patient
	}
	err := s.journal.follow(ctx, x, order.Follow)
	if errors.Is(err, errPatience) {
		return nil
	}
	return err
}

// longest keeps the sum of a clock and a timeout from overflowing.
const longest = 365 * 24 * time.Hour

// refusal is what an ask came to, in the words of the house. Why the session
// has ended, if so, is known to the journal alone.
func (s *Session) refusal(op string, err error) error {
	if errors.Is(err, actor.ErrDeadLetter) {
		return s.journal.gone(op)
	}
	return Refusal(op, s.name, err)
}

func newExecution(order Order, incarnation string, opts Options) *execution {
	x := &execution{
		id: newExecID(incarnation), timeout: order.Timeout, queued: time.Now(),
		key: order.Key, detached: order.Detached || order.Key != "" || order.Background,
		exec: sandbox.Exec{
			Code: order.Code, Argv: order.Argv, Env: order.Env, Dir: order.Dir, Stdin: order.Stdin, Background: order.Background,
			OutputLimit: opts.SpillLimit, CPU: opts.CPULimit,
		},
	}
	x.handed, x.done = make(chan struct{}), make(chan struct{})
	x.exec.ID, x.exec.Request = x.id, order.Request
	if x.key != "" {
		x.digest = digested(&x.exec)
	}
	orElse(&x.timeout, opts.Timeout)
	x.timeout = min(x.timeout, longest)
	return x
}

// newExecID returns an id that nobody can guess. It begins with that of the
// session's incarnation, so that it can be found when the session has ended.
func newExecID(incarnation string) sandbox.ExecID {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return sandbox.ExecID(incarnation + hex.EncodeToString(id[:]))
}

// Incarnation returns the id of the session that an execution was of; empty when
// it is no such id.
func Incarnation(id sandbox.ExecID) string {
	const suffix = 16
	if len(id) <= suffix {
		return ""
	}
	return string(id[:len(id)-suffix])
}

// Subscribe asks the actor for a cursor in the session's log, behind the event
// of that number; with 0 it is before the oldest kept.
func (s *Session) Subscribe(ctx context.Context, after uint64) (sandbox.Subscription, error) {
	answer, err := Ask[*subscribed](ctx, s.sys, s.pid, s.journal.over, &subscribe{after})
	if err != nil {
		return nil, s.refusal("subscribe", err)
	}
	return answer.subscription, nil
}

// Usage returns what the session's sandbox uses now, or nil where it has none
// or does not say. It does not wait for the actor.
func (s *Session) Usage(ctx context.Context) *sandbox.Stats {
	box := s.journal.sandbox()
	if box == nil {
		return nil
	}
	stats, err := box.Stats(ctx)
	if err != nil {
		return nil
	}
	return &stats
}

// Activity returns what the session is doing. It does not wait for the actor.
func (s *Session) Activity() Activity { return s.journal.activity() }

// Replace gives the session a fresh sandbox for the one it lost. When it
// returns false the session is ending, and box stays the caller's.
func (s *Session) Replace(box sandbox.Sandbox) bool {
	if !s.journal.offer(box) {
		return false
	}
	s.watch(box)
	s.tell(&offered{})
	return true
}

// Doom says why the session is to end, and refuses new work from now on. The
// parent stops the actor then. The first cause stays.
func (s *Session) Doom(cause sandbox.Cause) { s.journal.doom(cause) }

// Detach says that the daemon goes away and the session stays: what runs goes
// on, and who waits is told where to ask. The parent stops the actor then, and
// does not destroy the sandbox.
func (s *Session) Detach() { s.journal.detach() }

// Settled is closed when all that the end of the session had to write is
// written, or could not be.
func (s *Session) Settled() <-chan struct{} { return s.journal.settled }

// Bury answers all who still wait and closes the log. The parent calls it when
// the actor has ended: nothing that must happen stands only in Stopping. It
// returns why the session ended.
func (s *Session) Bury() sandbox.Cause { return s.journal.end() }
