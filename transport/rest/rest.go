// Package rest serves sessions, their executions, their files and their events
// as resources under /v1, and tells of them in OpenAPI.
//
// A client that wants to see a session's events from the first one makes the
// session here, subscribes, and then runs its code. What is run here goes on
// when its client goes away: an execution is an object with an address, and its
// output can be read again from any byte.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/sse"
)

// Sessions is what the resources are.
type Sessions interface {
	Create(ctx context.Context, r sandbox.SessionRequest) (sandbox.Session, bool, error)
	Touch(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error)
	List(ctx context.Context, q sandbox.SessionQuery) ([]sandbox.Session, error)
	Find(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error)
	Stop(ctx context.Context, ref sandbox.Ref) error
	Transfer(ctx context.Context, ref sandbox.Ref, r sandbox.FileRequest) (sandbox.Transfer, error)
	Executions
}

// Executions are the runs of all sessions.
type Executions interface {
	Start(ctx context.Context, r sandbox.ExecRequest) (sandbox.Execution, sandbox.Session, bool, error)
	Execution(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.Execution, error)
	ListExecutions(ctx context.Context, q sandbox.ExecQuery) ([]sandbox.Execution, error)
	Await(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.WaitQuery) (sandbox.Execution, error)
	Result(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.ExecResult, error)
	ReadOutput(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.OutputQuery) (sandbox.OutputPage, error)
	Signal(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, s sandbox.Signal) error
	WriteStdin(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, offset uint64, data []byte) (int, error)
}

// Events serve streams of events.
type Events interface {
	All(w http.ResponseWriter, r *http.Request)
	One(w http.ResponseWriter, r *http.Request, session string)
	Execution(w http.ResponseWriter, r *http.Request, id sandbox.ExecID)
}

// Options are what an operator may set. The zero value is ready.
type Options struct {
	Logger       *slog.Logger  // nil discards
	Version      string        // of the daemon, as the document has it
	MaxBody      int64         // bytes of a request for an execution; default 4 MiB
	MaxCode      int           // bytes of code or of a command; default 1 MiB
	MaxFile      int64         // bytes of a file or of a tree that is sent; default 1 GiB
	MaxTimeout   time.Duration // that an execution may have; default 1800 s
	WriteTimeout time.Duration // of each write to a client; default 30 s
	ReadTimeout  time.Duration // of a request's body, and of each piece of one that is streamed; default 30 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.MaxBody == 0 {
		o.MaxBody = 4 << 20
	}
	if o.MaxCode == 0 {
		o.MaxCode = 1 << 20
	}
	if o.MaxFile == 0 {
		o.MaxFile = 1 << 30
	}
	if o.MaxTimeout == 0 {
		o.MaxTimeout = 1800 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 30 * time.Second
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = 30 * time.Second
	}
	return o
}

// A Handler serves all that is under /v1.
type Handler struct {
	sessions Sessions
	streams  *sse.Streams // among which requests are that wait
	events   Events
	options  Options
	mux      *http.ServeMux
	api      huma.API
	document document
}

// New returns a Handler on sessions, whose requests that wait are among the
// given streams.
func New(sessions Sessions, streams *sse.Streams, events Events, options Options) *Handler {
	h := &Handler{sessions: sessions, streams: streams, events: events, options: options.withDefaults(), mux: http.NewServeMux()}
	h.api = newAPI(h)
	h.sessionRoutes()
	h.executionRoutes()
	h.outputRoutes()
	h.inputRoutes()
	h.fileRoutes()
	h.treeRoutes()
	h.eventRoutes()
	h.documentRoutes()
	return h
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff") // what a sandbox made must stay what we say it is
	serve, pattern := h.mux.Handler(r)
	if pattern == "" {
		h.unrouted(w, r, serve)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// unrouted answers what no route takes, for which the mux has words of its own.
func (h *Handler) unrouted(w http.ResponseWriter, r *http.Request, serve http.Handler) {
	verdict := &verdict{header: http.Header{}}
	serve.ServeHTTP(verdict, r)
	f := fault.Invalid("There is nothing at " + r.URL.Path)
	f.Kind, f.Status, f.Remedy = sandbox.NotFound, http.StatusNotFound, "Look at /v1/docs for what there is"
	if verdict.status == http.StatusMethodNotAllowed {
		allowed := strings.ReplaceAll(verdict.header.Get("Allow"), "GET, HEAD", "GET")
		w.Header().Set("Allow", allowed)
		f = fault.Invalid("This path takes " + allowed)
		f.Status = verdict.status
	}
	h.refuse(w, f)
}

// A verdict is what the mux says to a request that it has no route for.
type verdict struct {
	header http.Header
	status int
}

// Header implements [http.ResponseWriter].
func (v *verdict) Header() http.Header { return v.header }

// Write implements [http.ResponseWriter].
func (v *verdict) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements [http.ResponseWriter].
func (v *verdict) WriteHeader(status int) { v.status = status }
