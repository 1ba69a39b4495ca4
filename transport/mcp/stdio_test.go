package mcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// lines serves a client and returns how to send it a line, and to read one.
func lines(t *testing.T, sessions mcp.Sessions, options mcp.Options) (send func(string), receive func() string, hangUp func() error) {
	t.Helper()
	h := mcp.New(sessions, options)
	toServer, in := io.Pipe()
	out, fromServer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- h.ServeLines(t.Context(), toServer, fromServer)
		fromServer.Close()
	}()
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 16<<20)
	send = func(line string) {
		t.Helper()
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	receive = func() string {
		t.Helper()
		if !scanner.Scan() {
			t.Fatalf("no more lines: %v", scanner.Err())
		}
		if !json.Valid(scanner.Bytes()) {
			t.Errorf("a line is no JSON: %s", scanner.Text())
		}
		return scanner.Text()
	}
	return send, receive, func() error { in.Close(); return <-ended }
}

func TestServeLines(t *testing.T) {
	release := make(chan struct{})
	fake := &transporttest.Sessions{Run: func(ctx context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
		if r.Code == "slow" {
			r.Follow(sandbox.Stdout, []byte("first\n"))
			<-release
		}
		result.Stdout = []byte(r.Code + "\nsecond line\n")
		return nil
	}}
	send, receive, hangUp := lines(t, fake, mcp.Options{})
	send(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	if got := receive(); !strings.Contains(got, `"protocolVersion":"2025-06-18"`) {
		t.Fatal(got)
	}
	send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	send("")
	send(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"slow"},"_meta":{"progressToken":7}}}`)
	if got := receive(); !strings.Contains(got, `"notifications/progress"`) || !strings.Contains(got, `first\n`) {
		t.Fatal(got)
	}
	// A call that goes on holds up no other.
	send(`{"jsonrpc":"2.0","id":3,"method":"ping"}`)
	if got := receive(); got != `{"jsonrpc":"2.0","id":3,"result":{}}` {
		t.Error(got)
	}
	send(`nonsense`)
	if got := receive(); !strings.Contains(got, `-32700`) {
		t.Error(got)
	}
	close(release)
	if got := receive(); !strings.Contains(got, `"id":2`) || !strings.Contains(got, `slow\nsecond line`) {
		t.Error(got)
	}
	if err := hangUp(); err != nil {
		t.Error(err)
	}
}

// Without a handshake a line is the guide's bare request.
func TestServeLines_Guide(t *testing.T) {
	send, receive, hangUp := lines(t, &transporttest.Sessions{}, mcp.Options{MaxBody: 4 << 10})
	send(guideCall("execute_code", `{"code":"x","session_id":"s"}`))
	if got := receive(); !strings.Contains(got, `"session_id":"s"`) || strings.Contains(got, "structuredContent") {
		t.Error(got)
	}
	send(`{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 8<<10) + `"}`)
	if got := receive(); !strings.Contains(got, "at most 4096 bytes") {
		t.Error(got)
	}
	if err := hangUp(); err != nil {
		t.Error(err)
	}
}

// A session that was there keeps its template, and who asked for another is
// told so.
func TestMismatchIsTold(t *testing.T) {
	send, receive, hangUp := lines(t, &transporttest.Sessions{}, mcp.Options{})
	send(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	receive()
	for i, c := range []struct{ arguments, want, never string }{
		{`{"code":"x","session_id":"s","template":"node"}`, `"template":"node"`, `"note"`},
		{`{"code":"x","session_id":"s","template":"python","flavor":"large"}`, `"note":"the session was there already, so this was ignored: template python (it is node), flavor large (it is small); use another session_id to get it"`, "\x00"},
		{`{"code":"x","session_id":"s"}`, `"template":"node"`, `"note"`},
	} {
		send(guideCall("execute_code", c.arguments))
		if got := receive(); !strings.Contains(got, c.want) || strings.Contains(got, c.never) {
			t.Errorf("%d: %s\nwant %s", i, got, c.want)
		}
	}
	if err := hangUp(); err != nil {
		t.Error(err)
	}
}
