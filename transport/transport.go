// Package transport serves clients over HTTP.
//
// This folder is the front: which hosts and origins may ask, which path is
// whose, and what the daemon says of itself. Each dialect has a folder below.
// Errors become words in transport/fault and nowhere else.
package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/events"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/rest"
	"github.com/sandwarden/sandwarden/transport/sse"
)

// Options are what an operator may set. The zero value is ready.
type Options struct {
	Logger          *slog.Logger     // nil discards
	Meter           Meter            // nil counts nothing
	Metrics         http.Handler     // answers GET /metrics; nil: there is none
	Version         string           // of the daemon, as clients see it
	Policy          Policy           // who may come in; it can be changed later
	Volumes         []sandbox.Volume // that every sandbox sees
	MaxBody         int64            // bytes of a request; default 4 MiB
	MaxCode         int              // bytes of code or of a command; default 1 MiB
	MaxCalls        int              // requests in flight over MCP; default 4096
	MaxMCPSessions  int              // sessions of the protocol kept; default 10000
	MaxStreams      int              // open streams of events, and requests of REST that wait; default 4096
	MaxFile         int64            // bytes of a file or of a tree that is sent over REST; default 1 GiB
	DefaultTimeout  time.Duration    // of calls that name none; default 300 s
	MaxTimeout      time.Duration    // that a call may name; default 1800 s
	SoftLimit       time.Duration    // after which calls of MCP clients that shook hands answer early; default 45 s
	DefaultTemplate string           // default "python"
	DefaultFlavor   string           // default "small"
	Templates       []string         // that calls may name; default: the built-in ones
	Flavors         []string         // that calls may name; default: the built-in ones
	Heartbeat       time.Duration    // between signs of life on a silent stream; default 15 s
	WriteTimeout    time.Duration    // of each write to a client; default 30 s
	ReadTimeout     time.Duration    // of a request's body; default 30 s
}

// A Policy says who may come in. The zero value lets in who is on this machine.
type Policy struct {
	Keeper         door.Keeper // knows the tokens; nil needs none
	EnableCORS     bool
	AllowedOrigins []string // beside those of this machine; "*" allows all
	AllowedHosts   []string // beside those of this machine, where we listen on it alone; "*" allows all
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = noMeter{}
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
	if o.MaxStreams == 0 {
		o.MaxStreams = 4096
	}
	if o.MaxTimeout == 0 {
		o.MaxTimeout = 1800 * time.Second
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 30 * time.Second
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = 30 * time.Second
	}
	return o
}

// A Handler is the whole HTTP surface. Its server should have a
// ReadHeaderTimeout and no WriteTimeout: writes have deadlines of their own.
type Handler struct {
	sessions Sessions
	options  Options
	policy   atomic.Pointer[Policy]
	draining atomic.Bool
	mcp      *mcp.Handler
	events   *events.Handler
	rest     *rest.Handler
	streams  *sse.Streams
}

// New returns a Handler on sessions.
func New(sessions Sessions, options Options) *Handler {
	options = options.withDefaults()
	h := &Handler{sessions: sessions, options: options, streams: sse.NewStreams(options.MaxStreams)}
	h.SetPolicy(options.Policy)
	h.mcp = mcp.New(sessions, mcp.Options{
		Logger: options.Logger, Version: options.Version, Status: http.HandlerFunc(h.status),
		MaxBody: options.MaxBody, MaxCode: options.MaxCode, MaxCalls: options.MaxCalls, MaxSessions: options.MaxMCPSessions,
		DefaultTimeout: options.DefaultTimeout, MaxTimeout: options.MaxTimeout, SoftLimit: options.SoftLimit,
		DefaultTemplate: options.DefaultTemplate, DefaultFlavor: options.DefaultFlavor,
		Templates: options.Templates, Flavors: options.Flavors,
		Volumes: options.Volumes, Heartbeat: options.Heartbeat, WriteTimeout: options.WriteTimeout, ReadTimeout: options.ReadTimeout,
	})
	h.events = events.New(sessions, h.streams, events.Options{
		Logger: options.Logger, Heartbeat: options.Heartbeat, WriteTimeout: options.WriteTimeout,
	})
	h.rest = rest.New(sessions, h.streams, h.events, rest.Options{
		Logger: options.Logger, Version: options.Version,
		MaxBody: options.MaxBody, MaxCode: options.MaxCode, MaxFile: options.MaxFile, MaxTimeout: options.MaxTimeout,
		WriteTimeout: options.WriteTimeout, ReadTimeout: options.ReadTimeout,
	})
	return h
}

