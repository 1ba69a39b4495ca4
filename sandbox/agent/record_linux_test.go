package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

var record = flag.Bool("record", false, "keep the conversation with the real agent in testdata")

// Today's agent holds the conversation that earlier ones were recorded in. With
// -record it is recorded too, for the daemons to come.
func TestConversation(t *testing.T) {
	s := realAgent(t)
	first, second := s.dial(t), s.dial(t)
	cursor := firstDaemon(t, first.talk)
	second.after = cursor
	secondDaemon(t, second.talk)
	if !*record {
		return
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	for i, c := range []recorded{first, second} {
		all, err := c.tape.exchanges(i + 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if err := lines.Encode(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(recordingOf(agent.Version), out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A socket is where a real agent listens, and what it wants to hear first.
type socket struct {
	path   string
	secret []byte
}

// realAgent starts a sandbox, and finds its agent as a later daemon would.
func realAgent(t *testing.T) socket {
	t.Helper()
	home, err := os.MkdirTemp("", "sw") //nolint:usetesting // a short name: a socket is below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	b, err := native.New(t.Context(), native.Options{StateDir: filepath.Join(home, "state"), RuntimeDir: filepath.Join(home, "run"), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	sandboxtest.NewBox(t, b, sandbox.Spec{Session: "talk", Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]})
	return findSocket(t, home)
}

func findSocket(t *testing.T, home string) (s socket) {
	t.Helper()
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case d.Type() == fs.ModeSocket:
			s.path = path
		case strings.HasPrefix(d.Name(), "sb-") && strings.HasSuffix(path, ".json"):
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var known struct{ Secret []byte }
			if err := json.Unmarshal(data, &known); err != nil {
				return err
			}
			s.secret = known.Secret
		}
		return nil
	})
	if err != nil || s.path == "" || len(s.secret) != agent.SecretSize {
		t.Fatalf("found %q and a secret of %d bytes, %v", s.path, len(s.secret), err)
	}
	return s
}

// A recorded talk keeps what was said.
type recorded struct {
	*talk
	tape *tape
}

// dial connects as a daemon does.
func (s socket) dial(t *testing.T) recorded {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Greet(conn, s.secret); err != nil {
		t.Fatal(err)
	}
	c := &tape{Conn: conn}
	client := agent.NewClient("sb-1", c, func() {})
	t.Cleanup(func() { _ = client.Close() })
	if got, err := client.Hello(t.Context()); err != nil || got != agent.Version {
		t.Fatalf("Hello = %d, %v", got, err)
	}
	return recorded{&talk{Client: client}, c}
}
