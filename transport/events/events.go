// Package events serves what happens in sessions as server-sent events, live
// and resumable.
//
// A stream is a cursor on a log. Its ids are sequence numbers of that log, so a
// client that comes back with the last one goes on where it was, or is told by
// an event of type gap what is no longer kept. A reader that does not read is
// dropped after its write deadline; the log and other readers never wait.
package events

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
	"github.com/sandwarden/sandwarden/transport/sse"
)

// maxBatch is how many bytes are gathered for one write.
const maxBatch = 64 << 10

// Sessions is what the streams read from.
type Sessions interface {
	Subscribe(ctx context.Context, ref sandbox.Ref, after uint64) (sandbox.Subscription, error)
	SubscribeAll(ctx context.Context, owner sandbox.Principal, after uint64) (sandbox.Subscription, error)
	SubscribeExecution(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, after uint64) (sandbox.Subscription, error)
}

// Options are what an operator may set. The zero value is ready.
type Options struct {
	Logger       *slog.Logger  // nil discards
	Heartbeat    time.Duration // between signs of life on a silent stream; default 15 s
	WriteTimeout time.Duration // of each write to a client; default 30 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 30 * time.Second
	}
	return o
}

// A Handler serves streams of events.
type Handler struct {
	sessions Sessions
	streams  *sse.Streams
	options  Options
}

// New returns a Handler whose streams are among the given ones.
func New(sessions Sessions, streams *sse.Streams, options Options) *Handler {
	return &Handler{sessions: sessions, streams: streams, options: options.withDefaults()}
}

// One serves the events of one session.
func (h *Handler) One(w http.ResponseWriter, r *http.Request, session string) {
	h.serve(w, r, func(ctx context.Context, after uint64) (sandbox.Subscription, error) {
		return h.sessions.Subscribe(ctx, door.Ref(ctx, session), after)
	}, &fault.Call{Session: session})
}

// Execution serves the events of one execution, to its end.
func (h *Handler) Execution(w http.ResponseWriter, r *http.Request, id sandbox.ExecID) {
	h.serve(w, r, func(ctx context.Context, after uint64) (sandbox.Subscription, error) {
		return h.sessions.SubscribeExecution(ctx, door.Principal(ctx), id, after)
	}, &fault.Call{Execution: string(id)})
}

// All serves the events of all sessions of who asks.
func (h *Handler) All(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, func(ctx context.Context, after uint64) (sandbox.Subscription, error) {
		return h.sessions.SubscribeAll(ctx, door.Principal(ctx), after)
	}, &fault.Call{})
}

type subscribe func(ctx context.Context, after uint64) (sandbox.Subscription, error)

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, open subscribe, call *fault.Call) {
	after, err := cursor(r)
	if err != nil {
		fault.Of(err, nil).WriteProblem(w)
		return
	}
	ctx, leave, ok := h.streams.Enter(r.Context())
	if !ok {
		w.Header().Set("Retry-After", "1")
		(&fault.Fault{
			Status: http.StatusServiceUnavailable, Kind: sandbox.Exhausted,
			Message: "Too many streams are open, or the server is shutting down", Remedy: "Close streams that nobody reads",
		}).WriteProblem(w)
		return
	}
	defer leave()
	log, err := open(ctx, after)
	if err != nil {
		if sandbox.KindOf(err) == sandbox.Other {
			h.options.Logger.ErrorContext(ctx, "stream failed", "session", call.Session, "err", err)
		}
		fault.Of(err, call).WriteProblem(w)
		return
	}
	out := sse.NewWriter(w, h.options.WriteTimeout)
	out.Start()
	if r.Method == http.MethodHead {
		return
	}
	if err := h.copy(ctx, out, log); err != nil && ctx.Err() == nil {
		h.options.Logger.DebugContext(ctx, "stream dropped", "session", call.Session, "err", err)
	}
}

// cursor is the event after which the client wants to go on. What a browser
// remembers by itself is newer than what stands in the address.
func cursor(r *http.Request) (uint64, error) {
	name, raw := "Last-Event-ID", r.Header.Get("Last-Event-Id")
	if raw == "" {
		name, raw = "after", r.URL.Query().Get("after")
	}
	if raw == "" {
		return 0, nil
	}
	after, err := strconv.ParseUint(raw, 10, 64)
	if err != nil {
		return 0, &sandbox.Error{
			Op: "subscribe", Kind: sandbox.Invalid, Detail: name + " must be the number of an event",
			Remedy: "Leave it out to begin at the oldest event that is kept", Err: err,
		}
	}
	return after, nil
}

