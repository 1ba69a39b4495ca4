package msb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"
)

// A request is one of JSON-RPC.
type request struct {
	Version string          `json:"jsonrpc"`
	Method  *string         `json:"method"`
	Params  json.RawMessage `json:"params"`
	ID      json.RawMessage `json:"id"`
}

// A call is a request that may be served.
type call struct {
	method string
	params params
	scope  scope
}

// methods are the published ones.
var methods = map[string]func(*Handler, context.Context, *call) (any, error){ //nolint:gochecknoglobals // a table
	"sandbox.start":       (*Handler).start,
	"sandbox.stop":        (*Handler).stop,
	"sandbox.metrics.get": (*Handler).metrics,
	"sandbox.repl.run":    (*Handler).runCode,
	"sandbox.command.run": (*Handler).runCommand,
}

// rpc serves one request of JSON-RPC.
func (h *Handler) rpc(w http.ResponseWriter, r *http.Request) {
	scope, body, leave, ok := h.admit(w, r)
	if !ok {
		return
	}
	defer leave()
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		h.unreadable(w, scope, err)
		return
	}
	if q.Version != "2.0" {
		h.rpcError(w, http.StatusBadRequest, codeRequest, textVersion, q.ID)
		return
	}
	if q.Method == nil {
		http.Error(w, "Failed to deserialize the JSON body into the target type: missing field `method`", http.StatusUnprocessableEntity)
		return
	}
	perform := methods[*q.Method]
	if perform == nil {
		h.rpcError(w, http.StatusNotFound, codeMethod, fmt.Sprintf(textMethod, clip(*q.Method)), q.ID)
		return
	}
	c, refused := newCall(*q.Method, q.Params, scope)
	if refused != nil {
		h.refuse(w, refused)
		return
	}
	result, err := perform(h, r.Context(), c)
	if err != nil {
		h.failed(r, c, err)
		h.refuse(w, refusalOf(err))
		return
	}
	h.write(w, http.StatusOK, struct {
		Version string          `json:"jsonrpc"`
		Result  any             `json:"result"`
		ID      json.RawMessage `json:"id,omitempty"`
	}{"2.0", result, idOf(q.ID)})
}

// failed notes a call that failed, with its cause, which clients do not get. What
// they asked wrongly is no news: who watches a namespace asks for it before there
// is one.
func (h *Handler) failed(r *http.Request, c *call, err error) {
	level := slog.LevelInfo
	if refusalOf(err).status < http.StatusInternalServerError {
		level = slog.LevelDebug
	}
	h.options.Logger.Log(r.Context(), level, "a call of the microsandbox API failed",
		"method", c.method, "namespace", c.params.space(), "sandbox", c.params.name(), "err", err)
}

// unreadable answers a body that is no request, as servers of the v0.2 line do.
func (h *Handler) unreadable(w http.ResponseWriter, s scope, err error) {
	if s != everything {
		h.refuse(w, invalid(textScopedRequest, err))
		return
	}
	if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); wrongType {
		http.Error(w, "Failed to deserialize the JSON body into the target type: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	http.Error(w, "Failed to parse the request body as JSON: "+err.Error(), http.StatusBadRequest)
}

// rpcError answers with an error of JSON-RPC.
func (h *Handler) rpcError(w http.ResponseWriter, status, code int, message string, id json.RawMessage) {
	type inner struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	h.write(w, status, struct {
		Version string          `json:"jsonrpc"`
		Error   inner           `json:"error"`
		ID      json.RawMessage `json:"id,omitempty"`
	}{"2.0", inner{code, message}, idOf(id)})
}

// idOf is the id to answer with: none for null.
func idOf(id json.RawMessage) json.RawMessage {
	if bytes.Equal(bytes.TrimSpace(id), []byte("null")) {
		return nil
	}
	return id
}

// clip shortens what a client sent for a message to it.
func clip(text string) string {
	const most = 100
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// smallBody is the size of a request that is read beside all others.
const smallBody = 64 << 10

// admit takes a request in, with what its key allows and its body, for as long as
// until leave. When it does not, it has answered.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (s scope, body []byte, leave func(), ok bool) {
	s, refused := h.enter(r)
	if refused != nil {
		h.refuse(w, refused)
		return s, nil, nil, false
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "Expected request with `Content-Type: application/json`", http.StatusUnsupportedMediaType)
		return s, nil, nil, false
	}
	if leave, ok = h.reserve(w, r); !ok {
		return s, nil, nil, false
	}
	if body, ok = h.read(w, r); !ok {
		leave()
	}
	return s, body, leave, ok
}

// reserve takes one of the places for requests, and one of those for large ones
// where it needs it.
func (h *Handler) reserve(w http.ResponseWriter, r *http.Request) (leave func(), ok bool) {
	select {
	case h.calls <- struct{}{}:
	default:
		h.busy(w)
		return nil, false
	}
	leave = func() { <-h.calls }
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		timer := time.NewTimer(h.options.ReadTimeout)
		defer timer.Stop()
		select {
		case h.large <- struct{}{}:
		case <-timer.C:
			leave()
			h.busy(w)
			return nil, false
		case <-r.Context().Done():
			leave()
			return nil, false
		}
		leave = func() { <-h.large; <-h.calls }
	}
	return leave, true
}

// read reads a body to its end, which is also what lets net/http notice that a
// client has gone.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(h.options.ReadTimeout)) // writers of tests have none
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.options.MaxBody))
	if err == nil {
		return body, true
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, fmt.Sprintf("Failed to buffer the request body: length limit exceeded; a request has at most %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
	} else {
		http.Error(w, "Failed to buffer the request body: it did not come to its end", http.StatusBadRequest)
	}
	return nil, false
}

// busy answers that there are too many requests.
func (h *Handler) busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	r := internal("too many requests at once", "try again in a moment")
	r.status = http.StatusServiceUnavailable
	h.refuse(w, r)
}
