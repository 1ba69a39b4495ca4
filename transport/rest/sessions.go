package rest

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
)

func (h *Handler) sessionRoutes() {
	tags := []string{"sessions"}
	register(h, huma.Operation{
		OperationID: "create-session", Method: http.MethodPost, Path: "/v1/sessions", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary:     "Make a session",
		Description: "All members are optional.",
		Responses:   map[string]*huma.Response{"200": {Description: "It was there already, and this is how it is", Content: answers[session](h.api)}},
	}, h.createSession)
	register(h, huma.Operation{
		OperationID: "list-sessions", Method: http.MethodGet, Path: "/v1/sessions", Tags: tags,
		Summary: "List sessions, the oldest first",
	}, h.listSessions)
	register(h, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/v1/sessions/{name}", Tags: tags,
		Summary: "Show a session",
	}, h.getSession)
	register(h, huma.Operation{
		OperationID: "touch-session", Method: http.MethodPost, Path: "/v1/sessions/{name}/touch", Tags: tags,
		Summary:     "Keep a session",
		Description: "Counts as a use of the session, so that its idle timeout begins anew.",
	}, h.touchSession)
	register(h, huma.Operation{
		OperationID: "stop-session", Method: http.MethodDelete, Path: "/v1/sessions/{name}", Tags: tags,
		Summary: "End a session with all that is in it",
	}, h.stopSession)
}

// named is the input of an operation on one session.
type named struct {
	Name string `path:"name" doc:"The session_id." example:"demo"`
}

// A creation is the body of a request for a session. All of it is optional.
type creation struct {
	Session     string            `json:"session_id,omitempty" doc:"A name of your own; one is made up without it." example:"demo"`
	Template    string            `json:"template,omitempty" doc:"What is inside: python, node, bash, or a configured one." example:"python"`
	Flavor      string            `json:"flavor,omitempty" doc:"How much it may use: small, medium, large, or a configured one." example:"small"`
	Env         map[string]string `json:"env,omitempty" doc:"Environment variables of all that runs in it."`
	Dir         string            `json:"working_directory,omitempty" doc:"Where executions begin; /work without it."`
	IdleTimeout float64           `json:"idle_timeout,omitempty" minimum:"0" doc:"Seconds after which it ends when nobody uses it; 0 is the default of the server."`
	MaxAge      float64           `json:"max_age,omitempty" minimum:"0" doc:"Seconds after which it ends in any case; 0 is never."`
	Labels      map[string]string `json:"labels,omitempty" doc:"Of your own, to find it by."`
}

type createInput struct {
	Body creation
}

type createOutput struct {
	Status   int
	Location string `header:"Location" doc:"Where the session is, when it was made now."`
	Body     session
}

type sessionOutput struct {
	Body session
}

func (h *Handler) createSession(ctx context.Context, in *createInput) (*createOutput, error) {
	c := &in.Body
	call := &fault.Call{Session: c.Session, Template: c.Template, Flavor: c.Flavor}
	env, err := environment(c.Env)
	if err != nil {
		return nil, h.fail(ctx, err, call)
	}
	s, made, err := h.sessions.Create(ctx, sandbox.SessionRequest{
		Owner: door.Principal(ctx), Session: c.Session, Template: c.Template, Flavor: c.Flavor, Env: env,
		Dir: c.Dir, IdleTimeout: seconds(c.IdleTimeout), MaxAge: seconds(c.MaxAge), Labels: c.Labels,
	})
	if err != nil {
		return nil, h.fail(ctx, err, call)
	}
	out := &createOutput{Status: http.StatusOK, Body: shown(&s)}
	if made {
		out.Status, out.Location = http.StatusCreated, sessionPath(s.Name)
	}
	return out, nil
}

type listInput struct {
	Template string   `query:"template" doc:"Those of this template alone."`
	Status   string   `query:"status" enum:"creating,ready,running,error,stopped" doc:"Those with this status alone."`
	Labels   []string `query:"label,explode" doc:"Those with this label alone, as name=value. May be given more than once." example:"[\"team=blue\"]"`
}

type listOutput struct {
	Body sessionList
}

type sessionList struct {
	_        struct{}  `additionalProperties:"true"`
	Sessions []session `json:"sessions" nullable:"false"`
}

func (h *Handler) listSessions(ctx context.Context, in *listInput) (*listOutput, error) {
	labels, err := labelled(in.Labels)
	if err != nil {
		return nil, h.fail(ctx, err, &fault.Call{})
	}
	all, err := h.sessions.List(ctx, sandbox.SessionQuery{
		Owner: door.Principal(ctx), Usage: true, Labels: labels, Template: in.Template, Status: sandbox.Status(in.Status),
	})
	if err != nil {
		return nil, h.fail(ctx, err, &fault.Call{})
	}
	slices.SortStableFunc(all, func(a, b sandbox.Session) int { return a.Created.Compare(b.Created) })
	out := &listOutput{sessionList{Sessions: make([]session, 0, len(all))}}
	for i := range all {
		out.Body.Sessions = append(out.Body.Sessions, shown(&all[i]))
	}
	return out, nil
}

// labelled reads labels of a query.
func labelled(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil //nolint:nilnil // no labels are asked for
	}
	labels := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, invalid("query.label must be name=value", "Send for example label=team=blue")
		}
		labels[name] = value
	}
	return labels, nil
}

func (h *Handler) getSession(ctx context.Context, in *named) (*sessionOutput, error) {
	s, err := h.sessions.Find(ctx, door.Ref(ctx, in.Name))
	if err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Session: in.Name})
	}
	return &sessionOutput{shown(&s)}, nil
}

func (h *Handler) touchSession(ctx context.Context, in *named) (*sessionOutput, error) {
	s, err := h.sessions.Touch(ctx, door.Ref(ctx, in.Name))
	if err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Session: in.Name})
	}
	return &sessionOutput{shown(&s)}, nil
}

// none is an answer without a body.
type none struct{}

func (h *Handler) stopSession(ctx context.Context, in *named) (*none, error) {
	if err := h.sessions.Stop(ctx, door.Ref(ctx, in.Name)); err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Session: in.Name})
	}
	return &none{}, nil
}

// environment returns "K=V" in a stable order.
func environment(vars map[string]string) ([]string, error) {
	env := make([]string, 0, len(vars))
	for name, value := range vars {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return nil, invalid("env has a name that is empty or has an equals sign, or a zero byte", "Send env as an object of names and values")
		}
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, nil
}

// seconds is a time that a client gave, within what a time can be.
func seconds(s float64) time.Duration {
	switch {
	case !(s > 0): // which not a number is too
		return 0
	case s > math.MaxInt64/float64(2*time.Second):
		return math.MaxInt64 / 2
	}
	return time.Duration(s * float64(time.Second))
}
