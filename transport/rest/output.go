package rest

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
)

func (h *Handler) outputRoutes() {
	content := answers[outputPage](h.api)
	bytes := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	content["text/plain"], content["application/octet-stream"] = bytes, bytes
	number := &huma.Schema{Type: huma.TypeInteger, Format: "int64"}
	register(h, huma.Operation{
		OperationID: "read-output", Method: http.MethodGet, Path: "/v1/executions/{id}/output", Tags: []string{"executions"},
		Summary: "Read output of an execution",
		Description: "A page of at most 1 MiB, which may be empty. Read on at next until end is true. " +
			"With Accept: text/plain or application/octet-stream the answer is the bytes alone, and what else there is to know is in headers.",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: content, Headers: map[string]*huma.Header{
			"Output-From":    {Description: "Of bytes alone: offset of the first.", Schema: number},
			"Output-Next":    {Description: "Of bytes alone: offset behind the last.", Schema: number},
			"Output-End":     {Description: "Of bytes alone: there will be no more.", Schema: &huma.Schema{Type: huma.TypeBoolean}},
			"Output-Missing": {Description: "Of bytes alone: bytes before that are not kept.", Schema: number},
		}}},
	}, h.output)
}

type outputInput struct {
	ID     string `path:"id" doc:"The execution_id."`
	Stream string `query:"stream" enum:"stdout,stderr" doc:"One of them alone, with offsets of its own; both in the order of their writing without it."`
	From   int64  `query:"from" minimum:"0" doc:"Offset of the first byte."`
	Max    int    `query:"max" minimum:"1" maximum:"1048576" default:"1048576" doc:"Bytes at most."`
	Tail   int64  `query:"tail" minimum:"0" doc:"Instead of from: begin so many bytes before the end."`
}

// An outputPage is a range of output as clients see it.
type outputPage struct {
	_       struct{}      `additionalProperties:"true"`
	Chunks  []outputChunk `json:"chunks" nullable:"false"`
	From    int64         `json:"from" doc:"Offset of the first byte."`
	Next    int64         `json:"next" doc:"Offset behind the last byte."`
	End     bool          `json:"end" doc:"There will be no more."`
	Missing int64         `json:"missing" doc:"Bytes before from that were asked for and are not kept."`
}

type outputChunk struct {
	Stream string  `json:"stream" enum:"stdout,stderr"`
	Text   *string `json:"text,omitempty"`
	Base64 string  `json:"base64,omitempty" doc:"Instead of text, where the bytes are not UTF-8."`
}

func (h *Handler) output(ctx context.Context, in *outputInput) (*huma.StreamResponse, error) {
	call := &fault.Call{Execution: in.ID}
	query := sandbox.OutputQuery{Stream: sandbox.Stream(in.Stream), From: in.From, Max: in.Max}
	if in.Tail > 0 {
		if in.From > 0 {
			return nil, h.fail(ctx, invalid("from and tail exclude each other", "Send one of them"), call)
		}
		query.From = -in.Tail
	}
	page, err := h.sessions.ReadOutput(ctx, door.Principal(ctx), sandbox.ExecID(in.ID), query)
	if err != nil {
		return nil, h.fail(ctx, err, call)
	}
	return streamed(func(w http.ResponseWriter, r *http.Request) {
		if kind := bare(r); kind != "" {
			h.bytes(w, &page, kind)
			return
		}
		h.write(w, shownPage(&page))
	}), nil
}

// bare is the type of bytes that a client prefers over JSON; "" is none.
func bare(r *http.Request) string {
	for part := range strings.SplitSeq(strings.Join(r.Header["Accept"], ","), ",") {
		kind, _, _ := strings.Cut(part, ";")
		switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
		case "application/json":
			return ""
		case "text/plain":
			return "text/plain; charset=utf-8"
		case "application/octet-stream":
			return kind
		}
	}
	return ""
}

// bytes answers with a page's bytes alone.
func (h *Handler) bytes(w http.ResponseWriter, page *sandbox.OutputPage, kind string) {
	size := 0
	for _, c := range page.Chunks {
		size += len(c.Data)
	}
	header := w.Header()
	inert(header)
	header.Set("Content-Type", kind)
	header.Set("Content-Length", strconv.Itoa(size))
	header.Set("Output-From", strconv.FormatInt(page.From, 10))
	header.Set("Output-Next", strconv.FormatInt(page.Next, 10))
	header.Set("Output-End", strconv.FormatBool(page.End))
	header.Set("Output-Missing", strconv.FormatInt(page.Missing, 10))
	h.deadline(w)
	w.WriteHeader(http.StatusOK)
	for _, c := range page.Chunks {
		if _, err := w.Write(c.Data); err != nil {
			return // a client that is gone needs no answer
		}
	}
}

// inert keeps bytes of a sandbox from becoming a page with our origin.
func inert(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cache-Control", "no-store")
}

func shownPage(page *sandbox.OutputPage) *outputPage {
	out := &outputPage{Chunks: make([]outputChunk, 0, len(page.Chunks)), From: page.From, Next: page.Next, End: page.End, Missing: page.Missing}
	for _, c := range page.Chunks {
		chunk := outputChunk{Stream: string(c.Stream)}
		if utf8.Valid(c.Data) {
			s := string(c.Data)
			chunk.Text = &s
		} else {
			chunk.Base64 = base64.StdEncoding.EncodeToString(c.Data)
		}
		out.Chunks = append(out.Chunks, chunk)
	}
	return out
}
