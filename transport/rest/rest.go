// Package rest serves sessions as resources: made, listed, shown, ended.
//
// A client that wants to see a session's events from the first one makes the
// session here, subscribes, and then runs its code.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// maxBody is the size of the largest request. An environment needs no more.
const maxBody = 256 << 10

// Sessions is what the resources are.
type Sessions interface {
	Create(ctx context.Context, r sandbox.SessionRequest) (sandbox.Session, bool, error)
	List(ctx context.Context, q sandbox.SessionQuery) ([]sandbox.Session, error)
	Find(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error)
	Stop(ctx context.Context, ref sandbox.Ref) error
}

// Options are what an operator may set. The zero value is ready.
type Options struct {
	Logger       *slog.Logger  // nil discards
	WriteTimeout time.Duration // of an answer; default 30 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 30 * time.Second
	}
	return o
}

// A Handler serves sessions.
type Handler struct {
	sessions Sessions
	options  Options
}

// New returns a Handler on sessions.
func New(sessions Sessions, options Options) *Handler {
	return &Handler{sessions: sessions, options: options.withDefaults()}
}

// Sessions serves the collection.
func (h *Handler) Sessions(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.list(w, r)
	case http.MethodPost:
		h.create(w, r)
	default:
		h.notAllowed(w, "GET, POST")
	}
}

// Session serves one of them.
func (h *Handler) Session(w http.ResponseWriter, r *http.Request, name string) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s, err := h.sessions.Find(r.Context(), door.Ref(r.Context(), name))
		if err != nil {
			h.fail(w, r, err, name)
			return
		}
		h.write(w, http.StatusOK, shown(&s))
	case http.MethodDelete:
		if err := h.sessions.Stop(r.Context(), door.Ref(r.Context(), name)); err != nil {
			h.fail(w, r, err, name)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		h.notAllowed(w, "GET, DELETE")
	}
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request) {
	all, err := h.sessions.List(r.Context(), sandbox.SessionQuery{Owner: door.Principal(r.Context()), Usage: true})
	if err != nil {
		h.fail(w, r, err, "")
		return
	}
	slices.SortStableFunc(all, func(a, b sandbox.Session) int { return a.Created.Compare(b.Created) })
	answer := struct {
		Sessions []session `json:"sessions"`
	}{make([]session, 0, len(all))}
	for i := range all {
		answer.Sessions = append(answer.Sessions, shown(&all[i]))
	}
	h.write(w, http.StatusOK, answer)
}

func (h *Handler) create(w http.ResponseWriter, r *http.Request) {
	request, err := decode(w, r)
	if err != nil {
		h.fail(w, r, err, "")
		return
	}
	request.Owner = door.Principal(r.Context())
	s, made, err := h.sessions.Create(r.Context(), request)
	switch {
	case err != nil:
		h.fail(w, r, err, request.Session)
	case made:
		w.Header().Set("Location", "/v1/sessions/"+s.Name)
		h.write(w, http.StatusCreated, shown(&s))
	default:
		h.write(w, http.StatusOK, shown(&s))
	}
}

// A creation is the body of a request for a session. All of it is optional.
type creation struct {
	Session  string            `json:"session_id"`
	Template string            `json:"template"`
	Flavor   string            `json:"flavor"`
	Env      map[string]string `json:"env"`
}

// decode reads a creation strictly: what is misspelt is an error, not a default.
func decode(w http.ResponseWriter, r *http.Request) (sandbox.SessionRequest, error) {
	none := sandbox.SessionRequest{}
	control := http.NewResponseController(w)
	// Writers without deadlines are those of tests.
	_ = control.SetReadDeadline(time.Now().Add(time.Minute))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = control.SetReadDeadline(time.Time{})
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return none, tooLargeError{}
	}
	if err != nil {
		return none, invalid("the request body could not be read to its end", err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return none, nil // all defaults
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return none, mediaTypeError{}
	}
	var c creation
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return none, invalid("the request body is not what is expected: "+strings.TrimPrefix(err.Error(), "json: "), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return none, invalid("the request body has more than one JSON value", err)
	}
	env, err := environment(c.Env)
	return sandbox.SessionRequest{Session: c.Session, Template: c.Template, Flavor: c.Flavor, Env: env}, err
}

func invalid(detail string, err error) error {
	return &sandbox.Error{
		Op: "create", Kind: sandbox.Invalid, Detail: detail,
		Remedy: "Send a JSON object with session_id, template, flavor and env, each of them optional", Err: err,
	}
}

// environment returns "K=V" in a stable order.
func environment(vars map[string]string) ([]string, error) {
	env := make([]string, 0, len(vars))
	for name, value := range vars {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return nil, invalid("env has a name that is empty or has an equals sign, or a zero byte", nil)
		}
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, nil
}

type tooLargeError struct{}

// Error implements error.
func (tooLargeError) Error() string { return "request body too large" }

type mediaTypeError struct{}

// Error implements error.
func (mediaTypeError) Error() string { return "content type is not JSON" }

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error, name string) {
	h.deadline(w)
	var f *fault.Fault
	if _, ok := errors.AsType[tooLargeError](err); ok {
		f = fault.Invalid("The request body is larger than 256 KiB")
		f.Status = http.StatusRequestEntityTooLarge
	} else if _, ok := errors.AsType[mediaTypeError](err); ok {
		f = fault.Invalid("Content-Type must be application/json")
		f.Status = http.StatusUnsupportedMediaType
	} else {
		if sandbox.KindOf(err) == sandbox.Other {
			h.options.Logger.ErrorContext(r.Context(), "request failed", "session", name, "err", err)
		}
		f = fault.Of(err, &fault.Call{Session: name})
	}
	f.WriteProblem(w)
}

func (h *Handler) notAllowed(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	f := fault.Invalid("This path takes " + allowed)
	f.Status = http.StatusMethodNotAllowed
	f.WriteProblem(w)
}

func (h *Handler) write(w http.ResponseWriter, status int, v any) {
	h.deadline(w)
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		h.options.Logger.Error("answer could not be encoded", "err", err)
		fault.Of(err, nil).WriteProblem(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // a client that is gone needs no answer
}

// deadline bounds the write that follows. Writers without deadlines are those
// of tests.
func (h *Handler) deadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.options.WriteTimeout))
}
