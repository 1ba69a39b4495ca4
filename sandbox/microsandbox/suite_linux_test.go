package microsandbox_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox/msbtest"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

const instance = "0123456789abcdef"

// serve starts a server whose sandboxes are those of this host.
func serve(tb testing.TB, o msbtest.Options) *msbtest.Server {
	tb.Helper()
	home, err := os.MkdirTemp("", "sw") //nolint:usetesting // a short name: sockets are below it
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(home) })
	b, err := native.New(tb.Context(), native.Options{
		StateDir: filepath.Join(home, "state"), RuntimeDir: filepath.Join(home, "run"), Logger: slog.New(slog.NewTextHandler(tb.Output(), nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	s := msbtest.NewServer(tb.Context(), b, o)
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		_ = b.Close(context.WithoutCancel(tb.Context()))
	})
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(tb, "no sandbox can be made here: %v", err)
	}
	return s
}

// open makes a backend at a server, which closes with the test.
func open(tb testing.TB, s *msbtest.Server, o microsandbox.Options) *microsandbox.Backend {
	tb.Helper()
	o.URL, o.Logger = s.URL, slog.New(slog.NewTextHandler(tb.Output(), nil))
	if o.Instance == "" {
		o.Instance = instance
	}
	if o.WatchInterval == 0 {
		o.WatchInterval = 100 * time.Millisecond
	}
	b, err := microsandbox.New(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close(context.WithoutCancel(tb.Context())) })
	return b
}

func TestSuite(t *testing.T) {
	sandboxtest.TestBackend(t, func(t *testing.T) sandbox.Backend {
		t.Helper()
		s := serve(t, msbtest.Options{})
		return mortal{open(t, s, microsandbox.Options{}), s}
	})
}

// mortal is a backend whose sandboxes can be ended behind its back.
type mortal struct {
	sandbox.Backend
	server *msbtest.Server
}

// Create implements [sandbox.Backend].
func (m mortal) Create(ctx context.Context, id sandbox.ID, spec sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := m.Backend.Create(ctx, id, spec)
	if err != nil {
		return nil, err
	}
	return mortalBox{box, m.server}, nil
}

type mortalBox struct {
	sandbox.Sandbox
	server *msbtest.Server
}

// KillAgent implements [sandboxtest.AgentKiller].
func (m mortalBox) KillAgent() error {
	for _, name := range m.server.Running() {
		if strings.HasSuffix(name, string(m.ID())) {
			return m.server.Kill(name)
		}
	}
	return os.ErrNotExist
}
