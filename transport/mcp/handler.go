package mcp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	protocol "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
	"github.com/sandwarden/sandwarden/transport/sse"
)

// A Handler serves the protocol. It may be used from many goroutines.
type Handler struct {
	sessions   Sessions
	options    Options
	core       *server.MCPServer
	guideRules rules
	openRules  rules
	guideTools []byte // the result of tools/list in the guide dialect
	discovered []byte // the result of server/discover
	jsonType   []string
	table      *table
	streams    *sse.Streams
	detached   detached
	senders    senders
	inFlight   *door.Shares
	large      chan struct{} // a place in it is held while a large body is read
}

// New returns a Handler on sessions.
func New(sessions Sessions, options Options) *Handler {
	options = options.withDefaults()
	h := &Handler{
		sessions: sessions, options: options,
		guideRules: options.guideRules(), openRules: options.openRules(),
		guideTools: guideTools(options.DefaultFlavor),
		jsonType:   []string{"application/json"},
		table:      newTable(options.MaxSessions, options.SessionTTL),
		streams:    sse.NewStreams(options.MaxStreams),
		detached:   detached{most: options.MaxCalls},
		inFlight:   door.NewShares(options.MaxCalls),
		large:      make(chan struct{}, options.MaxLarge),
	}
	h.discovered = h.discovery()
	h.core = h.newCore()
	return h
}

// Shutdown ends streams and the calls that outlived their connections, and
// waits for these until ctx ends. Other calls end with their requests.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.streams.Close()
	return h.detached.end(ctx)
}

// ServeHTTP implements [http.Handler] for the methods of the protocol.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		h.post(w, r)
	case http.MethodGet, http.MethodHead:
		h.get(w, r)
	case http.MethodDelete:
		h.delete(w, r)
	default:
		h.notAllowed(w, "OPTIONS, POST, GET")
	}
}

func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	who := door.Principal(r.Context())
	if !h.inFlight.Take(who) {
		h.tooBusy(w, nil)
		return
	}
	defer h.inFlight.Give(who)
	var m message
	defer func() {
		if v := recover(); v != nil {
			h.panicked(r.Context(), v)
			h.refuse(w, http.StatusOK, m.id, internal())
		}
	}()
	body, err := h.body(w, r)
	if err != nil {
		h.badBody(w, r, err)
		return
	}
	m = decode(body)
	switch dialectOf(r.Header, &m) {
	case guide:
		h.serveGuide(w, r, &m)
	case legacy:
		h.serveLegacy(w, r, &m)
	case modern:
		h.serveModern(w, r, &m)
	}
}

// body reads a request to its end, which is also what lets net/http notice that
// a client has gone.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	// Writers without deadlines are those of tests.
	_ = control.SetReadDeadline(time.Now().Add(h.options.ReadTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	limited := http.MaxBytesReader(w, r.Body, h.options.MaxBody)
	// The length is what the client claims: it may save a copy, not cost memory.
	buffer := make([]byte, 0, min(max(r.ContentLength, 0), smallBody)+512)
	place := false
	defer func() {
		if place {
			<-h.large
		}
	}()
	for {
		n, err := limited.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case errors.Is(err, io.EOF):
			return buffer, nil
		case err != nil:
			return nil, err
		}
		if len(buffer) < cap(buffer) {
			continue
		}
		if !place && len(buffer) > smallBody {
			if place = h.placeForLarge(r.Context()); !place {
				return nil, errCrowded
			}
		}
		buffer = slices.Grow(buffer, len(buffer))
	}
}

// smallBody is the size in bytes up to which bodies are read side by side
// without a bound on their number, but for that of connections.
const smallBody = 64 << 10

// errCrowded says that as many large bodies as may be are being read.
var errCrowded = errors.New("too many large requests at once")

