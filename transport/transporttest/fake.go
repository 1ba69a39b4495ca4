// Package transporttest helps to test what serves clients: it has sessions that
// behave like the daemon's, without sandboxes.
package transporttest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Run is what an execution does. It may fill the result, call Follow, wait
// for ctx, and fail.
type Run func(ctx context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error

// Sessions are sessions in memory. The zero value is ready, and echoes code. It
// keeps the promises of the daemon's: Follow is called by the caller of
// Execute, events have rising numbers, a log ends with its session.
type Sessions struct {
	Run      Run              // what executions do; nil echoes
	Reject   error            // what all calls fail with, when set
	Overall  sandbox.Overview // what Overview returns
	LogLimit int              // events kept for each log; 0 keeps all

	mu    sync.Mutex
	names []sandbox.Ref
	byID  map[sandbox.Ref]*entry
	all   map[sandbox.Principal]*eventLog
	execs map[sandbox.ExecID]*execution
	order []*execution // as they were asked for
	files map[sandbox.Ref]map[string][]byte
	count int
}

type entry struct {
	session sandbox.Session
	log     eventLog
}

func (s *Sessions) open(r sandbox.SessionRequest) (*entry, bool, error) {
	if s.Reject != nil {
		return nil, false, s.Reject
	}
	if strings.ContainsAny(r.Session, " /") {
		return nil, false, &sandbox.Error{Op: "create", ID: r.Session, Kind: sandbox.Invalid, Detail: "the session name has a space or a slash"}
	}
	s.count++
	if r.Session == "" {
		r.Session = fmt.Sprintf("anonymous-%d", s.count)
	}
	if e, ok := s.byID[r.Ref()]; ok {
		return e, false, nil
	}
	if s.byID == nil {
		s.byID = make(map[sandbox.Ref]*entry)
	}
	e := &entry{session: sandbox.Session{
		Owner: r.Owner, Name: r.Session, Sandbox: sandbox.ID(fmt.Sprintf("sb-%d", s.count)), Status: sandbox.StatusReady,
		Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0],
		Created:  time.Date(2026, 1, 31, 15, 36, s.count, 526375000, time.Local),
		LastUsed: time.Date(2026, 1, 31, 15, 36, s.count, 0, time.Local),
		Dir:      r.Dir, Labels: r.Labels, IdleTimeout: r.IdleTimeout,
	}}
	if r.MaxAge > 0 {
		e.session.Expires = e.session.Created.Add(r.MaxAge)
	}
	for _, t := range sandbox.Templates() {
		if t.Name == r.Template {
			e.session.Template = t
		}
	}
	for _, f := range sandbox.Flavors() {
		if f.Name == r.Flavor {
			e.session.Flavor = f
		}
	}
	s.byID[r.Ref()] = e
	s.names = append(s.names, r.Ref())
	s.publish(e, sandbox.Event{Type: sandbox.SessionReady})
	return e, true, nil
}

// Create makes a session.
func (s *Sessions) Create(_ context.Context, r sandbox.SessionRequest) (sandbox.Session, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, made, err := s.open(r)
	if err != nil {
		return sandbox.Session{}, false, err
	}
	return e.session, made, nil
}

func echo(_ context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
	result.Stdout = []byte(r.Code + strings.Join(r.Argv, " ") + "\n")
	r.Follow(sandbox.Stdout, result.Stdout)
	result.Exit.Duration = 2 * time.Millisecond
	return nil
}

// List returns the sessions of an owner in the order of their creation.
func (s *Sessions) List(_ context.Context, q sandbox.SessionQuery) ([]sandbox.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []sandbox.Session
	for _, name := range s.names {
		if name.Owner == q.Owner && wanted(&s.byID[name].session, &q) {
			all = append(all, s.byID[name].session)
		}
	}
	return all, s.Reject
}

func wanted(s *sandbox.Session, q *sandbox.SessionQuery) bool {
	for name, value := range q.Labels {
		if s.Labels[name] != value {
			return false
		}
	}
	return (q.Template == "" || q.Template == s.Template.Name) && (q.Status == "" || q.Status == s.Status)
}

