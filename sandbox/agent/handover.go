package agent

import (
	"context"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// A Handover is a kernel that the daemon has spoken with by itself, from the start of its
// sandbox until an agent was needed.
type Handover struct {
	After   uint64           // the number of the last frame before Frames, and those of the agent
	Frames  []sandbox.Frame  // that the daemon made, and has not put away
	Known   []sandbox.ExecID // the newest executions that are over
	PID     int              // of the kernel, as the sandbox numbers it; 0: there is none
	Fresh   bool             // it has not been told yet what its session has
	Runs    int              // that it was asked for; if there are some and no kernel, its state is lost
	Heard   []byte           // what it has said since
	Run     *Begun           // the last of them, if it goes on
	Unknown bool             // all that: it was an earlier daemon that spoke with the kernel
}

// A Begun is an execution that the daemon has sent to the kernel.
type Begun struct {
	Exec sandbox.Exec
	Ago  time.Duration
	CPU  time.Duration // processor time that the kernel had used before
}

// Take hands a kernel over, before anything else is asked of an agent that starts late.
// Whatever comes a second time changes nothing; it had been taken before then.
func (c *Client) Take(ctx context.Context, h Handover) (before bool, err error) {
	r := &wire.TakeRequest{
		After: h.After, Pid: int32(h.PID), Fresh: h.Fresh, Runs: uint32(h.Runs), Heard: h.Heard, Unknown: h.Unknown,
	}
	if b := h.Run; b != nil {
		r.Run = startOf(b.Exec)
		r.Run.Begun = &wire.Begun{Ago: int64(b.Ago), Cpu: int64(b.CPU)}
	}
	for _, id := range h.Known {
		r.Known = append(r.Known, string(id))
	}
	for i := range h.Frames {
		r.Frames = append(r.Frames, wireFrame(&h.Frames[i]))
	}
	answer, err := c.call.Take(ctx, r)
	return answer.GetBefore(), c.fault("take", err)
}

// wireFrame is a frame of output, or of the end of a run that went well.
func wireFrame(f *sandbox.Frame) *wire.Frame {
	out := &wire.Frame{Exec: string(f.Exec), Stream: wire.Stream_STDOUT, Data: f.Data}
	if f.Stream == sandbox.Stderr {
		out.Stream = wire.Stream_STDERR
	}
	if f.Exit != nil {
		out.Exit = &wire.Exit{Result: f.Exit.Result, Dropped: f.Exit.Dropped, Duration: int64(f.Exit.Duration), Cpu: int64(f.Exit.CPU)}
	}
	return out
}
