package agent_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// answering returns a client of an agent that answers each request with bytes of
// its own: answer gets the id of the request's stream.
func answering(t *testing.T, answer func(id uint32, conn net.Conn)) (c *agent.Client, closed <-chan struct{}) {
	t.Helper()
	ours, theirs := net.Pipe()
	ended, served := make(chan struct{}), make(chan struct{})
	go func() { // ends with the connection
		defer close(served)
		defer theirs.Close()
		var header [10]byte
		for {
			if _, err := io.ReadFull(theirs, header[:]); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, theirs, int64(binary.BigEndian.Uint32(header[:]))); err != nil {
				return
			}
			answer(binary.BigEndian.Uint32(header[4:]), theirs)
		}
	}()
	c = agent.NewClient("sb-1", ours, func() { close(ended) }) // twice would panic
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-ended
		<-served
	})
	return c, ended
}

// frame is one of ttrpc's.
func frame(size, id uint32, kind byte, payload []byte) []byte {
	header := make([]byte, 10)
	binary.BigEndian.PutUint32(header, size)
	binary.BigEndian.PutUint32(header[4:], id)
	header[8] = kind
	return append(header, payload...)
}

// reply is the payload of a frame that answers Hello.
func reply(version int64) []byte {
	inner, _ := proto.Marshal(&wire.HelloReply{Version: uint32(version)})
	outer, _ := proto.Marshal(&ttrpc.Response{Payload: inner})
	return outer
}

// An agent that breaks the protocol is not spoken with any more, and who waits
// for it is told at once.
func TestLink_BrokenFrames(t *testing.T) {
	for name, answer := range map[string]func(id uint32, conn net.Conn){
		"longer than may be": func(id uint32, conn net.Conn) { _, _ = conn.Write(frame(4<<20+1, id, 2, nil)) },
		"a request":          func(id uint32, conn net.Conn) { _, _ = conn.Write(frame(0, id, 1, nil)) },
		"a piece of a frame": func(id uint32, conn net.Conn) { _, _ = conn.Write(frame(100, id, 2, []byte("x"))); conn.Close() },
		"the end":            func(_ uint32, conn net.Conn) { conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c, closed := answering(t, answer)
			for range 2 {
				if _, err := c.Hello(t.Context()); sandbox.KindOf(err) != sandbox.Stopped {
					t.Errorf("got %v", err)
				}
			}
			<-closed
		})
	}
}

// Nonsense within a frame fails the call alone.
func TestLink_NonsenseInAReply(t *testing.T) {
	first := true
	c, _ := answering(t, func(id uint32, conn net.Conn) {
		payload := reply(7)
		if first {
			payload, first = []byte{0xff, 0xff}, false
		}
		_, _ = conn.Write(frame(uint32(len(payload)), id, 2, payload))
	})
	if _, err := c.Hello(t.Context()); err == nil {
		t.Error("it was believed")
	}
	if version, err := c.Hello(t.Context()); version != 7 || err != nil {
		t.Errorf("got %d, %v", version, err)
	}
}

// A call that is given up leaves nothing, and its late reply, of whatever size,
// is nobody else's.
func TestLink_GivenUp(t *testing.T) {
	late := make(chan uint32, 1)
	asked := make(chan struct{})
	c, _ := answering(t, func(id uint32, conn net.Conn) {
		select {
		case old := <-late:
			_, _ = conn.Write(frame(1<<20, old, 2, make([]byte, 1<<20)))
			payload := reply(2)
			_, _ = conn.Write(frame(uint32(len(payload)), id, 2, payload))
		default:
			late <- id
			close(asked)
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		<-asked
		stop()
	}()
	if _, err := c.Hello(ctx); sandbox.KindOf(err) != sandbox.Canceled {
		t.Errorf("got %v", err)
	}
	if version, err := c.Hello(t.Context()); version != 2 || err != nil {
		t.Errorf("got %d, %v", version, err)
	}
}

// Many callers at once each get their own answer, small or large, from ttrpc's
// own server.
func TestLink_ManyCallers(t *testing.T) {
	c := client(t, &scripted{version: agent.Version})
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range 32 {
		wg.Go(func() {
			for n := range 50 {
				version, err := c.Hello(t.Context())
				if err != nil || version != agent.Version {
					failed.Add(1)
					t.Errorf("caller %d, call %d: %d, %v", i, n, version, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkLink compares a call with one of ttrpc's own client, over the same
// kind of socket to the same server.
func BenchmarkLink(b *testing.B) {
	path := filepath.Join(b.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "unix", path)
	if err != nil {
		b.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		b.Fatal(err)
	}
	wire.RegisterAgentService(server, &scripted{version: agent.Version})
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(b.Context()), l) }()
	defer func() {
		_ = server.Close()
		<-served
	}()
	dial := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(b.Context(), "unix", path)
		if err != nil {
			b.Fatal(err)
		}
		return conn
	}
	ours := agent.NewClient("sb-1", dial(), func() {})
	theirs := ttrpc.NewClient(dial())
	defer ours.Close()
	defer theirs.Close()
	service := wire.NewAgentClient(theirs)
	for name, hello := range map[string]func() error{
		"ours": func() error { _, err := ours.Hello(b.Context()); return err },
		"ttrpc": func() error {
			_, err := service.Hello(b.Context(), &wire.HelloRequest{Version: agent.Version})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := hello(); err != nil {
					b.Fatal(fmt.Errorf("%s: %w", name, err))
				}
			}
		})
	}
}
