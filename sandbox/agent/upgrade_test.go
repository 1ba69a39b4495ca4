package agent_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
)

// oldest is the version of the oldest agents that a daemon may find running.
const oldest = 2

// A daemon speaks with the agents of earlier versions, as they were recorded: it
// takes over what they run, and says what they cannot.
func TestUpgrade(t *testing.T) {
	for version := oldest; version <= agent.Version; version++ {
		if _, err := os.Stat(recordingOf(version)); version == agent.Version && err != nil {
			continue // the real one is asked: see TestConversation
		}
		t.Run(fmt.Sprintf("from version %d", version), func(t *testing.T) {
			all := readRecording(t, recordingOf(version))
			first := &talk{Client: (&replay{connection: 1, all: all}).serve(t)}
			checkHello(t, first, version)
			cursor := firstDaemon(t, first)
			second := &talk{Client: (&replay{connection: 2, all: all}).serve(t), after: cursor}
			checkHello(t, second, version)
			secondDaemon(t, second)
			checkUnsupported(t, second, version)
			checkBegin(t, second, version)
		})
	}
}

func checkHello(t *testing.T, c *talk, want int) {
	t.Helper()
	if got, err := c.Hello(t.Context()); err != nil || got != want {
		t.Fatalf("Hello = %d, %v, want version %d", got, err, want)
	}
}

// checkBegin has an execution begun with the call that also reads, of which agents
// before version 4 know nothing.
func checkBegin(t *testing.T, c *talk, version int) {
	t.Helper()
	if version >= 4 {
		return
	}
	frames, err := c.Begin(t.Context(), sandbox.Exec{ID: "unread", Argv: []string{"true"}}, c.after, c.after, time.Minute)
	if err != nil || len(frames) != 0 {
		t.Errorf("Begin of version %d: %v, %v, want it started and nothing read", version, frames, err)
	}
}

// checkUnsupported asks for what came after a version.
func checkUnsupported(t *testing.T, c *talk, version int) {
	t.Helper()
	for what, later := range map[string]struct {
		since int
		ask   func() error
	}{
		"files": {3, func() error {
			_, err := c.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileStat, Path: "/work"})
			return err
		}},
		"a limit of processor time": {3, func() error {
			return c.Start(t.Context(), sandbox.Exec{ID: "limited", Code: "1", CPU: time.Second})
		}},
	} {
		if version >= later.since {
			continue
		}
		err := later.ask()
		if e, ok := errors.AsType[*sandbox.Error](err); !ok || e.Kind != sandbox.Unsupported || e.Detail == "" || e.Remedy == "" {
			t.Errorf("%s of version %d: %#v, want unsupported with words", what, version, err)
		}
	}
}

// The bytes of a recording mean today what they meant: no field has got another
// number or type.
func TestRecordings_MeanTheSame(t *testing.T) {
	for version := oldest; version < agent.Version; version++ {
		for i, e := range readRecording(t, recordingOf(version)) {
			request, reply, err := e.messages()
			if err != nil {
				t.Fatalf("version %d, line %d: %v", version, i+1, err)
			}
			for message, text := range map[proto.Message][]byte{request: e.Request, reply: e.Reply} {
				want := proto.Clone(message)
				proto.Reset(want)
				if len(text) > 0 {
					if err := protojson.Unmarshal(text, want); err != nil {
						t.Fatalf("version %d, line %d: %v", version, i+1, err)
					}
				}
				if !proto.Equal(message, want) {
					t.Errorf("version %d, line %d: the bytes are %v, and were %v", version, i+1, message, want)
				}
			}
		}
	}
}
