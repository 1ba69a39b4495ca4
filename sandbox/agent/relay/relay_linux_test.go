package relay_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/relay"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// echo is an agent that keeps what it is asked, and answers with it.
type echo struct {
	wire.AgentService // nil: what is not below panics, and is not called

	started *wire.StartRequest
	data    []byte
	refuse  error
	looks   int    // until an execution ends; 0 is never
	after   uint64 // of the last look
}

func (e *echo) Hello(context.Context, *wire.HelloRequest) (*wire.HelloReply, error) {
	return &wire.HelloReply{Version: 7}, e.refuse
}

func (e *echo) Start(_ context.Context, r *wire.StartRequest) (*wire.StartReply, error) {
	e.started = r
	return &wire.StartReply{}, e.refuse
}

func (e *echo) ReadOutput(_ context.Context, r *wire.ReadOutputRequest) (*wire.ReadOutputReply, error) {
	e.after = r.GetAfter()
	if e.looks--; e.looks == 0 {
		return &wire.ReadOutputReply{Frames: []*wire.Frame{{Seq: 8}, {Seq: 9, Exec: "x", Exit: &wire.Exit{Code: 3}}}}, nil
	}
	return &wire.ReadOutputReply{Frames: []*wire.Frame{{Seq: 1, Data: e.data}}}, e.refuse
}

func (e *echo) Signal(context.Context, *wire.SignalRequest) (*wire.SignalReply, error) {
	return &wire.SignalReply{}, e.refuse
}

func (e *echo) WriteStdin(_ context.Context, r *wire.WriteStdinRequest) (*wire.WriteStdinReply, error) {
	e.data = r.GetData()
	return &wire.WriteStdinReply{Taken: uint32(len(e.data))}, e.refuse
}

func (e *echo) Executions(context.Context, *wire.ExecutionsRequest) (*wire.ExecutionsReply, error) {
	return &wire.ExecutionsReply{Executions: []*wire.ExecState{{Id: "x", Running: true}}}, e.refuse
}

func (e *echo) OpenTransfer(context.Context, *wire.OpenTransferRequest) (*wire.OpenTransferReply, error) {
	return &wire.OpenTransferReply{Fault: &wire.Fault{Code: wire.FaultCode_EXISTS}}, e.refuse
}

func (e *echo) ReadTransfer(context.Context, *wire.ReadTransferRequest) (*wire.ReadTransferReply, error) {
	return &wire.ReadTransferReply{Data: e.data}, e.refuse
}

func (e *echo) WriteTransfer(_ context.Context, r *wire.WriteTransferRequest) (*wire.WriteTransferReply, error) {
	e.data = r.GetData()
	return &wire.WriteTransferReply{Taken: uint32(len(e.data))}, e.refuse
}

func (e *echo) CloseTransfer(context.Context, *wire.CloseTransferRequest) (*wire.CloseTransferReply, error) {
	return &wire.CloseTransferReply{}, e.refuse
}

// serve serves an agent in a directory, and returns the service that reaches it
// by Run.
func serve(t *testing.T, e *echo) relay.Service {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", agent.VisitSocket(dir))
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	wire.RegisterAgentService(server, e)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(t.Context()), l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, ttrpc.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return relay.NewService(func(ctx context.Context, _ time.Duration, args ...string) (string, error) {
		for _, a := range args {
			if len(a) >= 128<<10 {
				t.Errorf("an argument has %d bytes, more than kernels take", len(a))
			}
		}
		var out bytes.Buffer
		err := relay.Run(ctx, append([]string{dir}, args...), &out)
		return strings.TrimSuffix(out.String(), "\n"), err // as servers that give lines do
	})
}

// calls are all calls of the protocol, as a daemon makes them.
func calls(s relay.Service, ctx context.Context, data []byte) map[string]func() (proto.Message, error) { //nolint:revive // a helper
	return map[string]func() (proto.Message, error){
		"Hello": func() (proto.Message, error) { return s.Hello(ctx, &wire.HelloRequest{}) },
		"Start": func() (proto.Message, error) { return s.Start(ctx, &wire.StartRequest{Id: "x"}) },
		"Begin": func() (proto.Message, error) {
			return s.Begin(ctx, &wire.BeginRequest{Start: &wire.StartRequest{Id: "x", Stdin: true}, Read: &wire.ReadOutputRequest{WaitMs: 5}})
		},
		"Signal":        func() (proto.Message, error) { return s.Signal(ctx, &wire.SignalRequest{}) },
		"ReadOutput":    func() (proto.Message, error) { return s.ReadOutput(ctx, &wire.ReadOutputRequest{WaitMs: 5}) },
		"WriteStdin":    func() (proto.Message, error) { return s.WriteStdin(ctx, &wire.WriteStdinRequest{Data: data}) },
		"Executions":    func() (proto.Message, error) { return s.Executions(ctx, &wire.ExecutionsRequest{}) },
		"OpenTransfer":  func() (proto.Message, error) { return s.OpenTransfer(ctx, &wire.OpenTransferRequest{}) },
		"ReadTransfer":  func() (proto.Message, error) { return s.ReadTransfer(ctx, &wire.ReadTransferRequest{}) },
		"WriteTransfer": func() (proto.Message, error) { return s.WriteTransfer(ctx, &wire.WriteTransferRequest{Data: data}) },
		"CloseTransfer": func() (proto.Message, error) { return s.CloseTransfer(ctx, &wire.CloseTransferRequest{}) },
	}
}

