package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// maxWrongs is how many mistakes one answer tells of.
const maxWrongs = 8

// A refusal is a fault in the form in which huma takes errors.
type refusal struct{ fault *fault.Fault }

// Error implements error.
func (p *refusal) Error() string { return p.fault.Message }

// GetStatus implements [huma.StatusError].
func (p *refusal) GetStatus() int { return p.fault.Status }

// ContentType implements [huma.ContentTypeFilter].
func (p *refusal) ContentType(string) string { return "application/problem+json" }

// MarshalJSON implements [json.Marshaler].
func (p *refusal) MarshalJSON() ([]byte, error) { return p.fault.AppendProblem(nil), nil }

// ours turns the errors that huma itself makes into problems of ours.
func ours(_ huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		return &refusal{ofModel(m)}, nil
	}
	return v, nil
}

// ofModel is the fault of a request that does not fit the document.
func ofModel(m *huma.ErrorModel) *fault.Fault {
	wrongs := make([]string, 0, len(m.Errors))
	for i, e := range m.Errors {
		if i == maxWrongs {
			wrongs = append(wrongs, "and more")
			break
		}
		wrongs = append(wrongs, wrong(e))
	}
	if len(wrongs) == 0 {
		wrongs = append(wrongs, m.Detail)
	}
	f := fault.Invalid("Invalid parameters: " + strings.Join(wrongs, "; "))
	f.Remedy = "Look at /v1/docs for what this path takes"
	if m.Status != http.StatusUnprocessableEntity {
		f.Status = m.Status
	}
	return f
}

// wrong words one mistake.
func wrong(e *huma.ErrorDetail) string {
	said := strings.TrimPrefix(e.Message, "json: ")
	if said == validation.MsgUnexpectedProperty {
		at := e.Location[strings.LastIndexByte(e.Location, '.')+1:]
		return fmt.Sprintf("%s has the unknown field %q", strings.TrimSuffix(strings.TrimSuffix(e.Location, at), "."), at)
	}
	return e.Location + ": " + said
}

// fail is the problem of an error. Faults of ours are logged.
func (h *Handler) fail(ctx context.Context, err error, c *fault.Call) error {
	if p, ok := errors.AsType[*refusal](err); ok {
		return p
	}
	if sandbox.KindOf(err) == sandbox.Other {
		h.options.Logger.ErrorContext(ctx, "request failed", "session", c.Session, "err", err)
	}
	return &refusal{fault.Of(err, c)}
}

// refuse answers with a fault before or instead of huma.
func (h *Handler) refuse(w http.ResponseWriter, f *fault.Fault) {
	h.deadline(w)
	f.WriteProblem(w)
}

// refuseErr answers with an error.
func (h *Handler) refuseErr(w http.ResponseWriter, r *http.Request, err error, c *fault.Call) {
	if p, ok := errors.AsType[*refusal](h.fail(r.Context(), err, c)); ok {
		h.refuse(w, p.fault)
	}
}

// unread is the fault of a body that could not be read.
func unread(err error) *fault.Fault {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(large.Limit)
	}
	return fault.Invalid("Invalid parameters: the request body could not be read to its end")
}

func tooLarge(limit int64) *fault.Fault {
	size := fmt.Sprintf("%d bytes", limit)
	if limit%(1<<10) == 0 {
		size = fmt.Sprintf("%d KiB", limit>>10)
	}
	f := fault.Invalid("The request body is larger than " + size)
	f.Status = http.StatusRequestEntityTooLarge
	return f
}

// invalid is the error of a request that is wrong in a way that the document
// does not tell.
func invalid(detail, remedy string) error {
	return &sandbox.Error{Op: "rest", Kind: sandbox.Invalid, Detail: detail, Remedy: remedy}
}

// busy is the error of a request that would wait, when too many do.
func busy() error {
	return huma.ErrorWithHeaders(&refusal{&fault.Fault{
		Status: http.StatusServiceUnavailable, Kind: sandbox.Exhausted,
		Message: "Too many requests wait, or the server is shutting down", Remedy: "Ask again without wait, or later",
	}}, http.Header{"Retry-After": {"1"}})
}

// A problem is a fault as the document has it.
type problem struct {
	_           struct{} `additionalProperties:"true"`
	Type        string   `json:"type" doc:"Always about:blank; what happened is told by kind."`
	Title       string   `json:"title" doc:"The status in words."`
	Status      int      `json:"status"`
	Detail      string   `json:"detail" doc:"What is wrong, for people."`
	Kind        string   `json:"kind" doc:"What can be done about it, for programs." enum:"other,invalid,unsupported,not_found,exhausted,timeout,canceled,stopped,unavailable,conflict,no_space"`
	More        string   `json:"more,omitempty"`
	Remedy      string   `json:"remedy,omitempty" doc:"What to do about it, for people."`
	Code        string   `json:"error_code,omitempty"`
	Category    string   `json:"category,omitempty"`
	Severity    string   `json:"severity,omitempty"`
	Suggestions []string `json:"recovery_suggestions,omitempty" nullable:"false"`
}

// problems is the answer of any operation that fails.
func problems(api huma.API) *huma.Response {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem](), true, "")
	return &huma.Response{
		Description: "A problem, as of RFC 9457",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
	}
}
