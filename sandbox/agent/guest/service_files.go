//go:build linux

package guest

import (
	"context"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

func (s service) OpenTransfer(_ context.Context, r *wire.OpenTransferRequest) (*wire.OpenTransferReply, error) {
	return &wire.OpenTransferReply{Fault: s.guest.files.begin(r)}, nil
}

func (s service) ReadTransfer(_ context.Context, r *wire.ReadTransferRequest) (*wire.ReadTransferReply, error) {
	t := s.guest.files.use(r.GetId())
	if t == nil {
		return &wire.ReadTransferReply{End: true, Fault: &wire.Fault{Code: wire.FaultCode_UNKNOWN_ID}}, nil
	}
	limit := min(max(int(r.GetMaxBytes()), 1), maxRead)
	return t.read(r.GetOffset(), limit, waitOf(r.GetWaitMs())), nil
}

func (s service) WriteTransfer(_ context.Context, r *wire.WriteTransferRequest) (*wire.WriteTransferReply, error) {
	t := s.guest.files.use(r.GetId())
	if t == nil {
		return &wire.WriteTransferReply{Fault: &wire.Fault{Code: wire.FaultCode_UNKNOWN_ID}}, nil
	}
	return t.write(r, waitOf(r.GetWaitMs())), nil
}

func (s service) CloseTransfer(_ context.Context, r *wire.CloseTransferRequest) (*wire.CloseTransferReply, error) {
	s.guest.files.end(r.GetId())
	return &wire.CloseTransferReply{}, nil
}

func waitOf(ms uint32) time.Duration { return min(time.Duration(ms)*time.Millisecond, maxWait) }
