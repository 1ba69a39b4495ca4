//go:build linux

package guest

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// Bounds on one call.
const (
	maxRead = 256 << 10
	maxWait = time.Minute
)

// A service is the Guest as ttrpc sees it.
type service struct{ guest *Guest }

func (s service) Hello(context.Context, *wire.HelloRequest) (*wire.HelloReply, error) {
	return &wire.HelloReply{Version: agent.Version}, nil
}

func (s service) Start(_ context.Context, r *wire.StartRequest) (*wire.StartReply, error) {
	if err := refusal(s.guest.start(r)); err != nil {
		return nil, err
	}
	return &wire.StartReply{}, nil
}

// refusal is why an execution was not started, as ttrpc has it.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errBusy), errors.Is(err, errTooMany):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, errEmpty):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

func (s service) Begin(ctx context.Context, r *wire.BeginRequest) (*wire.ReadOutputReply, error) {
	if err := refusal(s.guest.start(r.GetStart())); err != nil {
		return nil, err
	}
	settle := min(time.Duration(r.GetSettleUs())*time.Microsecond, maxWait)
	return s.read(ctx, r.GetRead(), r.GetFrom(), settle), nil
}

func (s service) ReadOutput(ctx context.Context, r *wire.ReadOutputRequest) (*wire.ReadOutputReply, error) {
	return s.read(ctx, r, r.GetAfter(), 0), nil
}

func (s service) read(ctx context.Context, r *wire.ReadOutputRequest, from uint64, settle time.Duration) *wire.ReadOutputReply {
	s.guest.out.moor(max(from, r.GetAfter()))
	s.guest.out.forget(r.GetAfter(), s.guest.acknowledged)
	limit := min(int(r.GetMaxBytes()), maxRead)
	return &wire.ReadOutputReply{Frames: s.guest.out.read(ctx, from, limit, waitOf(r.GetWaitMs()), settle)}
}

func (s service) Take(_ context.Context, r *wire.TakeRequest) (*wire.TakeReply, error) {
	return &wire.TakeReply{Before: s.guest.take(r)}, nil
}

func (s service) Signal(_ context.Context, r *wire.SignalRequest) (*wire.SignalReply, error) {
	if x := s.guest.find(r.GetId()); x != nil {
		x.send(sandbox.Signal(r.GetSignal()))
	}
	return &wire.SignalReply{}, nil
}

func (s service) WriteStdin(_ context.Context, r *wire.WriteStdinRequest) (*wire.WriteStdinReply, error) {
	x := s.guest.find(r.GetId())
	if x == nil || x.input() == nil {
		return nil, status.Error(codes.NotFound, errUnknown.Error())
	}
	if r.GetClose() {
		x.input().close()
		return &wire.WriteStdinReply{}, nil
	}
	n, err := x.input().write(r.GetOffset(), r.GetData())
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &wire.WriteStdinReply{Taken: uint32(n)}, nil
}

func (s service) Executions(context.Context, *wire.ExecutionsRequest) (*wire.ExecutionsReply, error) {
	return &wire.ExecutionsReply{Executions: s.guest.list()}, nil
}
