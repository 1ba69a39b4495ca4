package relay

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// beginMethod is the one call that travels as two requests: those of a Start, and
// of a ReadOutput that waits for the end. The agents of a version that knows no
// Begin are asked so too.
const beginMethod = "Begin"

// between stands between two requests.
const between = ","

const (
	lookEvery = time.Millisecond // whether an execution has ended
	plenty    = 64 << 10         // bytes that are worth a call of their own
)

// begin is the part inside: it starts an execution and reads what there is when
// it has ended, has written much, or its time is over. Nothing is acknowledged that the request
// does not.
func begin(ctx context.Context, s wire.AgentService, starting, reading []byte) ([]byte, error) {
	var first wire.StartRequest
	var read wire.ReadOutputRequest
	if err := proto.Unmarshal(starting, &first); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(reading, &read); err != nil {
		return nil, err
	}
	if _, err := start(s, ctx, &first); err != nil {
		return nil, err
	}
	until := time.Now().Add(milliseconds(read.GetWaitMs()))
	for {
		read.WaitMs = uint32(max(time.Until(until), 0).Milliseconds())
		answer, err := s.ReadOutput(ctx, &read)
		if err != nil { // it was started: another reading will tell
			return proto.Marshal(&wire.ReadOutputReply{})
		}
		if ended(answer, first.GetId()) || proto.Size(answer) >= plenty || time.Now().After(until) {
			return proto.Marshal(answer)
		}
		<-time.After(lookEvery)
	}
}

// ended tells whether the end of an execution is in an answer.
func ended(answer *wire.ReadOutputReply, id string) bool {
	for _, f := range answer.GetFrames() {
		if f.GetExit() != nil && f.GetExec() == id {
			return true
		}
	}
	return false
}

// Begin implements [wire.AgentService]. It waits for the execution's end: to read
// again costs more than to wait.
func (s Service) Begin(ctx context.Context, r *wire.BeginRequest) (*wire.ReadOutputReply, error) {
	read := r.GetRead()
	return through[wire.ReadOutputReply](ctx, s, beginMethod, milliseconds(read.GetWaitMs()), travelling(r.GetStart()), read)
}
