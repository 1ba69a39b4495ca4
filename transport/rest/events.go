package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/sandbox"
)

// eventRoutes puts the streams of transport/events into the document. They check
// their cursors themselves.
func (h *Handler) eventRoutes() {
	about := func(id, path, summary string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"events"}, Summary: summary,
			Description: "Server-sent events whose data is JSON. An id is a cursor: who comes back with the last one misses nothing " +
				"that is kept, and is told of the rest by an event of type gap. Without a cursor the stream begins at the oldest event kept.",
			Responses: map[string]*huma.Response{"200": {Description: "A stream", Content: map[string]*huma.MediaType{
				"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}},
			}}},
		}
	}
	register(h, about("all-events", "/v1/events", "Follow all sessions"),
		func(context.Context, *cursorInput) (*huma.StreamResponse, error) { return streamed(h.events.All), nil })
	register(h, about("session-events", "/v1/sessions/{name}/events", "Follow a session"),
		func(_ context.Context, in *sessionCursorInput) (*huma.StreamResponse, error) {
			return streamed(func(w http.ResponseWriter, r *http.Request) { h.events.One(w, r, in.Name) }), nil
		})
	register(h, about("execution-events", "/v1/executions/{id}/events", "Follow an execution to its end"),
		func(_ context.Context, in *executionCursorInput) (*huma.StreamResponse, error) {
			return streamed(func(w http.ResponseWriter, r *http.Request) { h.events.Execution(w, r, sandbox.ExecID(in.ID)) }), nil
		})
}

type cursorInput struct {
	After string `query:"after" doc:"The number of the last event that was seen."`
	Last  string `header:"Last-Event-ID" doc:"The same, and what counts when both are there."`
}

type sessionCursorInput struct {
	Name  string `path:"name" doc:"The session_id." example:"demo"`
	After string `query:"after" doc:"The number of the last event that was seen."`
	Last  string `header:"Last-Event-ID" doc:"The same, and what counts when both are there."`
}

type executionCursorInput struct {
	ID    string `path:"id" doc:"The execution_id."`
	After string `query:"after" doc:"The number of the last event that was seen."`
	Last  string `header:"Last-Event-ID" doc:"The same, and what counts when both are there."`
}
