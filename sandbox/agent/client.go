package agent

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// Bounds on what an agent may say. An agent that breaks them is not ours any
// more: its sandbox is to end.
const (
	maxFrames = 8192
	maxData   = 64 << 10
	maxMIME   = 128
	maxWords  = 64 << 10 // of results and messages; longer ones are cut
)

// readMax is how much output one call asks for.
const readMax = 256 << 10

// A Client speaks with one agent. Its methods may be called from many
// goroutines. Errors are *sandbox.Error.
type Client struct {
	id   sandbox.ID
	conn *link // nil when there is none
	call wire.AgentService

	version atomic.Int64 // of the agent; 0 until it is known
}

// NewClient speaks over conn, on which Greet has succeeded. It owns conn. When
// the connection ends, by Close too, onClose is called once.
func NewClient(id sandbox.ID, conn net.Conn, onClose func()) *Client {
	l := newLink(conn, onClose)
	return &Client{id: id, conn: l, call: calls{l}}
}

// NewClientOver speaks with an agent that is not at the end of a connection. An
// *[sandbox.Error] of the service keeps its kind and its words. The agent is
// believed that memory ran out, as nobody outside its sandbox sees that.
func NewClientOver(id sandbox.ID, service wire.AgentService) *Client {
	return &Client{id: id, call: service}
}

// Rename gives the sandbox another id, before anything but Hello is asked.
func (c *Client) Rename(id sandbox.ID) { c.id = id }

// Close ends the connection, if there is one. The agent lives on.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.close()
}

// Hello exchanges versions, and returns the agent's.
func (c *Client) Hello(ctx context.Context) (int, error) {
	r, err := c.call.Hello(ctx, &wire.HelloRequest{Version: Version})
	if err != nil {
		return 0, c.fault("hello", err)
	}
	c.version.Store(int64(r.GetVersion()))
	return int(r.GetVersion()), nil
}

// cpuSince is the version of the protocol that has a limit on processor time.
const cpuSince = 3

// Start implements [sandbox.Sandbox]. An agent of an earlier daemon may not
// know the limit on processor time, and would run without: Kind Unsupported.
func (c *Client) Start(ctx context.Context, x sandbox.Exec) error {
	if err := c.canLimit(x); err != nil {
		return err
	}
	_, err := c.call.Start(ctx, startOf(x))
	return c.fault("start", err)
}

// canLimit refuses an execution whose limit the agent does not know.
func (c *Client) canLimit(x sandbox.Exec) error {
	if x.CPU > 0 && c.version.Load() < cpuSince {
		return &sandbox.Error{
			Op: "start", ID: string(c.id), Kind: sandbox.Unsupported,
			Detail: "this session is of an earlier version of the server, which could not limit processor time",
			Remedy: "begin a new session",
		}
	}
	return nil
}

func startOf(x sandbox.Exec) *wire.StartRequest {
	return &wire.StartRequest{
		Id: string(x.ID), Code: x.Code, Argv: x.Argv, Env: x.Env, Dir: x.Dir, Stdin: x.Stdin,
		Background: x.Background, Deadline: int64(x.Deadline), OutputLimit: x.OutputLimit, RequestId: x.Request,
		CpuLimit: int64(x.CPU),
	}
}

// beginSince is the version of the protocol that has Begin.
const beginSince = 4

// settle is how long output waits for the end of its execution, when it is read
// by the call that began it.
const settle = 500 * time.Microsecond

