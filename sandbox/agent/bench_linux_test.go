package agent_test

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// An instant agent has the end of an execution at once.
type instant struct {
	wire.AgentService // nil: what is not below panics, and is not called

	seq uint64
}

func (i *instant) Hello(context.Context, *wire.HelloRequest) (*wire.HelloReply, error) {
	return &wire.HelloReply{Version: agent.Version}, nil
}

func (i *instant) Start(context.Context, *wire.StartRequest) (*wire.StartReply, error) {
	return &wire.StartReply{}, nil
}

func (i *instant) Begin(_ context.Context, r *wire.BeginRequest) (*wire.ReadOutputReply, error) {
	return i.frames(r.GetStart().GetId()), nil
}

func (i *instant) ReadOutput(context.Context, *wire.ReadOutputRequest) (*wire.ReadOutputReply, error) {
	return i.frames("x"), nil
}

func (i *instant) frames(id string) *wire.ReadOutputReply {
	i.seq += 2
	return &wire.ReadOutputReply{Frames: []*wire.Frame{
		{Seq: i.seq - 1, Exec: id, Data: []byte("2\n")}, {Seq: i.seq, Exec: id, Exit: &wire.Exit{Result: "2"}},
	}}
}

// meet connects a client with a service by a socket.
func meet(b *testing.B, service wire.AgentService) *agent.Client {
	b.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		b.Fatal(err)
	}
	wire.RegisterAgentService(server, service)
	path := filepath.Join(b.TempDir(), "s")
	l, err := new(net.ListenConfig).Listen(b.Context(), "unix", path)
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(b.Context()), l) }()
	conn, err := new(net.Dialer).DialContext(b.Context(), "unix", path)
	if err != nil {
		b.Fatal(err)
	}
	c := agent.NewClient("sb-1", conn, func() {})
	b.Cleanup(func() {
		_ = c.Close()
		_ = server.Close()
		<-served
	})
	if _, err := c.Hello(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c
}

// The way to an agent and back for one execution: with one call, and with two.
func BenchmarkClient(b *testing.B) {
	b.Run("begin", func(b *testing.B) {
		c, after := meet(b, &instant{}), uint64(0)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			frames, err := c.Begin(b.Context(), sandbox.Exec{ID: sandbox.ExecID(strconv.Itoa(n)), Code: "1 + 1"}, after, after, time.Second)
			if err != nil || len(frames) != 2 {
				b.Fatal(frames, err)
			}
			after = frames[1].Seq
		}
	})
	b.Run("start and follow", func(b *testing.B) {
		c, after := meet(b, &instant{}), uint64(0)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			if err := c.Start(b.Context(), sandbox.Exec{ID: sandbox.ExecID(strconv.Itoa(n)), Code: "1 + 1"}); err != nil {
				b.Fatal(err)
			}
			frames, err := c.Follow(b.Context(), after, time.Second)
			if err != nil || len(frames) != 2 {
				b.Fatal(frames, err)
			}
			after = frames[1].Seq
		}
	})
}
