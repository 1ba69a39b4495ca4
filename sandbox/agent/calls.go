package agent

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// calls is the agent's service at the other end of a link.
type calls struct{ link *link }

// ask makes one call.
func ask[T any, P interface {
	*T
	proto.Message
}](ctx context.Context, l *link, method string, request proto.Message) (P, error) {
	reply := P(new(T))
	if err := l.call(ctx, method, request, reply); err != nil {
		return nil, err
	}
	return reply, nil
}

// Hello implements [wire.AgentService].
func (c calls) Hello(ctx context.Context, r *wire.HelloRequest) (*wire.HelloReply, error) {
	return ask[wire.HelloReply](ctx, c.link, "Hello", r)
}

// Start implements [wire.AgentService].
func (c calls) Start(ctx context.Context, r *wire.StartRequest) (*wire.StartReply, error) {
	return ask[wire.StartReply](ctx, c.link, "Start", r)
}

// Begin implements [wire.AgentService].
func (c calls) Begin(ctx context.Context, r *wire.BeginRequest) (*wire.ReadOutputReply, error) {
	return ask[wire.ReadOutputReply](ctx, c.link, "Begin", r)
}

// ReadOutput implements [wire.AgentService].
func (c calls) ReadOutput(ctx context.Context, r *wire.ReadOutputRequest) (*wire.ReadOutputReply, error) {
	return ask[wire.ReadOutputReply](ctx, c.link, "ReadOutput", r)
}

// Signal implements [wire.AgentService].
func (c calls) Signal(ctx context.Context, r *wire.SignalRequest) (*wire.SignalReply, error) {
	return ask[wire.SignalReply](ctx, c.link, "Signal", r)
}

// WriteStdin implements [wire.AgentService].
func (c calls) WriteStdin(ctx context.Context, r *wire.WriteStdinRequest) (*wire.WriteStdinReply, error) {
	return ask[wire.WriteStdinReply](ctx, c.link, "WriteStdin", r)
}

// Executions implements [wire.AgentService].
func (c calls) Executions(ctx context.Context, r *wire.ExecutionsRequest) (*wire.ExecutionsReply, error) {
	return ask[wire.ExecutionsReply](ctx, c.link, "Executions", r)
}

// Take implements [wire.AgentService].
func (c calls) Take(ctx context.Context, r *wire.TakeRequest) (*wire.TakeReply, error) {
	return ask[wire.TakeReply](ctx, c.link, "Take", r)
}

// OpenTransfer implements [wire.AgentService].
func (c calls) OpenTransfer(ctx context.Context, r *wire.OpenTransferRequest) (*wire.OpenTransferReply, error) {
	return ask[wire.OpenTransferReply](ctx, c.link, "OpenTransfer", r)
}

// ReadTransfer implements [wire.AgentService].
func (c calls) ReadTransfer(ctx context.Context, r *wire.ReadTransferRequest) (*wire.ReadTransferReply, error) {
	return ask[wire.ReadTransferReply](ctx, c.link, "ReadTransfer", r)
}

// WriteTransfer implements [wire.AgentService].
func (c calls) WriteTransfer(ctx context.Context, r *wire.WriteTransferRequest) (*wire.WriteTransferReply, error) {
	return ask[wire.WriteTransferReply](ctx, c.link, "WriteTransfer", r)
}

// CloseTransfer implements [wire.AgentService].
func (c calls) CloseTransfer(ctx context.Context, r *wire.CloseTransferRequest) (*wire.CloseTransferReply, error) {
	return ask[wire.CloseTransferReply](ctx, c.link, "CloseTransfer", r)
}
