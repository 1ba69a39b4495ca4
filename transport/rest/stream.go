package rest

import (
	"bytes"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/transport/fault"
)

// octets is the body of a request that is bytes, for the document.
func octets(description string) *huma.RequestBody {
	return &huma.RequestBody{Description: description, Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
}

// answers is the content of an answer that is written by hand, for the document.
func answers[T any](api huma.API) map[string]*huma.MediaType {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
	return map[string]*huma.MediaType{"application/json": {Schema: schema}}
}

// write answers with JSON.
func (h *Handler) write(w http.ResponseWriter, v any) {
	var body bytes.Buffer
	if err := marshal(&body, v); err != nil {
		h.options.Logger.Error("answer could not be encoded", "err", err)
		h.refuse(w, fault.Of(err, nil))
		return
	}
	h.deadline(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body.Bytes()) // a client that is gone needs no answer
}

// incoming is the body of a request that is streamed. Each piece of it has a
// deadline: a client that sends nothing holds nothing.
func (h *Handler) incoming(w http.ResponseWriter, r *http.Request) io.Reader {
	return &incoming{
		body:    http.MaxBytesReader(w, r.Body, h.options.MaxFile),
		control: http.NewResponseController(w), timeout: h.options.ReadTimeout,
	}
}

type incoming struct {
	body    io.Reader
	control *http.ResponseController
	timeout time.Duration
}

// Read implements [io.Reader]. Writers without deadlines are those of tests.
func (i *incoming) Read(p []byte) (int, error) {
	_ = i.control.SetReadDeadline(time.Now().Add(i.timeout))
	n, err := i.body.Read(p)
	// None in between, as what takes the bytes may be slow, and none at the end,
	// as the connection is watched for the client's end while we work.
	_ = i.control.SetReadDeadline(time.Time{})
	return n, err
}

// outgoing is an answer that is streamed, with a deadline for each piece.
type outgoing struct {
	http.ResponseWriter

	handler *Handler
}

// Write implements [io.Writer].
func (o outgoing) Write(p []byte) (int, error) {
	o.handler.deadline(o.ResponseWriter)
	return o.ResponseWriter.Write(p)
}
