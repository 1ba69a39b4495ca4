package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	protocol "github.com/mark3labs/mcp-go/mcp"

	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// serveLegacy answers a POST of the initialize era. What is wrong with it is
// said before any work begins, as an event stream has no status.
func (h *Handler) serveLegacy(w http.ResponseWriter, r *http.Request, m *message) {
	if status, f := legacyProblem(r, m); f != nil {
		h.refuse(w, status, m.id, f)
		return
	}
	var s *session
	if id := r.Header.Get(sessionHeader); id != "" && !is(m.method, "initialize") {
		var ok bool
		if s, ok = h.table.find(door.Principal(r.Context()), id); !ok {
			h.refuse(w, http.StatusNotFound, m.id, invalid("Session not found; begin a new one with initialize"))
			return
		}
	}
	switch {
	case m.method == nil: // a response; we asked for none
		w.WriteHeader(http.StatusAccepted)
	case m.id == nil:
		h.notified(s, m)
		w.WriteHeader(http.StatusAccepted)
	case s == nil:
		h.answerHere(w, r, m)
	default:
		h.answerInSession(w, r, m, s)
	}
}

func invalid(message string) *fault.Fault {
	return &fault.Fault{Code: fault.InvalidRequest, Message: message}
}

// legacyProblem says what is wrong with a request as such.
func legacyProblem(r *http.Request, m *message) (int, *fault.Fault) {
	if version := r.Header.Get(versionHeader); version != "" && !slices.Contains(servedVersions(), version) {
		return http.StatusBadRequest, invalid("Unsupported protocol version: " + version +
			". Supported versions: " + strings.Join(servedVersions(), ", "))
	}
	bad := http.StatusBadRequest
	switch {
	case !isJSON(r.Header.Get("Content-Type")):
		return http.StatusUnsupportedMediaType, invalid("Content-Type must be application/json")
	case m.notUTF8 != "":
		return bad, &fault.Fault{Code: fault.ParseError, Message: "Parse error: " + m.notUTF8}
	case m.notJSON:
		return bad, &fault.Fault{Code: fault.ParseError, Message: "Parse error: Invalid JSON"}
	case m.notObject:
		return bad, invalid("Request must be a JSON object; batches are not supported")
	case !is(m.jsonrpc, "2.0"):
		return bad, invalid("Missing or invalid jsonrpc version (must be '2.0')")
	case m.method == nil && !m.answers:
		return bad, invalid("Missing required 'method' field")
	case m.method != nil && m.method[0] != '"':
		return bad, invalid("Method must be a string")
	case m.method != nil && m.id != nil && !isRequestID(m.id):
		f := invalid("The id of a request must be a string or a number")
		m.id = nil
		return bad, f
	case m.params != nil && !isObject(m.params):
		return bad, invalid("Params must be an object")
	}
	return 0, nil
}

// isRequestID reports whether a value can be the id of a request.
func isRequestID(raw []byte) bool {
	return raw[0] == '"' || raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'
}

// refuse answers a request that is not served.
func (h *Handler) refuse(w http.ResponseWriter, status int, id []byte, f *fault.Fault) {
	h.writeJSON(w, status, errorAnswer(id, f))
}

// notified takes a notification. Only that of a cancellation means something to
// us, and only inside a session: elsewhere ids of strangers could meet.
func (h *Handler) notified(s *session, m *message) {
	if s == nil || !is(m.method, "notifications/cancelled") {
		return
	}
	for key, value := range members(m.params) {
		if is(key, "requestId") {
			h.table.cancel(s, string(value))
		}
	}
}

// A call is one request while it is answered. It travels to the tools in the
// context.
type call struct {
	id        []byte
	arguments []byte
	token     []byte
	client    *client
	reply     *reply
}

type callKey struct{}

// answerHere answers outside a session: the client can neither come back for
// the answer nor cancel the call, so a dropped request ends it.
func (h *Handler) answerHere(w http.ResponseWriter, r *http.Request, m *message) {
	c := h.newCall(w, r, m, &client{id: "-"})
	defer c.reply.leave()
	h.work(r.Context(), c, m)
}

