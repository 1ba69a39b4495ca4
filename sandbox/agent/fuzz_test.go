package agent_test

import (
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// The bounds that the vocabulary promises for what comes out of a sandbox.
const (
	mostFrames = 8192
	mostData   = 64 << 10
	mostWords  = 64 << 10
)

// Whatever an agent sends: it is refused, or within the bounds and in order.
func FuzzFrames(f *testing.F) {
	for _, seed := range seeds() {
		data, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint64(0), data)
		f.Add(^uint64(0), data)
	}
	f.Add(uint64(7), []byte("\x0a\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, after uint64, data []byte) {
		var reply wire.ReadOutputReply
		if err := proto.Unmarshal(data, &reply); err != nil {
			return // the connection ends with such an answer
		}
		frames, err := agent.Frames(after, &reply)
		if err != nil {
			if frames != nil {
				t.Error("frames with an error")
			}
			return
		}
		if len(frames) != len(reply.GetFrames()) || len(frames) > mostFrames {
			t.Fatalf("%d frames of %d", len(frames), len(reply.GetFrames()))
		}
		for i := range frames {
			checkFrame(t, &frames[i], after+uint64(i)+1)
		}
	})
}

func checkFrame(t *testing.T, f *sandbox.Frame, seq uint64) {
	t.Helper()
	if f.Seq != seq {
		t.Errorf("frame %d is numbered %d", seq, f.Seq)
	}
	switch f.Stream {
	case sandbox.Stdout, sandbox.Stderr:
		if len(f.Data) > mostData || f.MIME != "" {
			t.Errorf("%d bytes of %s, type %q", len(f.Data), f.Stream, f.MIME)
		}
	case sandbox.Display:
		if len(f.Data) > sandbox.MaxDisplay || len(f.MIME) > 128 {
			t.Errorf("%d bytes of %q", len(f.Data), f.MIME)
		}
	default:
		t.Errorf("stream %q", f.Stream)
	}
	if f.Exit != nil {
		checkExit(t, f.Exit)
	}
}

func checkExit(t *testing.T, x *sandbox.Exit) {
	t.Helper()
	switch x.Cause {
	case sandbox.CauseNone, sandbox.CauseWallTimeout, sandbox.CauseCPUTimeout, sandbox.CauseKilled, sandbox.CauseSeccomp,
		sandbox.CauseCrashed, sandbox.CausePids, sandbox.CauseDisk:
	case sandbox.CauseOOM, sandbox.CauseEvicted, sandbox.CauseIdle,
		sandbox.CauseShutdown, sandbox.CauseAgentLost, sandbox.CauseHostMemory, sandbox.CauseExpired:
		t.Errorf("an agent is believed the cause %q", x.Cause)
	default:
		t.Errorf("cause %q", x.Cause)
	}
	if x.Dropped < 0 || x.Duration < 0 || x.CPU < 0 || x.PeakBytes < 0 {
		t.Errorf("less than nothing: %+v", x)
	}
	words := []string{x.Evidence, x.Result}
	if x.Failure != nil {
		words = append(words, x.Failure.Name, x.Failure.Message)
	}
	for _, w := range words {
		if len(w) > mostWords || !utf8.ValidString(w) {
			t.Errorf("%d bytes of words, valid %v", len(w), utf8.ValidString(w))
		}
	}
}

// seeds are replies that are good, and some that are not.
func seeds() []*wire.ReadOutputReply {
	frame := func(seq uint64, stream wire.Stream, size int) *wire.Frame {
		return &wire.Frame{Seq: seq, Exec: "x", Stream: stream, Data: make([]byte, size)}
	}
	end := frame(2, wire.Stream_STDERR, 0)
	end.Exit = &wire.Exit{
		Code: -1, Cause: "oom", Evidence: "ä", Result: "42", Failed: true, FailureName: "E", FailureMessage: "m",
		Dropped: -1, Duration: -1, Cpu: -1, PeakBytes: -1, StateLost: true,
	}
	image := frame(1, wire.Stream_DISPLAY, 100)
	image.Mime = "image/png"
	return []*wire.ReadOutputReply{
		{},
		{Frames: []*wire.Frame{frame(1, wire.Stream_STDOUT, 3), end}},
		{Frames: []*wire.Frame{image}},
		{Frames: []*wire.Frame{frame(0, wire.Stream_STDOUT, 1)}},
		{Frames: []*wire.Frame{frame(1, wire.Stream_STDOUT, 1), frame(3, wire.Stream_STDOUT, 1)}},
		{Frames: []*wire.Frame{frame(1, wire.Stream_STDOUT, mostData+1)}},
		{Frames: []*wire.Frame{frame(1, wire.Stream_DISPLAY, sandbox.MaxDisplay+1)}},
		{Frames: []*wire.Frame{frame(1, wire.Stream(9), 1)}},
	}
}
