package agent_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// A scripted agent answers about files what it is told to.
type scripted struct {
	wire.AgentService // the other methods are not called

	version uint32
	open    *wire.OpenTransferReply
	read    *wire.ReadTransferReply
	write   *wire.WriteTransferReply

	mu     sync.Mutex
	asked  int // for bytes, or to take some
	closed int
}

func (s *scripted) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
}

func (s *scripted) Hello(context.Context, *wire.HelloRequest) (*wire.HelloReply, error) {
	return &wire.HelloReply{Version: s.version}, nil
}

func (s *scripted) OpenTransfer(context.Context, *wire.OpenTransferRequest) (*wire.OpenTransferReply, error) {
	return s.open, nil
}

func (s *scripted) ReadTransfer(context.Context, *wire.ReadTransferRequest) (*wire.ReadTransferReply, error) {
	s.count()
	return s.read, nil
}

func (s *scripted) WriteTransfer(context.Context, *wire.WriteTransferRequest) (*wire.WriteTransferReply, error) {
	s.count()
	return s.write, nil
}

func (s *scripted) CloseTransfer(context.Context, *wire.CloseTransferRequest) (*wire.CloseTransferReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return &wire.CloseTransferReply{}, nil
}

// client speaks with a scripted agent.
func client(t *testing.T, s *scripted) *agent.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	wire.RegisterAgentService(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(t.Context()), l) }()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c := agent.NewClient("sb-1", conn, func() {})
	t.Cleanup(func() {
		_ = c.Close()
		_ = server.Close()
		<-served
	})
	if _, err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// An agent that an earlier daemon left knows nothing of files.
func TestTransfer_EarlierAgent(t *testing.T) {
	c := client(t, &scripted{version: 2})
	_, err := c.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileStat, Path: "x"})
	e, ok := errors.AsType[*sandbox.Error](err)
	if !ok || e.Kind != sandbox.Unsupported || e.Detail == "" {
		t.Errorf("got %v, want unsupported", err)
	}
}

// Whatever an agent answers is an error of a kind, and the transfer is closed.
func TestTransfer_Answers(t *testing.T) {
	fault := func(code wire.FaultCode) *wire.Fault { return &wire.Fault{Code: code, About: []byte("\xffa")} }
	for name, c := range map[string]struct {
		op    sandbox.FileOp
		read  *wire.ReadTransferReply
		write *wire.WriteTransferReply
		want  sandbox.Kind
		cause sandbox.Cause
	}{
		"no such file":         {op: sandbox.FileRead, read: &wire.ReadTransferReply{End: true, Fault: fault(wire.FaultCode_NO_FILE)}, want: sandbox.NotFound},
		"a code of the future": {op: sandbox.FileRead, read: &wire.ReadTransferReply{End: true, Fault: fault(999)}, want: sandbox.Other},
		"no room":              {op: sandbox.FileWrite, write: &wire.WriteTransferReply{Fault: fault(wire.FaultCode_NO_ROOM)}, want: sandbox.Exhausted, cause: sandbox.CauseDisk},
		"a killed helper":      {op: sandbox.FilePack, read: &wire.ReadTransferReply{Fault: fault(wire.FaultCode_KILLED)}, want: sandbox.Stopped, cause: sandbox.CauseCrashed},
		"too much":             {op: sandbox.FileRead, read: &wire.ReadTransferReply{Data: make([]byte, 256<<10+1)}, want: sandbox.Stopped, cause: sandbox.CauseAgentLost},
		"an end with bytes":    {op: sandbox.FileRead, read: &wire.ReadTransferReply{Data: []byte("x"), End: true}, want: sandbox.Stopped, cause: sandbox.CauseAgentLost},
		"more than was given":  {op: sandbox.FileWrite, write: &wire.WriteTransferReply{Taken: 99}, want: sandbox.Stopped, cause: sandbox.CauseAgentLost},
		"nonsense":             {op: sandbox.FileStat, read: &wire.ReadTransferReply{Data: []byte("x\n")}, want: sandbox.Stopped, cause: sandbox.CauseCrashed},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scripted{version: agent.Version, open: &wire.OpenTransferReply{}, read: c.read, write: c.write}
			x, err := client(t, s).Transfer(t.Context(), sandbox.FileRequest{Op: c.op, Path: "f"})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second says the same, and asks nobody
				if c.write != nil {
					_, err = x.Write([]byte("data"))
				} else {
					_, err = io.ReadAll(x)
				}
				if e, ok := errors.AsType[*sandbox.Error](err); !ok || e.Kind != c.want || e.Cause != c.cause || e.ID != "sb-1" {
					t.Errorf("got %#v, want %v %s", err, c.want, c.cause)
				}
			}
			if err := x.Close(); err != nil || s.closed != 1 {
				t.Errorf("Close: %v; closed %d times", err, s.closed)
			}
		})
	}
}

// An agent that answers nothing at once does not keep us busy.
func TestTransfer_AnswersOfNothing(t *testing.T) {
	for _, op := range []sandbox.FileOp{sandbox.FileRead, sandbox.FileWrite} {
		s := &scripted{version: agent.Version, open: &wire.OpenTransferReply{}, read: &wire.ReadTransferReply{}, write: &wire.WriteTransferReply{}}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		x, err := client(t, s).Transfer(ctx, sandbox.FileRequest{Op: op, Path: "f"})
		if err != nil {
			t.Fatal(err)
		}
		if op == sandbox.FileRead {
			_, err = io.ReadAll(x)
		} else {
			_, err = x.Write([]byte("data"))
		}
		s.mu.Lock()
		if sandbox.KindOf(err) != sandbox.Timeout || s.asked > 10 {
			t.Errorf("%s: asked %d times, %v", op, s.asked, err)
		}
		s.mu.Unlock()
		_ = x.Close()
		cancel()
	}
}