// copy writes events until the log or ctx ends, or the client is gone.
func (h *Handler) copy(ctx context.Context, out *sse.Writer, log sandbox.Subscription) error {
	// At once, so that clients and proxies see that the stream is there.
	if err := out.Comment("stream open"); err != nil {
		return err
	}
	var buffer []byte
	for {
		events, err := next(ctx, log, h.options.Heartbeat)
		for i := range events {
			buffer = Append(buffer, &events[i])
			if len(buffer) >= maxBatch || i == len(events)-1 {
				if err := out.Write(buffer); err != nil {
					return err
				}
				buffer = buffer[:0]
			}
		}
		if cap(buffer) > 4*maxBatch { // one large item must not stay with each reader
			buffer = nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return out.Comment("end of events")
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && sandbox.KindOf(err) != sandbox.Timeout:
			return err
		case len(events) == 0:
			if err := out.Comment("heartbeat"); err != nil {
				return err
			}
		}
	}
}

// next waits for events, but not longer than a client may be left in silence.
func next(ctx context.Context, log sandbox.Subscription, wait time.Duration) ([]sandbox.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return log.Next(ctx)
}

// Append appends an event as it goes over the wire.
func Append(dst []byte, e *sandbox.Event) []byte {
	dst = strconv.AppendUint(append(dst, "id: "...), e.Seq, 10)
	dst = append(append(dst, "\nevent: "...), e.Type...)
	dst = append(dst, "\ndata: {"...)
	dst = plainjson.UintMember(dst, "seq", e.Seq)
	dst = plainjson.StringMember(dst, "time", e.Time.UTC().Format(time.RFC3339Nano))
	dst = plainjson.StringMember(dst, "type", string(e.Type))
	dst = optional(dst, "session_id", e.Session)
	dst = optional(dst, "execution_id", string(e.Exec))
	switch e.Type {
	case sandbox.Output:
		dst = appendOutput(dst, e)
	case sandbox.ExecutionFinished:
		dst = appendExit(dst, e.Exit)
	case sandbox.SessionRestarted:
		dst = appendCause(dst, e.Cause, e.Evidence)
		dst = plainjson.BoolMember(dst, "state_lost", e.StateLost)
		dst = plainjson.BoolMember(dst, "files_lost", e.FilesLost)
	case sandbox.Gap:
		dst = plainjson.UintMember(dst, "from", e.From)
		dst = plainjson.UintMember(dst, "to", e.To)
	case sandbox.SessionReady, sandbox.ExecutionStarted, sandbox.SessionStopped:
		dst = appendCause(dst, e.Cause, e.Evidence)
	}
	return append(dst, "}\n\n"...)
}

func appendOutput(dst []byte, e *sandbox.Event) []byte {
	dst = plainjson.StringMember(dst, "stream", string(e.Stream))
	dst = optional(dst, "mime", e.MIME)
	if utf8.Valid(e.Data) {
		return plainjson.StringMember(dst, "text", e.Data)
	}
	dst = append(plainjson.AppendName(dst, "base64"), '"')
	return append(base64.StdEncoding.AppendEncode(dst, e.Data), '"')
}

func appendExit(dst []byte, x *sandbox.Exit) []byte {
	if x == nil {
		return dst
	}
	dst = plainjson.IntMember(dst, "exit_code", int64(x.Code))
	dst = appendCause(dst, x.Cause, x.Evidence)
	if x.StateLost {
		dst = plainjson.BoolMember(dst, "state_lost", true)
	}
	dst = optional(dst, "result", x.Result)
	if x.Failure != nil {
		dst = append(plainjson.AppendName(dst, "failure"), '{')
		dst = plainjson.StringMember(dst, "name", x.Failure.Name)
		dst = append(plainjson.StringMember(dst, "message", x.Failure.Message), '}')
	}
	dst = plainjson.IntMember(dst, "dropped_bytes", x.Dropped)
	dst = plainjson.IntMember(dst, "duration_ms", x.Duration.Milliseconds())
	dst = plainjson.IntMember(dst, "cpu_ms", x.CPU.Milliseconds())
	if x.PeakBytes > 0 {
		dst = plainjson.IntMember(dst, "peak_bytes", x.PeakBytes)
	}
	return dst
}

func appendCause(dst []byte, cause sandbox.Cause, evidence string) []byte {
	return optional(optional(dst, "cause", string(cause)), "evidence", evidence)
}

func optional(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return plainjson.StringMember(dst, name, value)
}
