package transport_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/token"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// guarded serves sessions behind a door, and returns the headers of two
// principals.
func guarded(t *testing.T, sessions transport.Sessions) (url string, alice, bob []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	var headers [][]string
	for _, p := range []sandbox.Principal{"alice", "bob"} {
		text, err := token.Add(path, p, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, []string{"Authorization", "Bearer " + text, "Content-Type", "application/json"})
	}
	keeper, err := token.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, sessions, transport.Options{Policy: transport.Policy{Keeper: keeper, EnableCORS: true}}), headers[0], headers[1]
}

func TestDoor_NobodyWithoutAToken(t *testing.T) {
	url, alice, _ := guarded(t, &transporttest.Sessions{})
	good := alice[1]
	for _, path := range []string{
		"GET /mcp", "POST /mcp", "POST /", "DELETE /mcp", "GET /v1/sessions", "POST /v1/sessions", "GET /v1/sessions/x",
		"POST /v1/executions", "GET /v1/executions/x", "PUT /v1/executions/x/stdin", "PUT /v1/sessions/x/files", "POST /v1/docs",
		"DELETE /v1/sessions/x", "GET /v1/events", "GET /v1/sessions/x/events", "GET /nonsense", "POST /health", "HEAD /mcp",
	} {
		method, path, _ := strings.Cut(path, " ")
		for name, header := range map[string]string{
			"none": "", "another scheme": "Basic YTpi", "no token": "Bearer", "an empty token": "Bearer ", "a wrong token": good[:len(good)-1],
			"a token alone": strings.TrimPrefix(good, "Bearer "),
		} {
			var headers []string
			if header != "" {
				headers = []string{"Authorization", header}
			}
			answer, body := request(t, method, url+path, "{}", headers...)
			if answer.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s %s, %s: %d %s", method, path, name, answer.StatusCode, body)
			}
		}
	}
	for _, open := range []string{"GET /", "HEAD /", "GET /health", "OPTIONS /mcp", "GET /v1/docs", "HEAD /v1/openapi.json"} {
		method, path, _ := strings.Cut(open, " ")
		if answer, body := request(t, method, url+path, ""); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", open, answer.StatusCode, body)
		}
	}
	// A page asks before it sends its token.
	answer, _ := request(t, "OPTIONS", url+"/v1/sessions", "", "Origin", "http://localhost:3000",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Access-Control-Allow-Headers") != "authorization" {
		t.Errorf("a preflight: %d %v", answer.StatusCode, answer.Header)
	}
}