// Begin starts an execution as Start does and returns what comes within the wait
// behind the frame of a number, which was read before; the wait is over with the
// end of an execution or soon after the first output. All up to after is
// acknowledged. What is returned comes again, with Follow, for who has no use for
// it. Of an agent that cannot start and read with one call nothing is returned.
func (c *Client) Begin(ctx context.Context, x sandbox.Exec, after, from uint64, wait time.Duration) ([]sandbox.Frame, error) {
	if c.conn != nil && c.version.Load() < beginSince {
		return nil, c.Start(ctx, x)
	}
	if err := c.canLimit(x); err != nil {
		return nil, err
	}
	from = max(from, after)
	r, err := c.call.Begin(ctx, &wire.BeginRequest{
		Start: startOf(x), Read: readOf(after, wait), SettleUs: uint32(settle.Microseconds()), From: from,
	})
	if err != nil {
		return nil, c.fault("start", err)
	}
	frames, err := c.framesOf(from, r)
	if err != nil { // another reading was faster; else Follow will see
		return nil, nil //nolint:nilerr // it was started
	}
	return frames, nil
}

func readOf(after uint64, wait time.Duration) *wire.ReadOutputRequest {
	return &wire.ReadOutputRequest{After: after, MaxBytes: readMax, WaitMs: uint32(wait.Milliseconds())}
}

// Follow implements [sandbox.Sandbox]. What it returns is within the bounds
// that [sandbox.Frame] names, and its numbers follow on after; an agent that
// says otherwise gives an error of Kind Stopped with cause agent_lost.
func (c *Client) Follow(ctx context.Context, after uint64, wait time.Duration) ([]sandbox.Frame, error) {
	r, err := c.call.ReadOutput(ctx, readOf(after, wait))
	if err != nil {
		return nil, c.fault("follow", err)
	}
	frames, err := c.framesOf(after, r)
	if err != nil {
		return nil, &sandbox.Error{Op: "follow", ID: string(c.id), Kind: sandbox.Stopped, Cause: sandbox.CauseAgentLost, Err: err}
	}
	return frames, nil
}

// Signal implements [sandbox.Sandbox].
func (c *Client) Signal(ctx context.Context, x sandbox.ExecID, s sandbox.Signal) error {
	_, err := c.call.Signal(ctx, &wire.SignalRequest{Id: string(x), Signal: string(s)})
	return c.fault("signal", err)
}

// WriteStdin implements [sandbox.Sandbox].
func (c *Client) WriteStdin(ctx context.Context, x sandbox.ExecID, offset uint64, data []byte) (int, error) {
	r, err := c.call.WriteStdin(ctx, &wire.WriteStdinRequest{Id: string(x), Offset: offset, Data: data, Close: data == nil})
	if err != nil {
		return 0, c.fault("stdin", err)
	}
	return min(int(r.GetTaken()), len(data)), nil
}

// Executions implements [sandbox.Sandbox].
func (c *Client) Executions(ctx context.Context) ([]sandbox.ExecState, error) {
	r, err := c.call.Executions(ctx, &wire.ExecutionsRequest{})
	if err != nil {
		return nil, c.fault("executions", err)
	}
	states := make([]sandbox.ExecState, 0, len(r.GetExecutions()))
	for _, x := range r.GetExecutions() {
		states = append(states, sandbox.ExecState{ID: sandbox.ExecID(x.GetId()), Running: x.GetRunning()})
	}
	return states, nil
}

// ErrFrames says that an agent's frames are not within the bounds. Its sandbox
// is to end.
var ErrFrames = errors.New("the agent's output breaks the protocol")

// Frames checks what an agent sent in answer to a reading after a cursor.
func Frames(after uint64, r *wire.ReadOutputReply) ([]sandbox.Frame, error) {
	if len(r.GetFrames()) > maxFrames {
		return nil, ErrFrames
	}
	frames := make([]sandbox.Frame, 0, len(r.GetFrames()))
	for i, f := range r.GetFrames() {
		if f.GetSeq() != after+uint64(i)+1 {
			return nil, ErrFrames
		}
		frame, err := frameOf(f)
		if err != nil {
			return nil, err
		}
		frames = append(frames, frame)
	}
	return frames, nil
}

