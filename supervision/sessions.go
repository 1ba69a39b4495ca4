package supervision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// Sessions are all sessions of the daemon. The methods may be called from many
// goroutines. Errors are *[sandbox.Error]; the end of a call's ctx is Canceled
// or Timeout.
type Sessions struct {
	sys     *actor.ActorSystem
	pid     *actor.PID
	backend sandbox.Backend
	store   *ledger.Store
	shared  *shared
	opts    Options
	stop    func()        // ends all that still runs
	over    chan struct{} // closed when the supervisor has ended
	closing sync.Once     // closes over
}

// New starts the supervisor, which takes over the sessions that the store names:
// those that an earlier daemon left. Of one whose sandbox has died meanwhile the
// store gets the end. life is the daemon's: when it ends, nothing is
// begun or followed any more. Close must be called all the same: it answers who
// waits and destroys the sandboxes. The backend stays the caller's to close.
func New(life context.Context, backend sandbox.Backend, store *ledger.Store, opts Options) (*Sessions, error) {
	opts = opts.withDefaults()
	if _, err := specOf("", sandbox.SessionRequest{}, &opts); err != nil { // the defaults must be among what there is
		return nil, err
	}
	opts.warn()
	if opts.FreezeAfter > 0 && !backend.Capabilities().Freeze {
		opts.Logger.Warn("idle sessions are not frozen, as this host or backend cannot")
	}
	left, err := store.Left()
	if err != nil {
		return nil, err
	}
	last, stopLast := context.WithCancel(context.WithoutCancel(life))
	life, stopLife := context.WithCancel(life)
	stop := func() { stopLife(); stopLast() }
	s := &Sessions{
		sys: actors.NewSystem(opts.Logger), backend: backend, store: store, opts: opts, stop: stop,
		over:   make(chan struct{}),
		shared: &shared{logs: newLogs(opts.LogBytes, opts.LogEvents), restored: make(chan struct{})},
	}
	kept := newState(life, last, backend, store, s.shared, opts) // the guardian resumes, so there is one for good
	kept.restore(left)
	pid, err := s.sys.Root.SpawnNamed(actor.PropsFromProducer(
		func() actor.Actor { return kept },
		actor.WithReceiverMiddleware(actors.Guard(opts.Logger)),
		actor.WithGuardian(actor.NewOneForOneStrategy(0, 0, func(any) actor.Directive { return actor.ResumeDirective })),
	), "sessions")
	if err != nil {
		stop()
		return nil, &sandbox.Error{Op: "supervise", Err: err}
	}
	s.pid = pid
	return s, nil
}

// Create returns the session of that name, and makes it if there is none; the
// flag tells whether it did. Kinds: Invalid, Exhausted when there is no room,
// Unavailable when the backend cannot work here, Stopped.
func (s *Sessions) Create(ctx context.Context, request sandbox.SessionRequest) (sandbox.Session, bool, error) {
	h := &hold{}
	defer s.release(h)
	answer, err := s.open(ctx, request, h)
	if err != nil {
		return sandbox.Session{}, false, err
	}
	return answer.session, answer.created, nil
}

// Execute runs code or a command in the session of that name, which is made if
// there is none, and returns what became of it. That the program failed, or was
// ended, is in the result. Kinds: those of Create; Exhausted when the session's
// queue is full, Timeout when it waited there too long and never ran, Stopped
// when the session ended before it ran. When ctx ends it returns at once and
// the work is cancelled.
func (s *Sessions) Execute(ctx context.Context, request sandbox.ExecRequest) (sandbox.ExecResult, error) {
	began := time.Now()
	if err := checkExec(&request); err != nil {
		return sandbox.ExecResult{}, err
	}
	h := &hold{}
	defer s.release(h)
	answer, err := s.enter(ctx, request.SessionRequest, h)
	if err != nil {
		return sandbox.ExecResult{}, err
	}
	order := orderOf(ctx, &request, &answer.session)
	if request.Accepted != nil || s.opts.Logger.Enabled(ctx, slog.LevelDebug) { // who wants to be told waits for the disk
		order.Accepted = func(id sandbox.ExecID) {
			s.tellBegun(ctx, &answer.session, opOf(&request))
			if request.Accepted != nil {
				request.Accepted(answer.session, id)
			}
		}
	}
	admitted := time.Since(began)
	result, err := h.session.Execute(ctx, order)
	result.Session, result.Created = refreshed(answer.session, h.session.Activity()), answer.created
	if err != nil {
		return result, err
	}
	result.Waited += admitted
	if result.Over() {
		result.Hint = hint(&result)
		s.tellDone(ctx, &result, opOf(&request))
	}
	return result, nil
}

