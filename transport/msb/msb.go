// Package msb serves the API of microsandbox servers of the v0.2 line, as they
// listened on port 5555, over our own sessions: a sandbox of it is a session, and
// a namespace an owner.
package msb

import (
	"context"
	"net/http"
)

// A Handler serves the API.
type Handler struct {
	sessions Sessions
	options  Options
}

// New returns a Handler on sessions. It fails when the file of options cannot
// be read.
func New(sessions Sessions, options Options) (*Handler, error) {
	return &Handler{sessions: sessions, options: options.withDefaults()}, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.NotFound(w, r)
}

// Shutdown waits for calls that outlived their connections, until ctx ends.
func (h *Handler) Shutdown(context.Context) error { return nil }
