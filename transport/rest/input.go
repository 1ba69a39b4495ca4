package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// The waits for a program that does not read its input. They grow from one to
// the other; without any progress for patience the answer is what was taken.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 250 * time.Millisecond
	patience   = maxWait
)

func (h *Handler) inputRoutes() {
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		id := "write-stdin"
		if method == http.MethodPost {
			id = "post-stdin"
		}
		register(h, huma.Operation{
			OperationID: id, Method: method, Path: "/v1/executions/{id}/stdin", Tags: []string{"executions"},
			Summary: "Write to the standard input of a command",
			Description: "The body is the bytes. The answer comes when the command has taken all of them, or no more for a minute. " +
				"Sending bytes again at their offset does no harm, so that a request whose answer was lost can be repeated.",
			RequestBody: octets("The bytes"), Responses: map[string]*huma.Response{"200": {Description: "OK", Content: answers[taken](h.api)}},
		}, h.stdin)
	}
}

type stdinInput struct {
	ID     string `path:"id" doc:"The execution_id."`
	Offset uint64 `query:"offset" required:"true" doc:"Of the first byte, among all that were written: 0 at first, then what the last answer has as offset."`
	Close  bool   `query:"close" doc:"Close the input behind the bytes."`
}

// taken is how much input was taken.
type taken struct {
	_      struct{} `additionalProperties:"true"`
	Taken  uint64   `json:"taken" doc:"Bytes of this request."`
	Offset uint64   `json:"offset" doc:"Where to go on."`
	Whole  bool     `json:"whole" doc:"All of the request was taken."`
	Closed bool     `json:"closed" doc:"The input was closed."`
}

func (h *Handler) stdin(_ context.Context, in *stdinInput) (*huma.StreamResponse, error) {
	return streamed(func(w http.ResponseWriter, r *http.Request) {
		out, err := h.feed(w, r, in)
		if err != nil {
			h.refuseErr(w, r, err, &fault.Call{Execution: in.ID})
			return
		}
		h.write(w, out)
	}), nil
}

// feed writes the body of a request to an execution.
func (h *Handler) feed(w http.ResponseWriter, r *http.Request, in *stdinInput) (*taken, error) {
	ctx, leave, ok := h.streams.Enter(r.Context())
	if !ok {
		return nil, busy()
	}
	defer leave()
	if _, err := h.sessions.Execution(ctx, door.Principal(ctx), sandbox.ExecID(in.ID)); err != nil {
		return nil, err // also when there is nothing to write
	}
	out := &taken{Offset: in.Offset}
	body := h.incoming(w, r)
	buffer := make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		whole, failed := h.push(ctx, in.ID, out, buffer[:n])
		switch {
		case failed != nil:
			return nil, failed
		case !whole:
			return out, nil
		case errors.Is(err, io.EOF):
			return out, h.finish(ctx, in, out)
		case err != nil:
			return nil, &refusal{unread(err)}
		}
	}
}

// finish notes that all was taken, and closes the input where that is asked for.
func (h *Handler) finish(ctx context.Context, in *stdinInput, out *taken) error {
	out.Whole = true
	if !in.Close {
		return nil
	}
	if _, err := h.sessions.WriteStdin(ctx, door.Principal(ctx), sandbox.ExecID(in.ID), out.Offset, nil); err != nil {
		return err
	}
	out.Closed = true
	return nil
}

// push writes one piece, as the program takes it. It reports whether all of it
// was taken.
func (h *Handler) push(ctx context.Context, id string, out *taken, data []byte) (whole bool, err error) {
	pause, since := firstPause, time.Now()
	for len(data) > 0 {
		n, err := h.sessions.WriteStdin(ctx, door.Principal(ctx), sandbox.ExecID(id), out.Offset, data)
		if err != nil {
			return false, err
		}
		if n > 0 {
			data = data[n:]
			out.Taken, out.Offset = out.Taken+uint64(n), out.Offset+uint64(n)
			pause, since = firstPause, time.Now()
			continue
		}
		if time.Since(since) > patience || !lingered(ctx, pause) {
			return false, nil
		}
		pause = min(2*pause, lastPause)
	}
	return true, nil
}

// lingered waits, and reports whether ctx goes on.
func lingered(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