// Bob tries all that he can with the names of what is Alice's.
func TestDoor_TwoPrincipals(t *testing.T) {
	sessions := &transporttest.Sessions{}
	url, alice, bob := guarded(t, sessions)
	call := func(who []string, tool, arguments string) string {
		_, body := request(t, "POST", url+"/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+`}}`, who...)
		return body
	}
	if body := call(alice, "execute_code", `{"code":"hers","session_id":"s"}`); !strings.Contains(body, `"session_created":true`) {
		t.Fatal(body)
	}
	answer, shake := request(t, "POST", url+"/mcp",
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`,
		append(alice, "Accept", "application/json, text/event-stream")...)
	hers := answer.Header.Get("Mcp-Session-Id")
	if hers == "" {
		t.Fatal(shake)
	}
	_, list := request(t, "GET", url+"/v1/sessions/s/executions", "", alice...)
	_, run, _ := strings.Cut(list, `"execution_id":"`)
	run, _, _ = strings.Cut(run, `"`)
	if run == "" {
		t.Fatal(list)
	}
	request(t, "PUT", url+"/v1/sessions/s/files?path=f", "hers", alice...)
	rest := func(method, path string) string {
		_, body := request(t, method, url+"/v1/"+path, "", bob...)
		return body
	}
	attacks := map[string]struct{ got, want string }{
		"list what runs":  {got: rest("GET", "sessions/s/executions"), want: `"status":404`},
		"show what runs":  {got: rest("GET", "executions/"+run), want: `"status":404`},
		"read its output": {got: rest("GET", "executions/"+run+"/output"), want: `"status":404`},
		"its result":      {got: rest("GET", "executions/"+run+"/result"), want: `"status":404`},
		"follow it":       {got: rest("GET", "executions/"+run+"/events"), want: `"status":404`},
		"end it":          {got: rest("DELETE", "executions/"+run), want: `"status":404`},
		"write to it":     {got: rest("PUT", "executions/"+run+"/stdin?offset=0"), want: `"status":404`},
		"read her file":   {got: rest("GET", "sessions/s/files?path=f"), want: `"status":404`},
		"remove her file": {got: rest("DELETE", "sessions/s/files?path=f"), want: `"status":404`},
		"list":            {got: call(bob, "get_sessions", `{}`), want: `"sessions":[]`},
		"ask for":         {got: call(bob, "get_sessions", `{"session_id":"s"}`), want: `"sessions":[]`},
		"stop":            {got: call(bob, "stop_session", `{"session_id":"s"}`), want: `Session s not found`},
		"list over REST":  {got: second(request(t, "GET", url+"/v1/sessions", "", bob...)), want: `{"sessions":[]}`},
		"show over REST":  {got: second(request(t, "GET", url+"/v1/sessions/s", "", bob...)), want: `"status":404`},
		"stop over REST":  {got: second(request(t, "DELETE", url+"/v1/sessions/s", "", bob...)), want: `"status":404`},
		"stream":          {got: second(request(t, "GET", url+"/v1/sessions/s/events", "", bob...)), want: `"status":404`},
		"her MCP session": {got: second(request(t, "POST", url+"/mcp", `{"jsonrpc":"2.0","id":9,"method":"ping"}`, append(bob, "Mcp-Session-Id", hers)...)), want: `Session not found`},
		"to end that":     {got: second(request(t, "DELETE", url+"/mcp", ``, append(bob, "Mcp-Session-Id", hers)...)), want: `Session not found`},
		"its stream":      {got: second(request(t, "GET", url+"/mcp", ``, append(bob, "Mcp-Session-Id", hers, "Accept", "text/event-stream")...)), want: `Session not found`},
		"run under the name, which makes his own": {got: call(bob, "execute_code", `{"code":"his","session_id":"s"}`), want: `"session_created":true`},
	}
	for name, a := range attacks {
		if !strings.Contains(a.got, a.want) || strings.Contains(a.got, "hers") {
			t.Errorf("%s: %s\nwant %s", name, a.got, a.want)
		}
	}
	// Hers is untouched, and his stream of everything has nothing of it.
	if body := call(alice, "execute_code", `{"code":"hers again","session_id":"s"}`); !strings.Contains(body, `"session_created":false`) {
		t.Errorf("hers is %s", body)
	}
	for who, c := range map[string]struct {
		headers     []string
		want, never string
	}{"alice": {alice, "hers again", "his"}, "bob": {bob, "his", "hers"}} {
		if got := streamed(t, url+"/v1/events", c.headers, c.want); strings.Contains(got, c.never) {
			t.Errorf("the events of %s have %q:\n%s", who, c.never, got)
		}
	}
}

func second(_ *answer, body string) string { return body }

// streamed reads a stream until a line has the text.
func streamed(t *testing.T, url string, headers []string, until string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var all strings.Builder
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), until) {
			return all.String()
		}
	}
	t.Fatalf("%q did not come:\n%s", until, all.String())
	return ""
}

// A request keeps the id that its client gave it, if that is a plain word.
func TestRequestID(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, transport.Options{})
	for sent, want := range map[string]string{"abc-1.2:3_X": "abc-1.2:3_X", "": "", "two words": "", "a\"b": ""} {
		answer, _ := request(t, "GET", url+"/", "", "X-Request-Id", sent)
		got := answer.Header.Get("X-Request-Id")
		if want != "" && got != want || want == "" && (len(got) != 16 || got == sent) {
			t.Errorf("%q comes back as %q", sent, got)
		}
	}
}

// The attack: who has no token announces a body and never sends it, to hold a
// connection for ever.
func TestDoor_SlowStrangers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if _, err := token.Add(path, "alice", time.Now()); err != nil {
		t.Fatal(err)
	}
	keeper, err := token.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, &transporttest.Sessions{}, transport.Options{ReadTimeout: 50 * time.Millisecond, Policy: transport.Policy{Keeper: keeper}})
	for _, line := range []string{"POST /mcp", "POST /v1/sessions", "GET /health", "GET /"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, line+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil { // it is answered or not, and closed
			t.Errorf("%s: %v", line, err)
		}
	}
}

// One principal cannot take all streams.
func TestDoor_Shares(t *testing.T) {
	shares := door.NewShares(4)
	for range 2 {
		if !shares.Take("alice") {
			t.Fatal("alice may have two")
		}
	}
	if shares.Take("alice") {
		t.Error("alice has three")
	}
	for range 2 {
		if !shares.Take("bob") {
			t.Error("bob has none left")
		}
	}
	if shares.Take("carol") {
		t.Error("five of four")
	}
	shares.Give("alice")
	if !shares.Take("alice") {
		t.Error("what is given back is gone")
	}
	alone := door.NewShares(2)
	for i := range 3 {
		if got := alone.Take(""); got != (i < 2) {
			t.Errorf("without principals there are no halves: %d, %v", i, got)
		}
	}
}