// placeForLarge waits for a place among those that send much: slow senders of
// large bodies must not fill the daemon's memory.
func (h *Handler) placeForLarge(ctx context.Context) bool {
	timer := time.NewTimer(h.options.ReadTimeout / 2)
	defer timer.Stop()
	select {
	case h.large <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

func (h *Handler) badBody(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errCrowded) {
		w.Header().Set("Retry-After", "10")
		h.refuse(w, http.StatusServiceUnavailable, nil, invalid("Too many large requests at once; try again in a few seconds"))
		return
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		h.refuse(w, http.StatusRequestEntityTooLarge, nil,
			invalid("Request body must be at most "+bytesOf(tooLarge.Limit)+"; send less at a time"))
		return
	}
	h.options.Logger.DebugContext(r.Context(), "request not read", "err", err)
	h.refuse(w, http.StatusBadRequest, nil, invalid("The request body could not be read to its end"))
}

// serveModern tells clients of later revisions what is served here. They know
// how to step back.
func (h *Handler) serveModern(w http.ResponseWriter, r *http.Request, m *message) {
	if m.isNotification() {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	dst := appendHead(nil, m.id, "error")
	dst = plainjson.IntMember(append(dst, '{'), "code", protocol.UNSUPPORTED_PROTOCOL_VERSION)
	dst = plainjson.StringMember(dst, "message", "Unsupported protocol version")
	dst = append(plainjson.AppendName(dst, "data"), '{')
	dst = plainjson.AppendStrings(plainjson.AppendName(dst, "supported"), servedVersions())
	dst = plainjson.StringMember(dst, "requested", requestedVersion(r.Header, m))
	h.writeJSON(w, http.StatusBadRequest, append(dst, "}}}"...))
}

// get is the status, unless a legacy client wants its session's stream.
func (h *Handler) get(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(sessionHeader)
	switch {
	case protocol.IsModernProtocol(r.Header.Get(versionHeader)):
		h.notAllowed(w, "POST")
	case r.Method == http.MethodHead, !sse.Accepted(r):
		if h.options.Status == nil {
			h.notAllowed(w, "OPTIONS, POST")
			return
		}
		h.options.Status.ServeHTTP(w, r)
	case id == "":
		h.notAllowed(w, "OPTIONS, POST, GET")
	case r.Header.Get("Last-Event-Id") != "":
		h.refuse(w, http.StatusBadRequest, nil, invalid("This event is not kept; open the stream without Last-Event-ID"))
	default:
		h.stream(w, r, id)
	}
}

// stream is a session's standalone stream. Nothing is sent on it but signs of
// life: what belongs to a call goes to that call.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, id string) {
	s, ok := h.table.find(door.Principal(r.Context()), id)
	if !ok {
		h.refuse(w, http.StatusNotFound, nil, invalid("Session not found; begin a new one with initialize"))
		return
	}
	entered, leave, ok := h.streams.Enter(r.Context())
	if !ok {
		h.tooBusy(w, nil)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(entered)
	defer cancel()
	defer h.table.attach(s, cancel)()
	out := sse.NewWriter(w, h.options.WriteTimeout)
	out.Start()
	ticker := time.NewTicker(h.options.Heartbeat)
	defer ticker.Stop()
	for {
		if out.Comment("keepalive") != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h *Handler) delete(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(sessionHeader)
	switch {
	case protocol.IsModernProtocol(r.Header.Get(versionHeader)):
		h.notAllowed(w, "POST")
	case id == "":
		h.notAllowed(w, "OPTIONS, POST, GET")
	case !h.table.end(door.Principal(r.Context()), id):
		h.refuse(w, http.StatusNotFound, nil, invalid("Session not found"))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// notAllowed is the contract's answer to a method that a path does not have.
func (h *Handler) notAllowed(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	h.writeJSON(w, http.StatusMethodNotAllowed, []byte(`{"detail":"Method Not Allowed"}`))
}

func busy() *fault.Fault { return invalid("Too many requests at once; try again in a moment") }

func (h *Handler) tooBusy(w http.ResponseWriter, id []byte) {
	w.Header().Set("Retry-After", "1")
	h.refuse(w, http.StatusServiceUnavailable, id, busy())
}

func (h *Handler) panicked(ctx context.Context, v any) {
	h.options.Logger.ErrorContext(ctx, "call panicked", "err", v, "stack", string(debug.Stack()))
}

// writeDeadline bounds the write that follows. Writers without deadlines are
// those of tests.
func (h *Handler) writeDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.options.WriteTimeout))
}

// discovery is the result of server/discover.
func (h *Handler) discovery() []byte {
	dst := []byte(`{"resultType":"complete"`)
	dst = plainjson.AppendStrings(plainjson.AppendName(dst, "supportedVersions"), servedVersions())
	dst = append(dst, `,"capabilities":{"tools":{}}`...)
	dst = plainjson.StringMember(dst, "instructions", instructions)
	dst = append(dst, `,"ttlMs":300000,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{`...)
	dst = plainjson.StringMember(dst, "name", serverName)
	dst = plainjson.StringMember(dst, "version", h.options.Version)
	return append(dst, "}}}"...)
}