// Touch finds a session.
func (s *Sessions) Touch(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error) {
	return s.Find(ctx, ref)
}

func (s *Sessions) find(ref sandbox.Ref) (*entry, error) {
	if s.Reject != nil {
		return nil, s.Reject
	}
	if e, ok := s.byID[ref]; ok {
		return e, nil
	}
	return nil, &sandbox.Error{Op: "find", ID: ref.Name, Kind: sandbox.NotFound}
}

// Find returns one session.
func (s *Sessions) Find(_ context.Context, ref sandbox.Ref) (sandbox.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(ref)
	if err != nil {
		return sandbox.Session{}, err
	}
	return e.session, nil
}

// Stop ends a session and its log.
func (s *Sessions) Stop(_ context.Context, ref sandbox.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(ref)
	if err != nil {
		return err
	}
	s.publish(e, sandbox.Event{Type: sandbox.SessionStopped, Cause: sandbox.CauseKilled})
	e.log.end()
	delete(s.byID, ref)
	s.names = slices.DeleteFunc(s.names, func(n sandbox.Ref) bool { return n == ref })
	return nil
}

// Publish adds an event to a session that is there.
func (s *Sessions) Publish(name string, e sandbox.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publish(s.byID[sandbox.Ref{Name: name}], e)
}

func (s *Sessions) publish(to *entry, e sandbox.Event) {
	e.Session, e.Time = to.session.Name, time.Date(2026, 1, 31, 15, 36, 30, 0, time.UTC)
	to.log.append(e, s.LogLimit)
	s.owned(to.session.Owner).append(e, s.LogLimit)
}

// owned is the log of all events of an owner.
func (s *Sessions) owned(owner sandbox.Principal) *eventLog {
	if s.all == nil {
		s.all = make(map[sandbox.Principal]*eventLog)
	}
	if s.all[owner] == nil {
		s.all[owner] = &eventLog{}
	}
	return s.all[owner]
}

// Subscribe reads one session's events.
func (s *Sessions) Subscribe(_ context.Context, ref sandbox.Ref, after uint64) (sandbox.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	return &subscription{log: &e.log, after: after}, nil
}

// SubscribeAll reads the events of all sessions of an owner.
func (s *Sessions) SubscribeAll(_ context.Context, owner sandbox.Principal, after uint64) (sandbox.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &subscription{log: s.owned(owner), after: after}, s.Reject
}

// Overview returns Overall.
func (s *Sessions) Overview(context.Context) (sandbox.Overview, error) {
	return s.Overall, s.Reject
}

// An eventLog is the newest events of a session or of all.
type eventLog struct {
	mu     sync.Mutex
	events []sandbox.Event
	last   uint64
	ended  bool
	wake   chan struct{} // closed when there is something new
}

func (l *eventLog) append(e sandbox.Event, limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Seq = l.last
	l.events = append(l.events, e)
	if limit > 0 && len(l.events) > limit {
		l.events = slices.Clone(l.events[len(l.events)-limit:])
	}
	l.wakeAll()
}

func (l *eventLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wakeAll()
}

func (l *eventLog) wakeAll() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

type subscription struct {
	log   *eventLog
	after uint64
}

// Next implements [sandbox.Subscription].
func (s *subscription) Next(ctx context.Context) ([]sandbox.Event, error) {
	for {
		events, wake, err := s.take()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *subscription) take() ([]sandbox.Event, <-chan struct{}, error) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []sandbox.Event
	for _, e := range l.events {
		if e.Seq <= s.after {
			continue
		}
		if e.Seq > s.after+1 && len(out) == 0 {
			out = append(out, sandbox.Event{Seq: e.Seq - 1, Time: e.Time, Type: sandbox.Gap, From: s.after + 1, To: e.Seq - 1})
		}
		out = append(out, e)
		s.after = e.Seq
		if len(out) >= 256 {
			break
		}
	}
	if len(out) == 0 && l.ended {
		return nil, nil, io.EOF
	}
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return out, l.wake, nil
}