// orderOf is what a request asks of its session.
func orderOf(ctx context.Context, request *sandbox.ExecRequest, session *sandbox.Session) actors.Order {
	dir := request.Dir
	if dir == "" {
		dir = session.Dir
	}
	return actors.Order{
		Request: sandbox.RequestOf(ctx), Code: request.Code, Argv: request.Argv, Env: request.Vars, Dir: dir, Timeout: request.Timeout,
		Key: request.Key, Background: request.Background, Stdin: request.Stdin, Detached: request.Detached, Patience: request.Patience,
		Follow: request.Follow,
	}
}

// refreshed is a session as it is after a call.
func refreshed(session sandbox.Session, now actors.Activity) sandbox.Session {
	session.Restarts, session.Running, session.LastUsed = now.Restarts, now.Running, time.Now()
	if now.Sandbox != "" {
		session.Sandbox = now.Sandbox
	}
	session.Status, session.Frozen = sandbox.StatusReady, false
	if now.Running > 0 {
		session.Status = sandbox.StatusRunning
	}
	if now.Over {
		session.Status = sandbox.StatusStopped
	}
	return session
}

// open gets the session of a request into h, as the supervisor sees it.
func (s *Sessions) open(ctx context.Context, request sandbox.SessionRequest, h *hold) (*opened, error) {
	return s.get(ctx, request, h, false)
}

// enter is open for a call that wants to run something: a session that is live is
// taken as it is found.
func (s *Sessions) enter(ctx context.Context, request sandbox.SessionRequest, h *hold) (*opened, error) {
	return s.get(ctx, request, h, true)
}

func (s *Sessions) get(ctx context.Context, request sandbox.SessionRequest, h *hold, live bool) (*opened, error) {
	spec, err := s.admissible(request)
	var answer *opened
	if err == nil && live {
		answer = s.shared.enter(spec.Ref(), h)
	}
	if err == nil && answer == nil {
		answer, err = s.ask(ctx, spec, request, h)
	}
	if err != nil {
		s.opts.Meter.SessionRefused(reasonOf(err))
	}
	return answer, err
}

// admissible is what the session of a request is to be, if there can be one now.
func (s *Sessions) admissible(request sandbox.SessionRequest) (sandbox.Spec, error) {
	name, err := nameOf(request)
	if err != nil {
		return sandbox.Spec{}, err
	}
	spec, err := specOf(name, request, &s.opts)
	if err != nil {
		return spec, err
	}
	if err := s.backend.Ready(); err != nil {
		return spec, err
	}
	return spec, s.store.Room()
}

func (s *Sessions) ask(ctx context.Context, spec sandbox.Spec, request sandbox.SessionRequest, h *hold) (*opened, error) {
	answer, err := actors.Ask[*opened](ctx, s.sys, s.pid, s.over, &open{spec: spec, asked: request, hold: h})
	if err != nil {
		return nil, s.refusal("create", spec.Session, err)
	}
	return answer, nil
}

// refusal is what an ask came to, in the words of the house. A supervisor that
// is gone means that the daemon is going.
func (s *Sessions) refusal(op, name string, err error) error {
	if errors.Is(err, actor.ErrDeadLetter) {
		return shuttingDown(op, name)
	}
	return actors.Refusal(op, name, err)
}

func shuttingDown(op, name string) error {
	return &sandbox.Error{
		Op: op, ID: name, Kind: sandbox.Stopped, Cause: sandbox.CauseShutdown,
		Detail: "the daemon is shutting down", Remedy: "try again when it is back",
	}
}

// release ends a hold, and tells the supervisor if others wait for room.
func (s *Sessions) release(h *hold) {
	h.release()
	if s.shared.waiting.Load() > 0 {
		s.sys.Root.Send(s.pid, &released{})
	}
}

// List returns the sessions that a query asks for in the order of their creation.
func (s *Sessions) List(ctx context.Context, q sandbox.SessionQuery) ([]sandbox.Session, error) {
	answer, err := actors.Ask[*listed](ctx, s.sys, s.pid, s.over, &list{q.Owner})
	if err != nil {
		return nil, s.refusal("list", "", err)
	}
	all := make([]sandbox.Session, 0, len(answer.found))
	for i := range answer.found {
		session := answer.found[i].session
		if !wanted(&session, &q) {
			continue
		}
		if q.Usage {
			session.Usage = answer.found[i].usage(ctx)
		}
		all = append(all, session)
	}
	return all, nil
}

// Find returns one session with what it uses now. Kind NotFound when its owner
// has none of that name.
func (s *Sessions) Find(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error) {
	answer, err := s.find(ctx, "find", ref)
	if err != nil {
		return sandbox.Session{}, err
	}
	answer.session.Usage = answer.usage(ctx)
	return answer.session, nil
}

