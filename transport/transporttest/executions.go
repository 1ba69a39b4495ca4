package transporttest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// An execution is one run of the fake. Its fields are guarded by the mutex of
// the sessions.
type execution struct {
	entry  *entry
	made   bool
	record sandbox.Execution
	result sandbox.ExecResult
	err    error
	panics any // what Run panicked with, for Execute to do the same
	output []sandbox.OutputChunk
	input  []byte
	closed bool               // stdin is
	cancel context.CancelFunc // of the run
	done   chan struct{}      // closed at the end
	change chan struct{}      // closed and replaced at each change
}

// begin starts what is asked for, or finds what a key names.
func (s *Sessions) begin(ctx context.Context, r sandbox.ExecRequest) (x *execution, replayed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, made, err := s.open(r.SessionRequest)
	if err != nil {
		return nil, false, err
	}
	for _, x := range s.order {
		if r.Key != "" && x.entry == e && x.record.Key == r.Key {
			return x, true, nil
		}
	}
	kind := sandbox.CommandExec
	if r.Code != "" {
		kind = sandbox.CodeExec
	}
	at := time.Date(2026, 1, 31, 15, 36, 20, 0, time.UTC)
	x = &execution{
		entry: e, made: made, done: make(chan struct{}), change: make(chan struct{}),
		record: sandbox.Execution{
			ID: sandbox.ExecID(fmt.Sprintf("exec-%d", s.count)), Owner: r.Owner, Session: e.session.Name, Kind: kind, Code: r.Code, Argv: r.Argv,
			Background: r.Background, Stdin: r.Stdin, Key: r.Key, Status: sandbox.ExecRunning, Queued: at, Started: at, Timeout: r.Timeout,
		},
	}
	x.result = sandbox.ExecResult{Exec: x.record.ID, Session: e.session, Created: made, Status: sandbox.ExecRunning}
	if s.execs == nil {
		s.execs = map[sandbox.ExecID]*execution{}
	}
	s.execs[x.record.ID] = x
	s.order = append(s.order, x)
	s.publish(e, sandbox.Event{Type: sandbox.ExecutionStarted, Exec: x.record.ID})
	if r.Detached || r.Key != "" || r.Background {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, x.cancel = context.WithCancel(ctx)
	go s.run(ctx, x, r)
	return x, false, nil
}

// run does what Run says, and notes what came of it.
func (s *Sessions) run(ctx context.Context, x *execution, r sandbox.ExecRequest) {
	defer x.cancel()
	result := x.result
	r.Follow = func(stream sandbox.Stream, data []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wrote(x, stream, data)
	}
	run := s.Run
	if run == nil {
		run = echo
	}
	err := func() (err error) {
		defer func() {
			if x.panics = recover(); x.panics != nil {
				err = fmt.Errorf("panic: %v", x.panics)
			}
		}()
		return run(ctx, r, &result)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(x.output) == 0 {
		s.wrote(x, sandbox.Stdout, result.Stdout)
		s.wrote(x, sandbox.Stderr, result.Stderr)
	}
	exit := result.Exit
	result.Status, result.Cursor = sandbox.StatusOf(&exit), x.record.Output.Total
	x.result, x.err = result, err
	x.record.Status, x.record.Exit, x.record.Rich = result.Status, &exit, len(result.Rich)
	if err != nil {
		x.record.Status, x.record.Exit = sandbox.ExecFailed, nil
		x.record.Refused = &sandbox.Error{Op: "execute", Kind: sandbox.KindOf(err), Err: err}
	}
	x.record.Ended = x.record.Started.Add(exit.Duration)
	if err == nil {
		s.publish(x.entry, sandbox.Event{Type: sandbox.ExecutionFinished, Exec: x.record.ID, Exit: &exit})
	}
	close(x.done)
	s.stir(x)
}

// wrote is called with the mutex held.
func (s *Sessions) wrote(x *execution, stream sandbox.Stream, data []byte) {
	if len(data) == 0 {
		return
	}
	data = slices.Clone(data)
	x.output = append(x.output, sandbox.OutputChunk{Stream: stream, Data: data})
	size := &x.record.Output
	size.Total += int64(len(data))
	if stream == sandbox.Stdout {
		size.Stdout += int64(len(data))
	} else {
		size.Stderr += int64(len(data))
	}
	s.publish(x.entry, sandbox.Event{Type: sandbox.Output, Exec: x.record.ID, Stream: stream, Data: data})
	s.stir(x)
}

func (*Sessions) stir(x *execution) {
	close(x.change)
	x.change = make(chan struct{})
}

// Execute does what Run says. Follow is called by the caller, as it should be.
func (s *Sessions) Execute(ctx context.Context, r sandbox.ExecRequest) (sandbox.ExecResult, error) {
	x, replayed, err := s.begin(ctx, r)
	if err != nil {
		return sandbox.ExecResult{}, err
	}
	if r.Accepted != nil {
		r.Accepted(x.result.Session, x.record.ID)
	}
	var patience <-chan time.Time
	if r.Patience > 0 {
		timer := time.NewTimer(r.Patience)
		defer timer.Stop()
		patience = timer.C
	}
	for shown := 0; ; {
		s.mu.Lock()
		pieces, change := x.output[shown:], x.change
		shown = len(x.output)
		s.mu.Unlock()
		for _, piece := range pieces {
			if r.Follow != nil {
				r.Follow(piece.Stream, piece.Data)
			}
		}
		if len(pieces) > 0 {
			continue
		}
		select {
		case <-x.done:
			s.mu.Lock()
			defer s.mu.Unlock()
			if x.panics != nil {
				panic(x.panics)
			}
			if x.err != nil {
				return sandbox.ExecResult{}, x.err
			}
			x.result.Replayed = replayed
			return x.result, nil
		default:
		}
		select {
		case <-change:
		case <-patience:
			return s.Result(ctx, r.Owner, x.record.ID)
		case <-ctx.Done():
			<-x.done
			return sandbox.ExecResult{}, &sandbox.Error{Op: "execute", Kind: sandbox.KindOf(ctx.Err()), Err: ctx.Err()}
		}
	}
}

// Start begins an execution.
func (s *Sessions) Start(ctx context.Context, r sandbox.ExecRequest) (sandbox.Execution, sandbox.Session, bool, error) {
	r.Detached = true
	x, _, err := s.begin(ctx, r)
	if err != nil {
		return sandbox.Execution{}, sandbox.Session{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.record, x.entry.session, x.made, nil
}

// exec is called with the mutex held.
func (s *Sessions) exec(owner sandbox.Principal, id sandbox.ExecID) (*execution, error) {
	if s.Reject != nil {
		return nil, s.Reject
	}
	if x := s.execs[id]; x != nil && x.record.Owner == owner {
		return x, nil
	}
	return nil, &sandbox.Error{Op: "find", ID: string(id), Kind: sandbox.NotFound, Detail: "there is no execution of that id"}
}

// Execution returns a record.
func (s *Sessions) Execution(_ context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.Execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.exec(owner, id)
	if err != nil {
		return sandbox.Execution{}, err
	}
	return x.record, nil
}

// ListExecutions returns those of a session, the newest first.
func (s *Sessions) ListExecutions(_ context.Context, q sandbox.ExecQuery) ([]sandbox.Execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(q.Ref)
	if err != nil {
		return nil, err
	}
	var all []sandbox.Execution
	for _, x := range slices.Backward(s.order) {
		full := q.Limit > 0 && len(all) >= q.Limit
		if x.entry == e && !full && (q.Status == "" || q.Status == x.record.Status) {
			all = append(all, x.record)
		}
	}
	return all, nil
}

// Await waits for the end, or for output.
func (s *Sessions) Await(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.WaitQuery) (sandbox.Execution, error) {
	timer := time.NewTimer(q.Wait)
	defer timer.Stop()
	for {
		s.mu.Lock()
		x, err := s.exec(owner, id)
		if err != nil {
			s.mu.Unlock()
			return sandbox.Execution{}, err
		}
		record, change := x.record, x.change
		s.mu.Unlock()
		if record.Status.Over() || q.After >= 0 && record.Output.Total > q.After {
			return record, nil
		}
		select {
		case <-change:
		case <-timer.C:
			return record, nil
		case <-ctx.Done():
			return record, &sandbox.Error{Op: "wait", Kind: sandbox.KindOf(ctx.Err()), Err: ctx.Err()}
		}
	}
}

// Result returns what there is.
func (s *Sessions) Result(_ context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.ExecResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.exec(owner, id)
	if err != nil || x.err != nil {
		return sandbox.ExecResult{}, cmpErr(err, x)
	}
	r := x.result
	if !r.Over() {
		r.Stdout, r.Stderr = nil, nil
		for _, piece := range x.output {
			if piece.Stream == sandbox.Stdout {
				r.Stdout = append(r.Stdout, piece.Data...)
			} else {
				r.Stderr = append(r.Stderr, piece.Data...)
			}
		}
		r.Cursor = x.record.Output.Total
	}
	return r, nil
}

func cmpErr(err error, x *execution) error {
	if err != nil {
		return err
	}
	return x.err
}

// ReadOutput returns a range.
func (s *Sessions) ReadOutput(_ context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.OutputQuery) (sandbox.OutputPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.exec(owner, id)
	if err != nil {
		return sandbox.OutputPage{}, err
	}
	total := x.record.Output.Total
	switch q.Stream {
	case sandbox.Stdout:
		total = x.record.Output.Stdout
	case sandbox.Stderr:
		total = x.record.Output.Stderr
	case sandbox.Display:
	}
	if q.From < 0 {
		q.From = max(0, total+q.From)
	}
	if q.Max <= 0 || q.Max > sandbox.MaxOutput {
		q.Max = sandbox.MaxOutput
	}
	page := sandbox.OutputPage{From: min(q.From, total)}
	at, left := int64(0), int64(q.Max)
	for _, piece := range x.output {
		if q.Stream != "" && q.Stream != piece.Stream {
			continue
		}
		data := piece.Data
		begin := min(max(page.From-at, 0), int64(len(data)))
		at += int64(len(data))
		data = data[begin:]
		data = data[:min(left, int64(len(data)))]
		left -= int64(len(data))
		if last := len(page.Chunks) - 1; last >= 0 && page.Chunks[last].Stream == piece.Stream {
			page.Chunks[last].Data = append(page.Chunks[last].Data, data...)
		} else if len(data) > 0 {
			page.Chunks = append(page.Chunks, sandbox.OutputChunk{Stream: piece.Stream, Data: slices.Clone(data)})
		}
	}
	page.Next = page.From + int64(q.Max) - left
	page.End = x.record.Status.Over() && page.Next == total
	return page, nil
}

// SubscribeExecution reads the events of one execution.
func (s *Sessions) SubscribeExecution(_ context.Context, owner sandbox.Principal, id sandbox.ExecID, after uint64) (sandbox.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.exec(owner, id)
	if err != nil {
		return nil, err
	}
	return &oneOf{subscription{log: &x.entry.log, after: after}, id, false}, nil
}

// oneOf is the events of one execution.
type oneOf struct {
	subscription

	id   sandbox.ExecID
	over bool
}

// Next implements [sandbox.Subscription].
func (o *oneOf) Next(ctx context.Context) ([]sandbox.Event, error) {
	for !o.over {
		events, err := o.subscription.Next(ctx)
		if err != nil {
			return nil, err
		}
		var own []sandbox.Event
		for _, e := range events {
			if e.Exec == o.id || e.Type == sandbox.Gap {
				own = append(own, e)
			}
			o.over = o.over || e.Exec == o.id && e.Type == sandbox.ExecutionFinished
		}
		if len(own) > 0 {
			return own, nil
		}
	}
	return nil, io.EOF
}

// Signal cancels the run, whatever the signal.
func (s *Sessions) Signal(_ context.Context, owner sandbox.Principal, id sandbox.ExecID, _ sandbox.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.exec(owner, id)
	if err != nil {
		return err
	}
	x.cancel()
	return nil
}

// WriteStdin keeps all of it.
func (s *Sessions) WriteStdin(_ context.Context, owner sandbox.Principal, id sandbox.ExecID, offset uint64, data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.exec(owner, id)
	switch {
	case err != nil:
		return 0, err
	case !x.record.Stdin, x.closed:
		return 0, &sandbox.Error{Op: "stdin", ID: string(id), Kind: sandbox.Invalid, Detail: "this execution takes no input"}
	case offset > uint64(len(x.input)):
		return 0, &sandbox.Error{Op: "stdin", ID: string(id), Kind: sandbox.Invalid, Detail: "the offset leaves a hole"}
	case data == nil:
		x.closed = true
	}
	known := min(len(x.input)-int(offset), len(data)) //nolint:gosec // it is within what was written
	x.input = append(x.input, data[known:]...)
	s.stir(x)
	return len(data), nil
}

// Input is what was written to the stdin of an execution.
func (s *Sessions) Input(id sandbox.ExecID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.execs[id].input)
}
