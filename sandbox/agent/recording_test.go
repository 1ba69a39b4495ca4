package agent_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// An exchange is one call and its answer, a line of a recording. The bytes are
// what counts; the JSON is for people, and to notice when the bytes come to mean
// something else.
type exchange struct {
	Connection   int             `json:"connection"` // from 1; each is another daemon's
	Method       string          `json:"method"`
	Request      json.RawMessage `json:"request"`
	Reply        json.RawMessage `json:"reply,omitempty"`
	Code         codes.Code      `json:"code,omitempty"` // of a refusal
	Message      string          `json:"message,omitempty"`
	RequestBytes []byte          `json:"request_bytes,omitempty"`
	ReplyBytes   []byte          `json:"reply_bytes,omitempty"`

	played bool
}

// recordingOf is where the conversation with the agent of a version is kept.
func recordingOf(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("agent-v%d.jsonl", version))
}

func readRecording(t *testing.T, name string) []*exchange {
	t.Helper()
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		t.Fatalf("there is no %s: see the package's documentation on how to record it", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []*exchange
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var e exchange
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, &e)
	}
}

// methods are those of the service.
func methods() protoreflect.MethodDescriptors {
	return wire.File_sandbox_agent_wire_wire_proto.Services().ByName("Agent").Methods()
}

// blank makes an empty message of a type.
func blank(d protoreflect.MessageDescriptor) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err) // it is of our own file
	}
	return kind.New().Interface()
}

// messages decodes what was recorded, the reply of a refusal as an empty one.
func (e *exchange) messages() (request, reply proto.Message, err error) {
	m := methods().ByName(protoreflect.Name(e.Method))
	if m == nil {
		return nil, nil, errors.New("there is no such method any more: " + e.Method)
	}
	request, reply = blank(m.Input()), blank(m.Output())
	return request, reply, errors.Join(proto.Unmarshal(e.RequestBytes, request), proto.Unmarshal(e.ReplyBytes, reply))
}

// place is what tells the calls of one method apart.
func place(m proto.Message) string {
	switch r := m.(type) {
	case *wire.ReadOutputRequest:
		return strconv.FormatUint(r.GetAfter(), 10)
	case *wire.StartRequest:
		return r.GetId()
	case *wire.SignalRequest:
		return r.GetId()
	case *wire.WriteStdinRequest:
		return fmt.Sprint(r.GetId(), r.GetOffset(), r.GetClose())
	}
	return ""
}

// A replay answers as the agent of a recording did.
type replay struct {
	connection int

	mu  sync.Mutex
	all []*exchange
}

// serve is the agent of one connection, up to the test's end.
func (p *replay) serve(t *testing.T) *agent.Client {
	t.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	server.Register("sandwarden.agent.v1.Agent", p.handlers())
	path := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
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
	return c
}

// handlers are those of the methods that the recording has: of others the agent
// of then knew nothing.
func (p *replay) handlers() map[string]ttrpc.Method {
	known := make(map[string]ttrpc.Method)
	for _, e := range p.all {
		m := methods().ByName(protoreflect.Name(e.Method))
		known[e.Method] = func(_ context.Context, unmarshal func(any) error) (any, error) {
			request := blank(m.Input())
			if err := unmarshal(request); err != nil {
				return nil, err
			}
			return p.answer(e.Method, place(request))
		}
	}
	return known
}

// answer is the next one that was given to such a call, or the last one again.
func (p *replay) answer(method, at string) (proto.Message, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found *exchange
	var answer proto.Message
	for _, e := range p.all {
		if e.Connection != p.connection || e.Method != method {
			continue
		}
		request, reply, err := e.messages()
		if err != nil || place(request) != at {
			continue
		}
		found, answer = e, reply
		if !e.played {
			break
		}
	}
	if found == nil {
		return nil, status.Errorf(codes.DataLoss, "the recording has no %s at %q", method, at)
	}
	found.played = true
	if found.Code != codes.OK {
		return nil, status.Error(found.Code, found.Message)
	}
	return answer, nil
}

// A tape is a connection to an agent that keeps all that is said.
type tape struct {
	net.Conn

	mu        sync.Mutex
	sent, got bytes.Buffer
}

// Read implements [net.Conn].
func (c *tape) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got.Write(p[:n])
	return n, err
}

// Write implements [net.Conn].
func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.sent.Write(p)
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// exchanges understands what was said: calls in their order.
func (c *tape) exchanges(connection int) ([]*exchange, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answers := make(map[uint32]*ttrpc.Response)
	err := eachFrame(c.got.Bytes(), func(stream uint32, payload []byte) error {
		answers[stream] = new(ttrpc.Response)
		return proto.Unmarshal(payload, answers[stream])
	})
	if err != nil {
		return nil, err
	}
	var all []*exchange
	err = eachFrame(c.sent.Bytes(), func(stream uint32, payload []byte) error {
		var call ttrpc.Request
		if err := proto.Unmarshal(payload, &call); err != nil {
			return err
		}
		answer := answers[stream]
		e := &exchange{
			Connection: connection, Method: call.GetMethod(), RequestBytes: call.GetPayload(), ReplyBytes: answer.GetPayload(),
			Code: codes.Code(answer.GetStatus().GetCode()), Message: answer.GetStatus().GetMessage(),
		}
		all = append(all, e)
		return e.explain()
	})
	return all, err
}

// explain writes the JSON of the bytes.
func (e *exchange) explain() error {
	request, reply, err := e.messages()
	if err != nil {
		return err
	}
	if e.Request, err = compact(request); err != nil {
		return err
	}
	if e.Code == codes.OK {
		e.Reply, err = compact(reply)
	}
	return err
}

// compact has none of the spaces that protojson puts in at random.
func compact(m proto.Message) ([]byte, error) {
	data, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Compact(&out, data)
	return out.Bytes(), err
}

// eachFrame takes a stream of ttrpc apart.
func eachFrame(data []byte, take func(stream uint32, payload []byte) error) error {
	const header = 10
	for len(data) >= header {
		size, stream := int(binary.BigEndian.Uint32(data)), binary.BigEndian.Uint32(data[4:])
		if len(data) < header+size {
			return io.ErrUnexpectedEOF
		}
		if err := take(stream, data[header:header+size]); err != nil {
			return err
		}
		data = data[header+size:]
	}
	return nil
}
