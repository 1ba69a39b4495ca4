package mcp

import (
	"container/list"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// errCanceled is the cause of a call that its client has canceled.
var errCanceled = errors.New("canceled by the client")

// errSessionEnded is the cause of a call whose legacy session has ended.
var errSessionEnded = errors.New("the MCP session ended")

// A table holds the sessions of the initialize era. They carry no state of
// sandboxes: one says which revision was agreed on, and which calls run.
//
// It is bounded in number and needs no goroutine: what has expired is dropped
// when a session is opened or asked for.
type table struct {
	ttl time.Duration
	max int
	now func() time.Time

	mu   sync.Mutex
	byID map[string]*list.Element  // of *session
	used *list.List                // the longest unused is last
	held map[sandbox.Principal]int // how many are whose
}

// A session is one entry. All of it is guarded by the table's mutex, but id,
// version and owner, which never change.
type session struct {
	id      string
	version string
	owner   sandbox.Principal
	last    time.Time
	calls   map[string]context.CancelCauseFunc // by the raw id of the request
	stream  *context.CancelFunc                // ends the GET stream; nil when there is none
}

func newTable(most int, ttl time.Duration) *table {
	return &table{ttl: ttl, max: most, now: time.Now, byID: make(map[string]*list.Element), used: list.New(), held: make(map[sandbox.Principal]int)}
}

// open makes a session. It returns false when the table is full of sessions
// that are busy.
func (t *table) open(owner sandbox.Principal, version string) (*session, bool) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropExpired()
	if len(t.byID) >= t.max && !t.dropIdle() {
		return nil, false
	}
	s := &session{id: hex.EncodeToString(random[:]), version: version, owner: owner, last: t.now()}
	t.byID[s.id] = t.used.PushFront(s)
	t.held[owner]++
	return s, true
}

// find returns a session of its owner, which is used by that.
func (t *table) find(owner sandbox.Principal, id string) (*session, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.byID[id]
	if !ok || of(e).owner != owner {
		return nil, false
	}
	s := of(e)
	if t.expired(s) {
		t.drop(e)
		return nil, false
	}
	t.touch(e)
	return s, true
}

// end ends a session of its owner, and its calls.
func (t *table) end(owner sandbox.Principal, id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.byID[id]
	if !ok || of(e).owner != owner {
		return false
	}
	t.drop(e)
	return true
}

// track notes a call that runs. It returns false when a call with that id runs
// in the session already: they could not be told apart.
func (t *table) track(s *session, id string, cancel context.CancelCauseFunc) (done func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, twice := s.calls[id]; twice {
		return nil, false
	}
	if s.calls == nil {
		s.calls = make(map[string]context.CancelCauseFunc)
	}
	s.calls[id] = cancel
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(s.calls, id)
		if e, ok := t.byID[s.id]; ok {
			t.touch(e)
		}
	}, true
}

// cancel cancels a call of the session, if it still runs.
func (t *table) cancel(s *session, id string) {
	t.mu.Lock()
	cancel := s.calls[id]
	t.mu.Unlock()
	if cancel != nil {
		cancel(errCanceled)
	}
}

// attach makes a GET stream the session's own, in place of an older one.
func (t *table) attach(s *session, cancel context.CancelFunc) (detach func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.stream != nil {
		(*s.stream)()
	}
	mine := &cancel
	s.stream = mine
	if _, ok := t.byID[s.id]; !ok { // ended meanwhile
		cancel()
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if s.stream == mine {
			s.stream = nil
		}
		if e, ok := t.byID[s.id]; ok {
			t.touch(e)
		}
	}
}

// len returns how many sessions there are.
func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// What is below is called with the mutex held.

func of(e *list.Element) *session {
	s, ok := e.Value.(*session)
	if !ok {
		panic("the table holds sessions only")
	}
	return s
}

func (t *table) touch(e *list.Element) {
	of(e).last = t.now()
	t.used.MoveToFront(e)
}

func (s *session) busy() bool { return len(s.calls) > 0 || s.stream != nil }

func (t *table) expired(s *session) bool { return !s.busy() && t.now().Sub(s.last) > t.ttl }

func (t *table) drop(e *list.Element) {
	s := of(e)
	for _, cancel := range s.calls {
		cancel(errSessionEnded)
	}
	if s.stream != nil {
		(*s.stream)()
	}
	delete(t.byID, s.id)
	t.used.Remove(e)
	if t.held[s.owner]--; t.held[s.owner] == 0 {
		delete(t.held, s.owner)
	}
}

// dropExpired drops what is unused for too long, which is at the end.
func (t *table) dropExpired() {
	for e := t.used.Back(); e != nil && t.expired(of(e)); e = t.used.Back() {
		t.drop(e)
	}
}

// dropIdle drops the longest unused session that nothing runs in, of the owner
// who has most: nobody pushes out the sessions of others.
func (t *table) dropIdle() bool {
	most := 0
	for _, n := range t.held {
		most = max(most, n)
	}
	var other *list.Element
	for e := t.used.Back(); e != nil; e = e.Prev() {
		if of(e).busy() {
			continue
		}
		if t.held[of(e).owner] == most {
			t.drop(e)
			return true
		}
		if other == nil {
			other = e
		}
	}
	if other == nil {
		return false
	}
	t.drop(other)
	return true
}
