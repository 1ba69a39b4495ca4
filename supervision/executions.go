package supervision

import (
	"context"
	"slices"
	"time"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// Start begins an execution, which nobody's going away ends, and returns its
// record as it is then; the flag tells whether the session was made for it.
// Kinds: those of Execute.
func (s *Sessions) Start(ctx context.Context, request sandbox.ExecRequest) (sandbox.Execution, sandbox.Session, bool, error) {
	if err := checkExec(&request); err != nil {
		return sandbox.Execution{}, sandbox.Session{}, false, err
	}
	h := &hold{}
	defer s.release(h)
	answer, err := s.enter(ctx, request.SessionRequest, h)
	if err != nil {
		return sandbox.Execution{}, sandbox.Session{}, false, err
	}
	id, err := h.session.Begin(ctx, orderOf(ctx, &request, &answer.session))
	session := refreshed(answer.session, h.session.Activity())
	if err != nil {
		return sandbox.Execution{}, session, answer.created, err
	}
	s.tellBegun(ctx, &session, opOf(&request))
	record, err := h.session.Ledger().Execution(id)
	return record, session, answer.created, err
}

// A place is where an execution is kept: in a session that goes on, or in the
// record of one that ended.
type place struct {
	*resident // nil when the session has ended
	record    *ledger.Ledger
}

// locate finds where an execution is. While the sessions of an earlier daemon are
// taken over, it waits for one that may be among them.
func (s *Sessions) locate(ctx context.Context, op string, owner sandbox.Principal, id sandbox.ExecID) (place, error) {
	none := &sandbox.Error{
		Op: op, ID: string(id), Kind: sandbox.NotFound,
		Detail: "there is no execution of that id, or it is kept no longer", Remedy: "list the executions of the session",
	}
	incarnation := actors.Incarnation(id)
	at, ok := s.shared.find(incarnation)
	if !ok {
		select {
		case <-s.shared.restored:
		case <-ctx.Done():
			return place{}, actors.Refusal(op, string(id), context.Cause(ctx))
		}
		at, ok = s.shared.find(incarnation)
	}
	if ok {
		if at.owner != owner {
			return place{}, none
		}
		at.use.touch()
		return place{at, at.session.Ledger()}, nil
	}
	if s.shared.leaving.Load() {
		return place{}, shuttingDown(op, string(id))
	}
	record, err := s.store.Find(incarnation)
	if err != nil || record.Info().Owner != owner {
		if sandbox.KindOf(err) == sandbox.Other && err != nil {
			return place{}, err
		}
		return place{}, none
	}
	return place{nil, record}, nil
}

func (sh *shared) find(incarnation string) (*resident, bool) {
	v, ok := sh.live.Load(incarnation)
	if !ok {
		return nil, false
	}
	at, ok := v.(*resident)
	return at, ok
}

// Execution returns the record of an execution. Kind NotFound when its owner has
// none of that id, or it is kept no longer; so it is for all that follow.
func (s *Sessions) Execution(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.Execution, error) {
	at, err := s.locate(ctx, "find", owner, id)
	if err != nil {
		return sandbox.Execution{}, err
	}
	return at.record.Execution(id)
}

// ListExecutions returns the executions of a session that are kept, the newest
// first. Kind NotFound when there is no such session.
func (s *Sessions) ListExecutions(ctx context.Context, q sandbox.ExecQuery) ([]sandbox.Execution, error) {
	answer, err := s.find(ctx, "list", q.Ref)
	if err != nil || answer.actor == nil {
		return nil, err
	}
	var all []sandbox.Execution
	record := answer.actor.Ledger()
	for _, id := range slices.Backward(record.Runs()) {
		if q.Limit > 0 && len(all) >= q.Limit {
			break
		}
		if x, err := record.Execution(id); err == nil && (q.Status == "" || q.Status == x.Status) { // else it is kept no longer
			all = append(all, x)
		}
	}
	return all, nil
}

// Await waits as the query says, and returns the record as it is then. That the
// wait is over is no error; the end of ctx is.
func (s *Sessions) Await(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.WaitQuery) (sandbox.Execution, error) {
	at, err := s.locate(ctx, "wait", owner, id)
	if err != nil {
		return sandbox.Execution{}, err
	}
	if at.resident == nil {
		return at.record.Execution(id)
	}
	defer at.use.read()()
	return at.session.Await(ctx, id, q)
}

// Result returns what Execute would, as far as it is there.
func (s *Sessions) Result(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.ExecResult, error) {
	at, err := s.locate(ctx, "result", owner, id)
	if err != nil {
		return sandbox.ExecResult{}, err
	}
	limit := s.opts.Session.OutputLimit
	if limit <= 0 {
		limit = sandbox.MaxOutput
	}
	result, err := actors.Recorded(at.record, id, limit)
	result.Session = sessionOf(at.record)
	if at.resident != nil {
		result.Session = refreshed(result.Session, at.session.Activity())
	}
	if err == nil && result.Over() {
		result.Hint = hint(&result)
	}
	return result, err
}

// sessionOf is what a record tells of its session.
func sessionOf(record *ledger.Ledger) sandbox.Session {
	info, was := record.Info(), record.Standing()
	return sandbox.Session{
		Owner: info.Owner, Name: info.Session, Sandbox: was.Box, Template: info.Template, Flavor: info.Flavor,
		Status: sandbox.StatusStopped, Created: info.Created, LastUsed: was.Last, Restarts: was.Restarts,
		Dir: info.Dir, Labels: info.Labels, IdleTimeout: info.IdleTimeout,
	}
}

// ReadOutput returns a range of an execution's text output.
func (s *Sessions) ReadOutput(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.OutputQuery) (sandbox.OutputPage, error) {
	at, err := s.locate(ctx, "output", owner, id)
	if err != nil {
		return sandbox.OutputPage{}, err
	}
	return at.record.Output(id, q)
}

// SubscribeExecution reads the events of one execution, behind the event of that
// number in its session's log. It ends behind the last of them.
func (s *Sessions) SubscribeExecution(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, after uint64) (sandbox.Subscription, error) {
	at, err := s.locate(ctx, "subscribe", owner, id)
	if err != nil {
		return nil, err
	}
	if at.resident == nil {
		if _, err := at.record.Execution(id); err != nil {
			return nil, err
		}
		return actors.History(at.record, id, after), nil
	}
	log, err := at.session.SubscribeExecution(ctx, id, after)
	if err != nil {
		return nil, err
	}
	return &watched{log, at.use}, nil
}

// Signal sends a signal to an execution. One that waits will not run, and one
// that is over is no error.
func (s *Sessions) Signal(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, signal sandbox.Signal) error {
	at, err := s.locate(ctx, "signal", owner, id)
	if err != nil {
		return err
	}
	if _, err := at.record.Execution(id); err != nil || at.resident == nil {
		return err
	}
	return at.session.Signal(ctx, id, signal)
}

// WriteStdin writes to the stdin of an execution what fits now at an offset, and
// returns how much of data is written; nil data closes it. Kind Invalid when it
// takes none.
func (s *Sessions) WriteStdin(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, offset uint64, data []byte) (int, error) {
	at, err := s.locate(ctx, "stdin", owner, id)
	if err != nil {
		return 0, err
	}
	if _, err := at.record.Execution(id); err != nil {
		return 0, err
	}
	if at.resident == nil {
		return 0, &sandbox.Error{
			Op: "stdin", ID: string(id), Kind: sandbox.Invalid, Detail: "this execution takes no input: it has ended",
		}
	}
	return at.session.WriteStdin(ctx, id, offset, data)
}

// Touch says that a session is still wanted, which puts off its end by idleness.
func (s *Sessions) Touch(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error) {
	answer, err := s.find(ctx, "touch", ref)
	if err != nil {
		return sandbox.Session{}, err
	}
	answer.use.touch()
	answer.session.LastUsed = time.Now()
	return answer.session, nil
}

// A watched subscription keeps its session in use while somebody reads.
type watched struct {
	sandbox.Subscription

	use *use
}

// Next implements [sandbox.Subscription].
func (w *watched) Next(ctx context.Context) ([]sandbox.Event, error) {
	defer w.use.read()()
	return w.Subscription.Next(ctx)
}
