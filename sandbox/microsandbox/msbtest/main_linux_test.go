package msbtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandwarden/sandwarden/sandbox/microsandbox/msbtest"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// TestMain fails the package when a test left something, here or on the host.
func TestMain(m *testing.M) {
	before := sandboxtest.HostNow()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if left := sandboxtest.LeftSince(before); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "the tests left something behind:", left)
		code = 1
	}
	os.Exit(code)
}

// serve starts a server whose sandboxes are those of this host.
func serve(t *testing.T, o msbtest.Options) *msbtest.Server {
	t.Helper()
	home, err := os.MkdirTemp("", "sw") //nolint:usetesting // a short name: sockets are below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	b, err := native.New(t.Context(), native.Options{
		StateDir: filepath.Join(home, "state"), RuntimeDir: filepath.Join(home, "run"), Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := msbtest.NewServer(t.Context(), b, o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = b.Close(context.WithoutCancel(t.Context()))
	})
	if err := b.Ready(); err != nil {
		sandboxtest.Skip(t, "no sandbox can be made here: %v", err)
	}
	return s
}

// A client speaks with a server, without any sense of its own.
type client struct {
	*testing.T
	server *msbtest.Server
	key    string
}

// post sends a body and returns the status and what came.
func (c client) post(body string) (int, string) {
	c.Helper()
	r, err := http.NewRequestWithContext(c.Context(), http.MethodPost, c.server.URL+"/api/v1/rpc", bytes.NewBufferString(body))
	if err != nil {
		c.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		r.Header.Set("Authorization", c.key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return response.StatusCode, string(bytes.TrimSpace(text))
}

// call makes a call that has to succeed, in the namespace "default".
func (c client) call(method string, params map[string]any) json.RawMessage {
	c.Helper()
	params["namespace"] = "default"
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
	if err != nil {
		c.Fatal(err)
	}
	status, text := c.post(string(body))
	var answer struct{ Result json.RawMessage }
	if status != http.StatusOK || json.Unmarshal([]byte(text), &answer) != nil {
		c.Fatalf("%s: %d %s", method, status, text)
	}
	return answer.Result
}

// started starts a sandbox that has Python.
func (c client) started(name string) {
	c.Helper()
	c.call("sandbox.start", map[string]any{"sandbox": name, "config": map[string]any{"image": "microsandbox/python"}})
}

// run runs code and returns its lines, those of stderr with a mark.
func (c client) run(code string, timeout int) []string {
	c.Helper()
	return lines(c.T, c.call("sandbox.repl.run", map[string]any{"sandbox": "a", "language": "python", "code": code, "timeout": timeout}))
}

func lines(t *testing.T, result json.RawMessage) []string {
	t.Helper()
	var r struct {
		Output []struct{ Stream, Text string }
	}
	if err := json.Unmarshal(result, &r); err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, l := range r.Output {
		if l.Stream == "stderr" {
			l.Text = "! " + l.Text
		}
		all = append(all, l.Text)
	}
	return all
}

// eventually waits for something that comes by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
