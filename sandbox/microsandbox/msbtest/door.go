package msbtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
)

// maxBody is the size of the largest request, in bytes.
const maxBody = 2 << 20

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if f := s.failed(); f != nil {
		f(w, r)
		return
	}
	if s.loses() {
		s.answer(httptest.NewRecorder(), r)
		HangUp(w, r)
	}
	s.answer(w, r)
}

// answer answers a request that was heard.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/api/v1/health" && r.Method == http.MethodGet:
		write(w, http.StatusOK, map[string]string{"message": "Service is healthy"})
	case r.URL.Path == "/api/v1/rpc" && r.Method == http.MethodPost:
		s.rpc(w, r)
	case r.URL.Path == "/api/v1/health", r.URL.Path == "/api/v1/rpc":
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// A request is a call as it came.
type request struct {
	Version *string         `json:"jsonrpc"`
	Method  *string         `json:"method"`
	Params  json.RawMessage `json:"params"`
	ID      json.RawMessage `json:"id"`
}

// rpc answers a call.
func (s *Server) rpc(w http.ResponseWriter, r *http.Request) {
	if refused := s.authenticate(r); refused != nil {
		write(w, refused.status, refused.body)
		return
	}
	q, status, text := parse(w, r)
	if text != "" {
		http.Error(w, text, status)
		return
	}
	if string(q.ID) == "null" {
		q.ID = nil
	}
	if *q.Version != "2.0" {
		refused := inRPC(http.StatusBadRequest, -32600, "Invalid or missing jsonrpc version field", q.ID)
		write(w, refused.status, refused.body)
		return
	}
	var named struct{ Sandbox string }
	_ = json.Unmarshal(q.Params, &named)
	s.note(Call{*q.Method, named.Sandbox, q.Params})
	refused := s.authorize(q)
	var value any
	if refused == nil {
		value, refused = s.dispatch(r.Context(), q)
	}
	if refused != nil {
		write(w, refused.status, refused.body)
		return
	}
	result(w, value, q.ID)
}

// parse reads a call. What is none has a status and a text.
func parse(w http.ResponseWriter, r *http.Request) (q *request, status int, text string) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, "Expected request with `Content-Type: application/json`"
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, http.StatusRequestEntityTooLarge, "Failed to buffer the request body: length limit exceeded"
	}
	q = &request{}
	err = json.Unmarshal(body, q)
	const wrong = "Failed to deserialize the JSON body into the target type: "
	_, mistyped := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case mistyped:
		return nil, http.StatusUnprocessableEntity, wrong + err.Error()
	case err != nil:
		return nil, http.StatusBadRequest, "Failed to parse the request body as JSON: " + err.Error()
	case q.Version == nil:
		return nil, http.StatusUnprocessableEntity, wrong + "missing field `jsonrpc`"
	case q.Method == nil:
		return nil, http.StatusUnprocessableEntity, wrong + "missing field `method`"
	}
	return q, 0, ""
}

// authenticate checks the key of a request.
func (s *Server) authenticate(r *http.Request) *refusal {
	if s.opts.Key == "" {
		return nil
	}
	key := r.Header.Get("Proxy-Authorization")
	if key == "" {
		key = r.Header.Get("Authorization")
	}
	key = strings.TrimPrefix(key, "Bearer ")
	switch {
	case !strings.HasPrefix(key, "msb_"):
		return plain(http.StatusUnauthorized, 1001, "Invalid credentials")
	case key != s.opts.Key:
		return plain(http.StatusUnauthorized, 1004, "Invalid or expired token")
	}
	return nil
}

// authorize checks that the key is for the namespace of a call.
func (s *Server) authorize(q *request) *refusal {
	if s.opts.Key == "" || s.opts.Scope == "" || s.opts.Dialect == Projects {
		return nil
	}
	if len(q.Params) == 0 {
		return invalid("Missing 'params' field in JSON-RPC request")
	}
	var p struct{ Namespace *string }
	if json.Unmarshal(q.Params, &p) != nil || p.Namespace == nil {
		return invalid(fmt.Sprintf("Missing or invalid 'namespace' in params for method '%s'", *q.Method))
	}
	if *p.Namespace != s.opts.Scope {
		return plain(http.StatusForbidden, 3001, "Access denied")
	}
	return nil
}