func frameOf(f *wire.Frame) (sandbox.Frame, error) {
	out := sandbox.Frame{Seq: f.GetSeq(), Exec: sandbox.ExecID(f.GetExec()), Data: f.GetData()}
	limit := maxData
	switch f.GetStream() {
	case wire.Stream_STDOUT:
		out.Stream = sandbox.Stdout
	case wire.Stream_STDERR:
		out.Stream = sandbox.Stderr
	case wire.Stream_DISPLAY:
		out.Stream, out.MIME, limit = sandbox.Display, f.GetMime(), sandbox.MaxDisplay
	default:
		return out, ErrFrames
	}
	if len(out.Data) > limit || len(out.MIME) > maxMIME {
		return out, ErrFrames
	}
	if f.GetExit() != nil {
		out.Exit = exitOf(f.GetExit())
	}
	return out, nil
}

func exitOf(e *wire.Exit) *sandbox.Exit {
	exit := &sandbox.Exit{
		Code: int(e.GetCode()), Cause: causeOf(e.GetCause()), Evidence: cut(e.GetEvidence(), maxMIME*4),
		StateLost: e.GetStateLost(), Result: cut(e.GetResult(), maxWords), Dropped: max(e.GetDropped(), 0),
		Duration: time.Duration(max(e.GetDuration(), 0)), CPU: time.Duration(max(e.GetCpu(), 0)),
		PeakBytes: max(e.GetPeakBytes(), 0),
	}
	if e.GetFailed() {
		exit.Failure = &sandbox.Failure{Name: cut(e.GetFailureName(), maxMIME), Message: cut(e.GetFailureMessage(), maxWords)}
	}
	return exit
}

// framesOf checks frames, and takes over the cause that only an agent on its own
// can tell.
func (c *Client) framesOf(after uint64, r *wire.ReadOutputReply) ([]sandbox.Frame, error) {
	frames, err := Frames(after, r)
	for i := range frames {
		if c.conn == nil && frames[i].Exit != nil && r.GetFrames()[i].GetExit().GetCause() == string(sandbox.CauseOOM) {
			frames[i].Exit.Cause = sandbox.CauseOOM
		}
	}
	return frames, err
}

// causeOf believes an agent the causes that are its to know.
func causeOf(word string) sandbox.Cause {
	switch c := sandbox.Cause(word); c { //nolint:exhaustive // the others are not an agent's to say
	case sandbox.CauseNone, sandbox.CauseWallTimeout, sandbox.CauseCPUTimeout, sandbox.CauseKilled, sandbox.CauseSeccomp,
		sandbox.CauseCrashed, sandbox.CausePids, sandbox.CauseDisk:
		return c
	default:
		return sandbox.CauseCrashed
	}
}

// cut shortens s to n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// fault turns a fault of a call into ours.
func (c *Client) fault(op string, err error) error {
	if err == nil {
		return nil
	}
	if told, ok := errors.AsType[*sandbox.Error](err); ok {
		e := *told
		e.Op, e.ID = op, string(c.id)
		return &e
	}
	e := &sandbox.Error{Op: op, ID: string(c.id), Kind: kindOf(err), Err: err}
	if e.Kind == sandbox.Stopped {
		e.Cause = sandbox.CauseAgentLost
	}
	return e
}

func kindOf(err error) sandbox.Kind {
	switch {
	case errors.Is(err, context.Canceled):
		return sandbox.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return sandbox.Timeout
	case errors.Is(err, ttrpc.ErrClosed), errors.Is(err, net.ErrClosed):
		return sandbox.Stopped
	}
	switch status.Code(err) { //nolint:exhaustive // an agent says no others
	case codes.ResourceExhausted:
		return sandbox.Exhausted
	case codes.InvalidArgument, codes.FailedPrecondition:
		return sandbox.Invalid
	case codes.NotFound:
		return sandbox.NotFound
	case codes.Unknown:
		return sandbox.Stopped // the connection broke
	default:
		return sandbox.Other
	}
}