// answerInSession answers inside a session, where a dropped request goes on: on
// a goroutine of its own, which ends with the call.
func (h *Handler) answerInSession(w http.ResponseWriter, r *http.Request, m *message, s *session) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	done, ok := h.table.track(s, string(m.id), cancel)
	if !ok {
		cancel(nil)
		h.refuse(w, http.StatusBadRequest, m.id, invalid("A request with this id is already running in the session"))
		return
	}
	end, ok := h.detached.begin(cancel)
	if !ok {
		done()
		cancel(nil)
		h.tooBusy(w, m.id)
		return
	}
	c := h.newCall(w, r, m, &client{id: s.id, version: s.version})
	defer c.reply.leave()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer end()
		defer cancel(nil)
		defer done()
		h.work(ctx, c, m)
	}()
	select {
	case <-finished:
	case <-r.Context().Done():
	}
}

func (h *Handler) newCall(w http.ResponseWriter, r *http.Request, m *message, who *client) *call {
	return &call{id: m.id, arguments: m.arguments, token: m.progressToken(), client: who, reply: h.newReply(w, r)}
}

// work lets the core answer and sends its answer. A panic becomes an answer.
func (h *Handler) work(ctx context.Context, c *call, m *message) {
	defer func() {
		if v := recover(); v != nil {
			h.panicked(ctx, v)
			c.reply.finish(http.StatusInternalServerError, errorAnswer(c.id, internal()))
		}
	}()
	answer := h.core.HandleMessage(h.core.WithContext(context.WithValue(ctx, callKey{}, c), c.client), coreMessage(m))
	cause := context.Cause(ctx)
	if errors.Is(cause, errCanceled) || errors.Is(cause, errSessionEnded) {
		// The protocol wants no answer to a canceled request.
		c.reply.withdraw(errorAnswer(c.id, &fault.Fault{Code: fault.Internal, Message: "Request canceled"}))
		return
	}
	status, body := h.worded(ctx, c, answer)
	c.reply.finish(status, body)
}

func internal() *fault.Fault {
	return &fault.Fault{Code: fault.Internal, Message: "Internal server error"}
}

// coreMessage is what the core is given: it decodes each message many times, so
// it gets a tool call without the arguments, which may be long. The tools take
// them from the call.
func coreMessage(m *message) json.RawMessage {
	dst := append([]byte(nil), `{"jsonrpc":"2.0","id":0,"method":`...)
	dst = append(dst, m.method...)
	switch {
	case is(m.method, "tools/call") && m.params != nil:
		dst = append(plainjson.AppendName(dst, "params"), '{')
		if is(m.name, getVolumeMappings) {
			dst = plainjson.AppendString(plainjson.AppendName(dst, "name"), []byte(getVolumePath))
		} else if m.name != nil {
			dst = append(plainjson.AppendName(dst, "name"), m.name...)
		}
		dst = append(dst, '}')
	case m.params != nil:
		dst = append(plainjson.AppendName(dst, "params"), m.params...)
	}
	return append(dst, '}')
}

// worded puts the core's answer into an envelope with the caller's own id. An
// initialize that went well opens a session, whose id goes into the header.
func (h *Handler) worded(ctx context.Context, c *call, answer protocol.JSONRPCMessage) (int, []byte) {
	switch a := answer.(type) {
	case protocol.JSONRPCResponse:
		if result, ok := initialized(a.Result); ok {
			s, ok := h.table.open(door.Principal(ctx), result.ProtocolVersion)
			if !ok {
				return http.StatusServiceUnavailable, errorAnswer(c.id, busy())
			}
			c.reply.header(sessionHeader, s.id)
		}
		body, err := plain(a.Result)
		if err != nil {
			h.options.Logger.ErrorContext(ctx, "answer could not be encoded", "err", err)
			return http.StatusOK, errorAnswer(c.id, internal())
		}
		return http.StatusOK, appendResult(make([]byte, 0, len(body)+64), c.id, body)
	case protocol.JSONRPCError:
		return http.StatusOK, errorAnswer(c.id, &fault.Fault{Code: a.Error.Code, Message: a.Error.Message})
	}
	h.options.Logger.ErrorContext(ctx, "the core gave no answer", "err", fmt.Errorf("unknown answer %T", answer))
	return http.StatusOK, errorAnswer(c.id, internal())
}

func initialized(result any) (*protocol.InitializeResult, bool) {
	switch r := result.(type) {
	case *protocol.InitializeResult:
		return r, true
	case protocol.InitializeResult:
		return &r, true
	}
	return nil, false
}

// plain encodes a value without escapes for HTML.
func plain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
