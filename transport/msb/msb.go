// Package msb serves the API of microsandbox servers of the v0.2 line, as they
// listened on port 5555, over our own sessions: a sandbox of it is a session,
// and its namespace the owner.
//
// Both dialects are taken: requests without a namespace mean "default". The
// texts and codes that clients know are in texts.go; what they did not have, the
// reason of a failure, comes in members of its own.
package msb

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

// A Handler serves the API.
type Handler struct {
	sessions Sessions
	options  Options
	keeper   atomic.Pointer[Keeper] // nil is the development mode
	registry *registry
	core     *server.MCPServer
	calls    chan struct{} // as many as there may be at once
	large    chan struct{}

	mu      sync.Mutex
	samples map[place]sample // of the use of processors
}

// maxConfigs is how much the configurations that are kept may have, in bytes.
const maxConfigs = 64 << 20

// New returns a Handler on sessions, which is to be shut down. It fails when the
// file of its options cannot be read or written.
func New(sessions Sessions, options Options) (*Handler, error) {
	options = options.withDefaults()
	registry, err := openRegistry(options.File, options.MaxSandboxes, maxConfigs)
	if err != nil {
		return nil, err
	}
	h := &Handler{
		sessions: sessions, options: options, registry: registry, samples: map[place]sample{},
		calls: make(chan struct{}, options.MaxCalls), large: make(chan struct{}, options.MaxLarge),
	}
	h.SetKeys(options.Keys)
	h.core = h.newCore()
	return h, nil
}

// SetKeys changes who may come in from now on. Nil is the development mode.
func (h *Handler) SetKeys(k Keeper) {
	if k == nil {
		h.keeper.Store(nil)
		return
	}
	h.keeper.Store(&k)
}

// Shutdown ends what the handler holds. No request may come any more.
func (h *Handler) Shutdown(context.Context) error { return h.registry.close() }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.recovered(w, r)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // each answer has one of its own
	if allowAll(w, r) {
		return
	}
	if h.keeper.Load() == nil && r.URL.Path != healthPath {
		if why := h.options.Foreign(r); why != "" {
			h.refuse(w, &refusal{status: http.StatusForbidden, code: codeForbidden, text: textForbidden, reason: why})
			return
		}
	}
	h.route(w, r)
}

const healthPath = "/api/v1/health"

// route is the table of paths.
func (h *Handler) route(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case healthPath:
		h.only(w, r, http.MethodGet, h.health)
	case "/api/v1/rpc":
		h.only(w, r, http.MethodPost, h.rpc)
	case "/api/v1/sessions":
		h.only(w, r, http.MethodDelete, h.stopAll)
	case "/mcp":
		h.only(w, r, http.MethodPost, h.mcp)
	default:
		http.Error(w, "Not found; the paths are "+healthPath+", /api/v1/rpc, /api/v1/sessions and /mcp", http.StatusNotFound)
	}
}

func (h *Handler) only(w http.ResponseWriter, r *http.Request, method string, serve http.HandlerFunc) {
	if r.Method == method || r.Method == http.MethodHead && method == http.MethodGet {
		serve(w, r)
		return
	}
	w.Header().Set("Allow", method)
	http.Error(w, "Method not allowed; use "+method, http.StatusMethodNotAllowed)
}

// health says that the server is there, and whose it is: daemons in front of
// others find out by it whether they would ask themselves.
func (h *Handler) health(w http.ResponseWriter, _ *http.Request) {
	h.write(w, http.StatusOK, struct {
		Message  string   `json:"message"`
		Instance string   `json:"instance,omitempty"`
		Behind   []string `json:"behind,omitempty"`
	}{textHealthy, h.options.Instance, h.options.Behind()})
}

// allowAll sets what browsers ask for, and answers OPTIONS, which it reports.
func allowAll(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	if r.Method != http.MethodOptions {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "GET,POST,PUT,DELETE")
	header.Set("Access-Control-Allow-Headers", "authorization,accept,content-type")
	w.WriteHeader(http.StatusOK)
	return true
}

// recovered answers a request that a bug of ours has ended.
func (h *Handler) recovered(w http.ResponseWriter, r *http.Request) {
	if bug := recover(); bug != nil && bug != http.ErrAbortHandler { //nolint:errorlint // recover gives it as it is
		h.options.Logger.ErrorContext(r.Context(), "a request ended in a panic", "panic", bug, "stack", string(debug.Stack()))
		h.refuse(w, internal("a bug", ""))
	}
}
