package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sandwarden/sandwarden/transport/fault"
)

// maxBody is the size of the largest JSON of a request, unless its operation
// says otherwise. An environment needs no more.
const maxBody = 256 << 10

// bodyBytes is the name under which an operation has its own largest JSON.
const bodyBytes = "body bytes"

// An adapter puts huma's operations on our mux, and answers in our ways: with
// deadlines, with 400 for what is wrong, with bodies that are bounded and known
// to be JSON.
type adapter struct{ *Handler }

// Handle implements [huma.Adapter].
func (a adapter) Handle(op *huma.Operation, serve func(huma.Context)) {
	most, ok := op.Metadata[bodyBytes].(int64)
	if !ok {
		most = maxBody
	}
	takesJSON := op.RequestBody != nil && op.RequestBody.Content["application/json"] != nil
	a.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{humaContext: humago.NewContext(op, r, w), handler: a.Handler, writer: w}
		if takesJSON {
			body, f := a.body(w, r, most)
			if f != nil {
				a.refuse(w, f)
				return
			}
			x.body = body
		}
		serve(x)
	})
}

// body reads a JSON body to its end. None is one without members.
func (h *Handler) body(w http.ResponseWriter, r *http.Request, most int64) ([]byte, *fault.Fault) {
	control := http.NewResponseController(w)
	// Writers without deadlines are those of tests. Without one afterwards, as
	// the connection is watched for the client's end while we wait.
	_ = control.SetReadDeadline(time.Now().Add(h.options.ReadTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	_ = control.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, unread(err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return []byte("{}"), nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		f := fault.Invalid("Content-Type must be application/json")
		f.Status = http.StatusUnsupportedMediaType
		return nil, f
	}
	return body, nil
}

// A humaContext is a [huma.Context], whose name is also that of its method.
type humaContext = huma.Context

// An exchange is one request and its answer, as huma sees them.
type exchange struct {
	humaContext

	handler *Handler
	writer  http.ResponseWriter
	body    []byte
}

// Unwrap leads to the request and the writer.
func (x *exchange) Unwrap() huma.Context { return x.humaContext }

// Context is that of the request.
func (x *exchange) Context() context.Context { return x.humaContext.Context() }

// BodyReader gives the JSON that was read.
func (x *exchange) BodyReader() io.Reader { return bytes.NewReader(x.body) }

// Header hides what huma would choose a format by: there is one only.
func (x *exchange) Header(name string) string {
	switch name {
	case "Accept", "Content-Type":
		return "application/json"
	}
	return x.humaContext.Header(name)
}

// SetReadDeadline does nothing: deadlines are ours.
func (x *exchange) SetReadDeadline(time.Time) error { return nil }

// SetStatus begins the answer. What huma calls unprocessable is as wrong to us
// as what is not JSON.
func (x *exchange) SetStatus(status int) {
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	x.handler.deadline(x.writer)
	x.humaContext.SetStatus(status)
}

// deadline bounds the write that follows. Writers without deadlines are those
// of tests.
func (h *Handler) deadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.options.WriteTimeout))
}

// newAPI returns the API that operations are registered with.
func newAPI(h *Handler) huma.API {
	format := huma.Format{Marshal: marshal, Unmarshal: unmarshal}
	return huma.NewAPI(huma.Config{
		OpenAPI:       describe(h.options.Version),
		Formats:       map[string]huma.Format{"application/json": format, "json": format}, // the second is that of problems
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{ours},
		// What is misspelt is an error, not a default.
		RejectUnknownQueryParameters: true,
	}, adapter{h})
}

// marshal writes JSON that is read by programs and not by browsers.
func marshal(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// unmarshal reads one JSON value and nothing behind it.
func unmarshal(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it has more than one JSON value")
	}
	return nil
}

// register adds an operation whose failures are problems.
func register[I, O any](h *Handler, op huma.Operation, serve func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes, op.BodyReadTimeout = -1, -1 // the adapter bounds both
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = problems(h.api)
	huma.Register(h.api, op, serve)
}

// streamed is an answer that is written by hand.
func streamed(serve func(w http.ResponseWriter, r *http.Request)) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		serve(w, r)
	}}
}
