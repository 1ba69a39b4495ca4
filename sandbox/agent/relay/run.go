package relay

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// The words that an answer begins with.
const (
	answerWord  = "answer"
	refusedWord = "refused"
)

// StatusGone is the exit status of a relay whose agent is not there.
const StatusGone = 75

// ErrGone says that there is no agent to relay to.
var ErrGone = errors.New("the agent is not there")

// longest is how long one call may take, whatever it asks for.
const longest = 2 * time.Minute

// Run makes one call to the agent in a directory, with the arguments behind
// [agent.RelayWord], and writes its answer. It fails with [ErrGone] where no
// agent listens.
func Run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 2 {
		return fmt.Errorf("%s wants a directory, a method and a request", agent.RelayWord)
	}
	call, err := callOf(args[1], args[2:])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", agent.VisitSocket(args[0]))
	if err != nil {
		return errors.Join(ErrGone, err)
	}
	client := ttrpc.NewClient(conn)
	defer func() { _ = client.Close() }()
	answer, err := call(ctx, wire.NewAgentClient(client))
	if errors.Is(err, ttrpc.ErrClosed) {
		return errors.Join(ErrGone, err)
	}
	return write(out, answer, err)
}

// callOf reads a call and its requests, of which each is in pieces.
func callOf(method string, args []string) (func(context.Context, wire.AgentService) ([]byte, error), error) {
	var requests [][]byte
	for pieces := range strings.SplitSeq(strings.Join(args, ""), between) {
		request, err := base64.StdEncoding.DecodeString(pieces)
		if err != nil {
			return nil, fmt.Errorf("the request is no base64: %w", err)
		}
		requests = append(requests, request)
	}
	if call, ok := methods[method]; ok && len(requests) == 1 {
		return func(ctx context.Context, s wire.AgentService) ([]byte, error) { return call(ctx, s, requests[0]) }, nil
	}
	if method == beginMethod && len(requests) == 2 {
		return func(ctx context.Context, s wire.AgentService) ([]byte, error) {
			return begin(ctx, s, requests[0], requests[1])
		}, nil
	}
	return nil, fmt.Errorf("there is no method %q of %d requests", method, len(requests))
}

// write writes what became of a call.
func write(out io.Writer, answer []byte, err error) error {
	w := bufio.NewWriter(out)
	if err != nil {
		s := status.Convert(err)
		fmt.Fprintln(w, refusedWord, int(s.Code()))
		answer = []byte(s.Message())
	} else {
		fmt.Fprintln(w, answerWord)
	}
	const line = 48 << 10 // bytes; a multiple of 3, so that no line but the last is padded
	for len(answer) > 0 {
		n := min(line, len(answer))
		fmt.Fprintln(w, base64.StdEncoding.EncodeToString(answer[:n]))
		answer = answer[n:]
	}
	return w.Flush()
}

// methods are the calls there are, by the names of the protocol.
var methods = map[string]func(context.Context, wire.AgentService, []byte) ([]byte, error){ //nolint:gochecknoglobals // a table
	"Hello":         pass(wire.AgentService.Hello),
	"Start":         pass(start),
	"ReadOutput":    pass(wire.AgentService.ReadOutput),
	"Signal":        pass(wire.AgentService.Signal),
	"WriteStdin":    pass(wire.AgentService.WriteStdin),
	"Executions":    pass(wire.AgentService.Executions),
	"OpenTransfer":  pass(wire.AgentService.OpenTransfer),
	"ReadTransfer":  pass(wire.AgentService.ReadTransfer),
	"WriteTransfer": pass(wire.AgentService.WriteTransfer),
	"CloseTransfer": pass(wire.AgentService.CloseTransfer),
}

// message is a pointer to a message of the protocol.
type message[T any] interface {
	*T
	proto.Message
}

// pass makes a call of bytes out of one of messages.
func pass[Q, A any, PQ message[Q], PA message[A]](call func(wire.AgentService, context.Context, PQ) (PA, error)) func(context.Context, wire.AgentService, []byte) ([]byte, error) {
	return func(ctx context.Context, s wire.AgentService, data []byte) ([]byte, error) {
		request := PQ(new(Q))
		if err := proto.Unmarshal(data, request); err != nil {
			return nil, err
		}
		answer, err := call(s, ctx, request)
		if err != nil {
			return nil, err
		}
		return proto.Marshal(answer)
	}
}

// start makes a deadline of what is left until then.
func start(s wire.AgentService, ctx context.Context, r *wire.StartRequest) (*wire.StartReply, error) { //nolint:revive // the order of a method's value
	if r.GetDeadline() != 0 {
		r.Deadline += int64(boottime())
	}
	return s.Start(ctx, r)
}
