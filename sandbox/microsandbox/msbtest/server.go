package msbtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// patience bounds what the server waits for inside.
const patience = time.Minute

// A Server is a microsandbox server on a port of the loopback interface. Its
// methods may be called from many goroutines.
type Server struct {
	URL string // without a slash at its end

	opts    Options
	backend sandbox.Backend
	web     *httptest.Server
	bounded func() (context.Context, context.CancelFunc) // for what no caller waits for
	tasks   sync.WaitGroup                               // what goes on without a caller

	mu       sync.Mutex
	closed   bool
	calls    []Call
	failing  int // calls yet to be failed
	failure  http.HandlerFunc
	losing   int               // answers yet to be lost
	machines map[name]*machine // all that were ever configured
}

// A name names a sandbox. Without namespaces that part is empty.
type name struct{ namespace, sandbox string }

// A Call is a call of a method that came, whatever became of it.
type Call struct {
	Method  string
	Sandbox string
	Params  json.RawMessage
}

// NewServer starts a server whose sandboxes a backend makes, which has to
// outlive it. ctx gives values, and its end ends nothing.
func NewServer(ctx context.Context, b sandbox.Backend, o Options) *Server {
	ctx = context.WithoutCancel(ctx)
	s := &Server{
		opts: o.withDefaults(), backend: b, machines: map[name]*machine{},
		bounded: func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, patience) },
	}
	s.web = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.web.URL
	return s
}

// Close ends the server and all its sandboxes. It returns when nothing is left.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	all := slices.Collect(maps.Values(s.machines))
	s.mu.Unlock()
	var err error
	for _, m := range all {
		err = errors.Join(err, s.stop(m)) // first: their calls would go on
	}
	s.web.CloseClientConnections()
	s.web.Close()
	s.tasks.Wait()
	return err
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Calls returns the calls that came since it was asked last.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// Running returns the names of the sandboxes that run, in order.
func (s *Server) Running() []string {
	s.mu.Lock()
	all := maps.Clone(s.machines)
	s.mu.Unlock()
	var names []string
	for n, m := range all {
		if m.running() {
			names = append(names, n.sandbox)
		}
	}
	slices.Sort(names)
	return names
}

// Kill ends a sandbox as a fault of its virtual machine would: the server only
// sees that it runs no more.
func (s *Server) Kill(sandboxName string) error {
	s.mu.Lock()
	var all []*machine
	for n, m := range s.machines {
		if n.sandbox == sandboxName {
			all = append(all, m)
		}
	}
	s.mu.Unlock()
	var err error
	for _, m := range all {
		err = errors.Join(err, s.stop(m))
	}
	return err
}

// Fail lets the next n requests be answered by f and not heard; below 0 all of
// them, until it is called again.
func (s *Server) Fail(n int, f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing, s.failure = n, f
}

// Lose lets the next n requests be heard, and their answers be lost.
func (s *Server) Lose(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losing = n
}

// Disconnect breaks all connections, in the middle of whatever is asked. What
// was begun goes on.
func (s *Server) Disconnect() { s.web.CloseClientConnections() }

// Unavailable answers as what stands before a server that is not there.
func Unavailable(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "no server", http.StatusServiceUnavailable)
}

// HangUp closes the connection without an answer.
func HangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Hang gives no answer until the caller gives up.
func Hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else nobody sees that
	select {
	case <-r.Context().Done():
	case <-time.After(patience):
	}
}

// failed returns what answers a request in place of the server; nil is nothing.
func (s *Server) failed() http.HandlerFunc {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing == 0 {
		return nil
	}
	if s.failing > 0 {
		s.failing--
	}
	return s.failure
}

// loses tells whether an answer is lost.
func (s *Server) loses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.losing > 0 {
		s.losing--
		return true
	}
	return false
}

func (s *Server) note(c Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
}
