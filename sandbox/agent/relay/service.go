package relay

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// maxArgument is the size of one argument, in bytes: kernels take 128 KiB.
const maxArgument = 96 << 10

// A Runner runs the agent's program inside, with arguments behind
// [agent.RelayWord] and the directory, and returns what it wrote. The run may
// take so long as wait says, and a little more. That there is no agent is
// [ErrGone].
type Runner func(ctx context.Context, wait time.Duration, args ...string) (output string, err error)

// A Service makes the calls of the protocol by a Runner. It implements
// [wire.AgentService].
type Service struct{ run Runner }

// NewService returns a Service.
func NewService(run Runner) Service { return Service{run} }

// ErrNonsense says that what came is no answer of an agent.
var ErrNonsense = errors.New("the answer is none of an agent")

// through makes one call.
func through[A any, PA message[A]](ctx context.Context, s Service, method string, wait time.Duration, requests ...proto.Message) (PA, error) {
	args := []string{method}
	for i, request := range requests {
		data, err := proto.Marshal(request)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			args = append(args, between)
		}
		args = append(args, pieces(data)...)
	}
	output, err := s.run(ctx, wait, args...)
	if err != nil {
		return nil, err
	}
	data, err := Decode(output)
	if err != nil {
		return nil, err
	}
	answer := PA(new(A))
	if proto.Unmarshal(data, answer) != nil {
		return nil, ErrNonsense
	}
	return answer, nil
}

// pieces is a message as arguments.
func pieces(data []byte) []string {
	text := base64.StdEncoding.EncodeToString(data)
	var all []string
	for len(text) > maxArgument {
		all, text = append(all, text[:maxArgument]), text[maxArgument:]
	}
	return append(all, text)
}

// Decode reads what Run wrote: the message of an answer, or the error of a
// refusal, which is a status as ttrpc has it.
func Decode(output string) ([]byte, error) {
	head, rest, _ := strings.Cut(output, "\n")
	var data []byte
	for line := range strings.SplitSeq(rest, "\n") {
		piece, err := base64.StdEncoding.DecodeString(strings.TrimRight(line, "\r"))
		if err != nil {
			return nil, ErrNonsense
		}
		data = append(data, piece...)
	}
	head = strings.TrimSpace(head)
	if head == answerWord {
		return data, nil
	}
	word, number, _ := strings.Cut(head, " ")
	code, err := strconv.ParseUint(number, 10, 8)
	if word != refusedWord || err != nil || code == uint64(codes.OK) || code > uint64(codes.Unauthenticated) {
		return nil, ErrNonsense
	}
	return nil, status.Error(codes.Code(code), string(data))
}

// Hello implements [wire.AgentService].
func (s Service) Hello(ctx context.Context, r *wire.HelloRequest) (*wire.HelloReply, error) {
	return through[wire.HelloReply](ctx, s, "Hello", 0, r)
}

// Start implements [wire.AgentService].
func (s Service) Start(ctx context.Context, r *wire.StartRequest) (*wire.StartReply, error) {
	return through[wire.StartReply](ctx, s, "Start", 0, travelling(r))
}

// Take implements [wire.AgentService]. An agent on its own was there from the beginning.
func (s Service) Take(context.Context, *wire.TakeRequest) (*wire.TakeReply, error) {
	return nil, status.Error(codes.Unimplemented, "nothing was put off")
}

// travelling is a request whose deadline is what is left.
func travelling(r *wire.StartRequest) *wire.StartRequest {
	sent, _ := proto.Clone(r).(*wire.StartRequest)
	if sent.GetDeadline() != 0 {
		sent.Deadline -= int64(boottime())
		if sent.Deadline == 0 { // which would be none
			sent.Deadline = -1
		}
	}
	return sent
}

// ReadOutput implements [wire.AgentService].
func (s Service) ReadOutput(ctx context.Context, r *wire.ReadOutputRequest) (*wire.ReadOutputReply, error) {
	return through[wire.ReadOutputReply](ctx, s, "ReadOutput", milliseconds(r.GetWaitMs()), r)
}

// Signal implements [wire.AgentService].
func (s Service) Signal(ctx context.Context, r *wire.SignalRequest) (*wire.SignalReply, error) {
	return through[wire.SignalReply](ctx, s, "Signal", 0, r)
}

// WriteStdin implements [wire.AgentService].
func (s Service) WriteStdin(ctx context.Context, r *wire.WriteStdinRequest) (*wire.WriteStdinReply, error) {
	return through[wire.WriteStdinReply](ctx, s, "WriteStdin", 0, r)
}

// Executions implements [wire.AgentService].
func (s Service) Executions(ctx context.Context, r *wire.ExecutionsRequest) (*wire.ExecutionsReply, error) {
	return through[wire.ExecutionsReply](ctx, s, "Executions", 0, r)
}

// OpenTransfer implements [wire.AgentService].
func (s Service) OpenTransfer(ctx context.Context, r *wire.OpenTransferRequest) (*wire.OpenTransferReply, error) {
	return through[wire.OpenTransferReply](ctx, s, "OpenTransfer", 0, r)
}

// ReadTransfer implements [wire.AgentService].
func (s Service) ReadTransfer(ctx context.Context, r *wire.ReadTransferRequest) (*wire.ReadTransferReply, error) {
	return through[wire.ReadTransferReply](ctx, s, "ReadTransfer", milliseconds(r.GetWaitMs()), r)
}

// WriteTransfer implements [wire.AgentService].
func (s Service) WriteTransfer(ctx context.Context, r *wire.WriteTransferRequest) (*wire.WriteTransferReply, error) {
	return through[wire.WriteTransferReply](ctx, s, "WriteTransfer", milliseconds(r.GetWaitMs()), r)
}

// CloseTransfer implements [wire.AgentService].
func (s Service) CloseTransfer(ctx context.Context, r *wire.CloseTransferRequest) (*wire.CloseTransferReply, error) {
	return through[wire.CloseTransferReply](ctx, s, "CloseTransfer", 0, r)
}

func milliseconds(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }
