package msb

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// A refusal is an answer that is no result. Clients of the v0.2 line read error
// and code; the other members are ours, and say why.
type refusal struct {
	status int
	code   int
	text   string

	reason string       // for a person; may be empty
	remedy string       // may be empty
	kind   sandbox.Kind // of an inner failure
	output []line       // what came before the failure
}

// Error returns the text with its reason.
func (r *refusal) Error() string {
	if r.reason == "" {
		return r.text
	}
	return r.text + ": " + r.reason
}

// invalid is the refusal of a request that is wrong.
func invalid(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, code: codeInvalid, text: fmt.Sprintf(format, args...), kind: sandbox.Invalid}
}

// internal is the refusal of what failed inside.
func internal(reason, remedy string) *refusal {
	return &refusal{status: http.StatusInternalServerError, code: codeInternal, text: textInternal, reason: reason, remedy: remedy}
}

// refusalOf makes a refusal of an error of the daemon's.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	f := fault.Of(err, nil)
	switch f.Kind { //nolint:exhaustive // the others are all the same to clients
	case sandbox.Invalid:
		what, remedy := fault.Reason(err)
		r := invalid("%s", what)
		r.remedy = remedy
		return r
	case sandbox.NotFound:
		return &refusal{status: http.StatusNotFound, code: codeNotFound, text: f.Message, remedy: "start it with sandbox.start", kind: f.Kind}
	}
	r := internal(f.Message, f.Remedy)
	r.kind = f.Kind
	return r
}

// refuse writes a refusal.
func (h *Handler) refuse(w http.ResponseWriter, r *refusal) {
	kind := ""
	if r.kind != sandbox.Other {
		kind = r.kind.String()
	}
	if r.kind == sandbox.Exhausted {
		w.Header().Set("Retry-After", "1")
	}
	h.write(w, r.status, struct {
		Error  string `json:"error"`
		Code   int    `json:"code"`
		Reason string `json:"reason,omitempty"`
		Kind   string `json:"kind,omitempty"`
		Remedy string `json:"remedy,omitempty"`
		Output []line `json:"output,omitempty"`
	}{r.text, r.code, r.reason, kind, r.remedy, r.output})
}