// SetPolicy changes who may come in from now on. Streams that are open stay.
func (h *Handler) SetPolicy(p Policy) { h.policy.Store(&p) }

// Drain says that the daemon is about to shut down, which /ready then tells:
// who sends clients here should send them elsewhere. All else goes on.
func (h *Handler) Drain() { h.draining.Store(true) }

// ServeLines serves one client of MCP over a pair of streams until the input or
// ctx ends.
func (h *Handler) ServeLines(ctx context.Context, in io.Reader, out io.Writer) error {
	return h.mcp.ServeLines(ctx, in, out)
}

// Shutdown ends what would keep an [http.Server] from shutting down: streams,
// and calls that outlived their connections, for which it waits until ctx ends.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.streams.Close()
	return h.mcp.Shutdown(ctx)
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = identified(w, r)
	seen := &statusWriter{ResponseWriter: w, meter: h.options.Meter, status: http.StatusOK}
	defer h.answered(r, seen, time.Now())
	w = seen
	defer h.recovered(w, r)
	if r.ContentLength != 0 { // net/http reads a body to its end before it sends an answer; writers of tests have no deadlines
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.options.ReadTimeout))
	}
	policy := h.policy.Load()
	if reason, refusal := policy.foreign(r); refusal != "" {
		h.turnedAway(r, reason, refusal)
		writeDetail(w, http.StatusForbidden, refusal)
		return
	}
	if policy.cors(w, r) {
		return
	}
	if policy.Keeper != nil && !isOpen(r) {
		entered, refusal := door.Enter(policy.Keeper, r)
		if entered == nil {
			h.turnedAway(r, "auth", refusal)
			unauthorized(w, r, refusal)
			return
		}
		r = entered
	}
	h.route(w, r)
}

// isOpen reports whether a request is answered to anybody: what health checks
// ask, and what REST says of itself, which tell nothing of anybody's sessions.
func isOpen(r *http.Request) bool {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	return read && (r.URL.Path == "/" || r.URL.Path == "/health" || r.URL.Path == "/ready" || rest.IsPublic(r.URL.Path))
}

// turnedAway notes who was not let in, and why.
func (h *Handler) turnedAway(r *http.Request, reason, why string) {
	h.options.Meter.RequestRefused(reason)
	h.options.Logger.InfoContext(r.Context(), "Connection refused", "addr", r.RemoteAddr, "path", r.URL.Path, "err", why) //nolint:sloglint // what users of the original search for
}

// unauthorized answers who has no token, as the path's clients expect it.
func unauthorized(w http.ResponseWriter, r *http.Request, refusal string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="sandwarden"`)
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		f := fault.Invalid("Unauthorized: " + refusal)
		f.Status = http.StatusUnauthorized
		f.WriteProblem(w)
		return
	}
	writeDetail(w, http.StatusUnauthorized, "Unauthorized: "+refusal)
}

// route is the table of paths.
func (h *Handler) route(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/mcp":
		h.mcp.ServeHTTP(w, r)
	case path == "/" && r.Method == http.MethodPost:
		h.mcp.ServeHTTP(w, r)
	case path == "/":
		getOnly(w, r, h.status, "OPTIONS, POST, GET")
	case path == "/health":
		getOnly(w, r, h.health, "GET")
	case path == "/ready":
		getOnly(w, r, h.ready, "GET")
	case path == "/metrics" && h.options.Metrics != nil:
		getOnly(w, r, h.options.Metrics.ServeHTTP, "GET")
	case len(path) > 1 && strings.HasSuffix(path, "/") && isPath(strings.TrimSuffix(path, "/")):
		redirect(w, r, strings.TrimSuffix(path, "/"))
	case strings.HasPrefix(path, "/v1/"):
		h.rest.ServeHTTP(w, r)
	default:
		writeDetail(w, http.StatusNotFound, "Not Found")
	}
}

func isPath(path string) bool {
	return path == "/mcp" || path == "/health" || path == "/ready" || path == "/metrics" || path == "/v1/events" || path == "/v1/sessions"
}

// redirect sends a client to a path of ours without its slash.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	w.Header().Set("Location", scheme+r.Host+path)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

func getOnly(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc, allowed string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", allowed)
		writeDetail(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	serve(w, r)
}

// recovered answers a request whose handler has panicked.
func (h *Handler) recovered(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v) // net/http asks for it
	}
	h.options.Logger.ErrorContext(r.Context(), "request panicked", "err", v, "stack", string(debug.Stack()))
	writeDetail(w, http.StatusInternalServerError, "Internal server error")
}