// noise is what no text encoding survives by accident.
func noise(n int) []byte {
	source := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	_, _ = source.Read(data)
	return data
}

func TestService_CarriesEveryCall(t *testing.T) {
	data := noise(256 << 10) // the largest piece that there is
	e := &echo{}
	s := serve(t, e)
	want := map[string]proto.Message{
		"Hello": &wire.HelloReply{Version: 7}, "Start": &wire.StartReply{}, "Signal": &wire.SignalReply{},
		"ReadOutput":    &wire.ReadOutputReply{Frames: []*wire.Frame{{Seq: 1, Data: data}}},
		"Begin":         &wire.ReadOutputReply{Frames: []*wire.Frame{{Seq: 1, Data: data}}},
		"WriteStdin":    &wire.WriteStdinReply{Taken: uint32(len(data))},
		"Executions":    &wire.ExecutionsReply{Executions: []*wire.ExecState{{Id: "x", Running: true}}},
		"OpenTransfer":  &wire.OpenTransferReply{Fault: &wire.Fault{Code: wire.FaultCode_EXISTS}},
		"ReadTransfer":  &wire.ReadTransferReply{Data: data},
		"WriteTransfer": &wire.WriteTransferReply{Taken: uint32(len(data))}, "CloseTransfer": &wire.CloseTransferReply{},
	}
	all := calls(s, t.Context(), data)
	names := []string{"WriteStdin"} // first: the others give back what it brought
	for name := range all {
		names = append(names, name)
	}
	for _, name := range names {
		got, err := all[name]()
		if err != nil || !proto.Equal(got, want[name]) {
			t.Errorf("%s: got %.80v, %v", name, got, err)
		}
		if name[0] == 'W' && !slices.Equal(e.data, data) {
			t.Errorf("%s: the agent got other bytes", name)
		}
	}
}

func TestService_CarriesRefusals(t *testing.T) {
	s := serve(t, &echo{refuse: status.Error(codes.ResourceExhausted, "the kernel is busy\nand so on")})
	for name, call := range calls(s, t.Context(), nil) {
		_, err := call()
		if got := status.Convert(err); got.Code() != codes.ResourceExhausted || got.Message() != "the kernel is busy\nand so on" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestService_DeadlinesAreWhatIsLeft(t *testing.T) {
	e := &echo{}
	s := serve(t, e)
	for name, deadline := range map[string]time.Duration{"ahead": sandboxtest.Boottime() + time.Hour, "none": 0} {
		if _, err := s.Start(t.Context(), &wire.StartRequest{Deadline: int64(deadline)}); err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(e.started.GetDeadline()); (got-deadline).Abs() > time.Minute || deadline == 0 && got != 0 {
			t.Errorf("%s: got %v, want %v", name, got, deadline)
		}
	}
}

// TestService_BeginWaitsForTheEnd has an agent whose execution takes some looks.
func TestService_BeginWaitsForTheEnd(t *testing.T) {
	e := &echo{looks: 3}
	s := serve(t, e)
	answer, err := s.Begin(t.Context(), &wire.BeginRequest{
		Start: &wire.StartRequest{Id: "x", Deadline: int64(sandboxtest.Boottime() + time.Hour)}, Read: &wire.ReadOutputRequest{After: 7, WaitMs: 60000},
	})
	if frames := answer.GetFrames(); err != nil || len(frames) != 2 || frames[1].GetExit().GetCode() != 3 {
		t.Errorf("got %v, %v; want the end", answer, err)
	}
	if got := time.Duration(e.started.GetDeadline()) - sandboxtest.Boottime(); e.started.GetId() != "x" || (got-time.Hour).Abs() > time.Minute {
		t.Errorf("started %v", e.started)
	}
	if e.after != 7 {
		t.Errorf("it acknowledged %d, want 7", e.after)
	}
}

func TestRun_WithoutAnAgent(t *testing.T) {
	var out bytes.Buffer
	if err := relay.Run(t.Context(), []string{t.TempDir(), "Hello", ""}, &out); !errors.Is(err, relay.ErrGone) || out.Len() > 0 {
		t.Errorf("got %v, %q", err, out.String())
	}
	for _, args := range [][]string{nil, {"/nowhere"}, {"/nowhere", "Nothing", ""}, {"/nowhere", "Hello", "%"}, {"/nowhere", "Hello", ","}, {"/nowhere", "Begin", ""}} {
		if err := relay.Run(t.Context(), args, &out); err == nil || errors.Is(err, relay.ErrGone) {
			t.Errorf("%q: got %v, want what is wrong with it", args, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"answer", "answer\nCAM=", "answer\n\n\r\n", "refused 8\nYnVzeQ==", "refused 0", "refused 17", "refused -1", "", "answer\n*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, output string) {
		data, err := relay.Decode(output)
		if err == nil && !strings.HasPrefix(strings.TrimSpace(output), "answer") {
			t.Errorf("%q is taken for an answer", output)
		}
		if err != nil && data != nil {
			t.Error("an error comes with data")
		}
		if err != nil && !errors.Is(err, relay.ErrNonsense) && status.Code(err) == codes.OK {
			t.Errorf("%q is an error without a code: %v", output, err)
		}
	})
}