// wanted tells whether a session is among those that a query asks for.
func wanted(session *sandbox.Session, q *sandbox.SessionQuery) bool {
	for name, value := range q.Labels {
		if has, ok := session.Labels[name]; !ok || has != value {
			return false
		}
	}
	return (q.Template == "" || q.Template == session.Template.Name) && (q.Status == "" || q.Status == session.Status)
}

// usage looks at the sandbox itself, so the actors have no part in it.
func (f *found) usage(ctx context.Context) *sandbox.Stats {
	if f.actor == nil {
		return nil
	}
	return f.actor.Usage(ctx)
}

func (s *Sessions) find(ctx context.Context, op string, ref sandbox.Ref) (*found, error) {
	answer, err := actors.Ask[*found](ctx, s.sys, s.pid, s.over, &find{ref})
	if err != nil {
		return nil, s.refusal(op, ref.Name, err)
	}
	return answer, nil
}

// Stop ends a session and returns when its sandbox is gone, or when ctx ends.
// Kind NotFound when its owner has none of that name.
func (s *Sessions) Stop(ctx context.Context, ref sandbox.Ref) error {
	_, err := actors.Ask[*stopped](ctx, s.sys, s.pid, s.over, &stop{ref})
	if err != nil {
		return s.refusal("stop", ref.Name, err)
	}
	return nil
}

// Subscribe returns a cursor in the log of a session, behind the event of that
// number; with 0 it is before the oldest kept. Kind NotFound when its owner has
// none of that name.
func (s *Sessions) Subscribe(ctx context.Context, ref sandbox.Ref, after uint64) (sandbox.Subscription, error) {
	answer, err := s.find(ctx, "subscribe", ref)
	if err != nil {
		return nil, err
	}
	if answer.actor == nil {
		return nil, &sandbox.Error{
			Op: "subscribe", ID: ref.Name, Kind: sandbox.NotFound,
			Detail: "the session is still being made", Remedy: "try again in a moment",
		}
	}
	log, err := answer.actor.Subscribe(ctx, after)
	if err != nil {
		return nil, err
	}
	return &watched{log, answer.use}, nil
}

// SubscribeAll returns a cursor in an owner's log, which has the events of all
// sessions of that owner under numbers of its own. It ends with Close.
func (s *Sessions) SubscribeAll(_ context.Context, owner sandbox.Principal, after uint64) (sandbox.Subscription, error) {
	return s.shared.logs.owned(owner).Subscribe(after), nil
}

// Overview returns the numbers of the daemon.
func (s *Sessions) Overview(ctx context.Context) (sandbox.Overview, error) {
	answer, err := actors.Ask[*sandbox.Overview](ctx, s.sys, s.pid, s.over, &count{})
	if err != nil {
		return sandbox.Overview{}, s.refusal("overview", "", err)
	}
	answer.Backend, answer.Ready, answer.Capabilities = s.backend.Name(), s.backend.Ready(), s.backend.Capabilities()
	if s.opts.HostMemory != nil {
		answer.HostTotal, answer.HostAvailable = s.opts.HostMemory()
	}
	if g, ok := s.backend.(gauge); ok {
		used, most := g.Pressure()
		answer.Used, answer.UsedMax = max(used, 0), max(most, 0)
	}
	return *answer, nil
}

// Close refuses new work, answers every call with the cause shutdown, and
// destroys all sandboxes. It returns when they are gone; or when ctx ends, with
// an error that names what is left. After it nothing runs any more.
func (s *Sessions) Close(ctx context.Context) error { return s.close(ctx, false) }

// Leave is Close, but sessions and what they run stay for the next daemon.
func (s *Sessions) Leave(ctx context.Context) error { return s.close(ctx, true) }

func (s *Sessions) close(ctx context.Context, keep bool) error {
	_, err := actors.Ask[*drained](ctx, s.sys, s.pid, s.over, &drain{keep})
	if errors.Is(err, actor.ErrDeadLetter) {
		return nil // closed before
	}
	if err != nil {
		err = s.left(ctx, err)
	}
	s.stop()
	future := s.sys.Root.StopFuture(s.pid)
	if err == nil {
		err = future.Wait()
	}
	s.closing.Do(func() { close(s.over) })
	s.shared.logs.close()
	return err
}

// left says what a drain that did not end in time has left.
func (s *Sessions) left(ctx context.Context, cause error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	e := &sandbox.Error{Op: "close", Kind: sandbox.KindOf(cause), Cause: sandbox.CauseShutdown, Err: cause}
	answer, err := actors.Ask[*remaining](ctx, s.sys, s.pid, s.over, &remain{})
	if err == nil {
		e.Detail = fmt.Sprintf("%d sessions are left: %s", len(answer.names), strings.Join(answer.names, ", "))
		e.Remedy = "the next start ends them"
	}
	return e
}
