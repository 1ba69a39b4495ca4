package transport

import (
	"context"
	"net/http"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// statusWait bounds what the status may wait for: health checks restart a
// daemon that is slow to answer.
const statusWait = 2 * time.Second

// status answers GET / with the contract's members, and then what else there is
// to know. It is 200 also when no sandbox can be made, and says why.
func (h *Handler) status(w http.ResponseWriter, r *http.Request) {
	names := mcp.ToolNames()
	dst := plainjson.StringMember([]byte{'{'}, "status", "healthy")
	dst = plainjson.StringMember(dst, "version", h.options.Version)
	dst = plainjson.BoolMember(dst, "wrapper_started", true)
	dst = plainjson.IntMember(dst, "tools_count", int64(len(names)))
	dst = plainjson.AppendStrings(plainjson.AppendName(dst, "available_tools"), names)
	dst = plainjson.StringMember(dst, "server", "sandwarden")
	o, err := h.overview(r)
	if err != nil {
		dst = plainjson.StringMember(dst, "detail", "The sessions did not answer in time")
	} else {
		dst = appendOverview(dst, &o)
	}
	dst = append(plainjson.AppendName(dst, "limits"), '{')
	dst = plainjson.IntMember(dst, "request_bytes", h.options.MaxBody)
	dst = plainjson.IntMember(dst, "code_bytes", int64(h.options.MaxCode))
	dst = plainjson.IntMember(dst, "timeout_seconds", int64(h.options.MaxTimeout/time.Second))
	writeJSON(w, http.StatusOK, append(dst, '}', '}'))
}

// health answers GET /health.
func (h *Handler) health(w http.ResponseWriter, r *http.Request) {
	o, err := h.overview(r)
	dst := plainjson.StringMember([]byte{'{'}, "status", "healthy")
	dst = plainjson.BoolMember(dst, "wrapper_started", true)
	dst = plainjson.BoolMember(dst, "server_started", err == nil && o.Ready == nil)
	if err == nil {
		dst = appendOverview(dst, &o)
	}
	writeJSON(w, http.StatusOK, append(dst, '}'))
}

// ready answers GET /ready: 200 when calls can be served, else 503 and why. A
// daemon that is full is ready; it says so in its answers.
func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	if h.draining.Load() {
		notReady(w, "draining", "The daemon is shutting down", "Use another one, or try again when it is back")
		return
	}
	o, err := h.overview(r)
	switch {
	case err != nil:
		notReady(w, "unavailable", "The sessions did not answer in time", "Look into the server's log")
	case o.Ready != nil:
		what, remedy := fault.Reason(o.Ready)
		notReady(w, "unavailable", what, remedy)
	default:
		writeJSON(w, http.StatusOK, []byte(`{"status":"ready"}`))
	}
}

func notReady(w http.ResponseWriter, status, reason, remedy string) {
	dst := plainjson.StringMember([]byte{'{'}, "status", status)
	dst = plainjson.StringMember(dst, "reason", reason)
	dst = plainjson.StringMember(dst, "remedy", remedy)
	writeJSON(w, http.StatusServiceUnavailable, append(dst, '}'))
}

func (h *Handler) overview(r *http.Request) (sandbox.Overview, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusWait)
	defer cancel()
	o, err := h.sessions.Overview(ctx)
	if err != nil && r.Context().Err() == nil {
		h.options.Logger.ErrorContext(r.Context(), "no overview", "err", err)
	}
	return o, err
}

func appendOverview(dst []byte, o *sandbox.Overview) []byte {
	dst = append(plainjson.AppendName(dst, "backend"), '{')
	dst = plainjson.StringMember(dst, "name", o.Backend)
	dst = plainjson.BoolMember(dst, "ready", o.Ready == nil)
	if o.Ready != nil {
		dst = appendReason(dst, o.Ready)
	}
	c := &o.Capabilities
	dst = plainjson.StringMember(dst, "isolation", c.Isolation)
	dst = plainjson.AppendStrings(plainjson.AppendName(dst, "enforced"), c.Enforced)
	dst = plainjson.AppendStrings(plainjson.AppendName(dst, "unenforced"), c.Unenforced)
	dst = append(appendTemplates(dst, c.Templates), '}')
	dst = appendPart(dst, "sessions", int64(o.Sessions), int64(o.MaxSessions))
	return appendPart(dst, "memory_mb", o.MemoryMB, o.MaxMemoryMB)
}

func appendTemplates(dst []byte, all []sandbox.TemplateStatus) []byte {
	dst = append(plainjson.AppendName(dst, "templates"), '[')
	for i, t := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = plainjson.StringMember(append(dst, '{'), "name", t.Template.Name)
		dst = plainjson.BoolMember(dst, "ready", t.Err == nil)
		if t.Version != "" {
			dst = plainjson.StringMember(dst, "version", t.Version)
		}
		if t.Err != nil {
			dst = appendReason(dst, t.Err)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendPart appends how much of something is in use, and of how much.
func appendPart(dst []byte, name string, used, most int64) []byte {
	dst = append(plainjson.AppendName(dst, name), '{')
	dst = plainjson.IntMember(dst, "used", used)
	if most > 0 {
		dst = plainjson.IntMember(dst, "max", most)
	}
	return append(dst, '}')
}

func appendReason(dst []byte, err error) []byte {
	what, remedy := fault.Reason(err)
	return plainjson.StringMember(plainjson.StringMember(dst, "reason", what), "remedy", remedy)
}
