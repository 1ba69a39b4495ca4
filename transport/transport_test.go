package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Idle connections of the clients in these tests.
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"))
}

func serve(t *testing.T, sessions transport.Sessions, options transport.Options) string {
	t.Helper()
	h := transport.New(sessions, options)
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		if err := h.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		server.Close()
	})
	return server.URL
}

// An answer is what is left of a response once its body is read.
type answer struct {
	StatusCode int
	Header     http.Header
}

func request(t *testing.T, method, url, body string, headers ...string) (*answer, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{response.StatusCode, response.Header}, string(text)
}

func TestRoutes(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, transport.Options{Version: "1.0.0"})
	const status = `{"status":"healthy","version":"1.0.0","wrapper_started":true,"tools_count":5,"available_tools":["execute_code","execute_command","get_sessions","stop_session","get_volume_path"],`
	const health = `{"status":"healthy","wrapper_started":true,"server_started":true,`
	const list = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for _, c := range []struct {
		method, path, body string
		status             int
		want, allow        string
	}{
		{"GET", "/", "", 200, status, ""},
		{"GET", "/mcp", "", 200, status, ""},
		{"HEAD", "/", "", 200, "", ""},
		{"HEAD", "/mcp", "", 200, "", ""},
		{"GET", "/health", "", 200, health, ""},
		{"HEAD", "/health", "", 200, "", ""},
		{"POST", "/", list, 200, `{"jsonrpc":"2.0","id":1,"result":{}}`, ""},
		{"POST", "/mcp", list, 200, `{"jsonrpc":"2.0","id":1,"result":{}}`, ""},
		{"PUT", "/", "", 405, `{"detail":"Method Not Allowed"}`, "OPTIONS, POST, GET"},
		{"PATCH", "/mcp", "", 405, `{"detail":"Method Not Allowed"}`, "OPTIONS, POST, GET"},
		{"POST", "/health", "", 405, `{"detail":"Method Not Allowed"}`, "GET"},
		{"POST", "/v1/events", "", 405, `{"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"This path takes GET",`, "GET"},
		{"GET", "/nothing", "", 404, `{"detail":"Not Found"}`, ""},
		{"GET", "/v1/sessions/x/y", "", 404, `{"type":"about:blank","title":"Not Found","status":404,"detail":"There is nothing at /v1/sessions/x/y",`, ""},
		{"GET", "/v1/sessions", "", 200, `{"sessions":[]}`, ""},
		{"GET", "/v1", "", 404, `{"detail":"Not Found"}`, ""},
		{"GET", "/mcp/", "", 307, "", ""},
		{"GET", "/health/", "", 307, "", ""},
		{"GET", "//evil.example/", "", 404, `{"detail":"Not Found"}`, ""},
	} {
		answer, got := request(t, c.method, url+c.path, c.body, "Content-Type", "application/json")
		if answer.StatusCode != c.status || !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || answer.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: got %d %s %q, want %d %s %q", c.method, c.path, answer.StatusCode, got, answer.Header.Get("Allow"), c.status, c.want, c.allow)
		}
		if c.status == 307 && answer.Header.Get("Location") != url+strings.TrimSuffix(c.path, "/") {
			t.Errorf("%s: Location %q", c.path, answer.Header.Get("Location"))
		}
		if got != "" && !json.Valid([]byte(got)) {
			t.Errorf("%s %s: not JSON: %s", c.method, c.path, got)
		}
	}
}

func TestStatus_SaysWhyNothingCanRun(t *testing.T) {
	fake := &transporttest.Sessions{Overall: sandbox.Overview{
		Backend: "native", Sessions: 1, MaxSessions: 10, MemoryMB: 1024,
		Ready: &sandbox.Error{
			Kind: sandbox.Unavailable, Detail: "user namespaces are off", Remedy: "run sandwarden doctor", Err: errors.New("open /etc/secret"),
		},
		Capabilities: sandbox.Capabilities{Isolation: "process", Unenforced: []string{"pids"}, Templates: []sandbox.TemplateStatus{
			{Template: sandbox.Templates()[0], Version: "3.11"}, {Template: sandbox.Templates()[1], Err: errors.New("/root/secret")},
		}},
	}}
	url := serve(t, fake, transport.Options{})
	for _, path := range []string{"/", "/health"} {
		answer, got := request(t, "GET", url+path, "")
		for _, want := range []string{
			`"backend":{"name":"native","ready":false,"reason":"user namespaces are off","remedy":"run sandwarden doctor","isolation":"process"`,
			`"sessions":{"used":1,"max":10},"memory_mb":{"used":1024}`, `"unenforced":["pids"]`,
			`{"name":"python","ready":true,"version":"3.11"},{"name":"node","ready":false,"reason":"an internal error"`,
		} {
			if answer.StatusCode != http.StatusOK || !strings.Contains(got, want) {
				t.Errorf("%s: %d %s\nlacks %s", path, answer.StatusCode, got, want)
			}
		}
		if strings.Contains(got, "secret") || !json.Valid([]byte(got)) {
			t.Errorf("%s: %s", path, got)
		}
	}
	if _, got := request(t, "GET", url+"/health", ""); !strings.Contains(got, `"server_started":false`) {
		t.Errorf("health: %s", got)
	}
}

func TestHostAndOrigin(t *testing.T) {
	open := serve(t, &transporttest.Sessions{}, transport.Options{
		Policy: transport.Policy{AllowedHosts: []string{"box.example"}, AllowedOrigins: []string{"https://app.example"}},
	})
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"none":                       {nil, 200},
		"localhost":                  {[]string{"Host", "localhost:8775"}, 200},
		"loopback by number":         {[]string{"Host", "127.1.2.3"}, 200},
		"loopback of v6":             {[]string{"Host", "[::1]:8775"}, 200},
		"an allowed host":            {[]string{"Host", "Box.Example:80"}, 200},
		"a strange host":             {[]string{"Host", "evil.example"}, 403},
		"a host like ours":           {[]string{"Host", "localhost.evil.example"}, 403},
		"a page of this machine":     {[]string{"Origin", "http://localhost:3000"}, 200},
		"a page of v6":               {[]string{"Origin", "http://[::1]:3000"}, 200},
		"an allowed page":            {[]string{"Origin", "https://app.example"}, 200},
		"an allowed page's neighbor": {[]string{"Origin", "https://app.example.evil.example"}, 403},
		"a strange page":             {[]string{"Origin", "http://evil.example"}, 403},
		"a page without origin":      {[]string{"Origin", "null"}, 403},
		"a file":                     {[]string{"Origin", "file://localhost"}, 403},
		"a page like ours":           {[]string{"Origin", "http://localhost@evil.example"}, 403},
	} {
		for _, path := range []string{"/", "/mcp", "/health", "/v1/sessions"} {
			answer, got := request(t, "GET", open+path, "", c.headers...)
			if answer.StatusCode != c.status {
				t.Errorf("%s, %s: got %d %s, want %d", name, path, answer.StatusCode, got, c.status)
			}
		}
	}
	all := serve(t, &transporttest.Sessions{}, transport.Options{Policy: transport.Policy{AllowedHosts: []string{"*"}, AllowedOrigins: []string{"*"}}})
	if answer, _ := request(t, "GET", all, "", "Host", "any.example", "Origin", "http://any.example"); answer.StatusCode != http.StatusOK {
		t.Errorf("with *: %d", answer.StatusCode)
	}
}

// The rows of the contract's section 3.3.
func TestCORS(t *testing.T) {
	on := serve(t, &transporttest.Sessions{}, transport.Options{Policy: transport.Policy{EnableCORS: true}})
	off := serve(t, &transporttest.Sessions{}, transport.Options{})
	static := map[string]string{
		"Allow-Origin": "*", "Allow-Methods": "GET, POST, OPTIONS", "Allow-Headers": "Content-Type, Authorization", "Max-Age": "86400",
	}
	with := func(base map[string]string, more ...string) map[string]string {
		out := make(map[string]string)
		maps.Copy(out, base)
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	const page, exposed = "http://localhost:3000", "Mcp-Session-Id, MCP-Protocol-Version"
	preflight := map[string]string{
		"Allow-Origin": page, "Allow-Methods": "GET, POST, OPTIONS", "Allow-Headers": "Content-Type", "Allow-Credentials": "true", "Max-Age": "600",
	}
	asks := []string{"Origin", page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "Content-Type"}
	for name, c := range map[string]struct {
		method, url string
		headers     []string
		body        string
		want        map[string]string
	}{
		"on, an answer":             {"GET", on + "/", nil, "{", with(static, "Expose-Headers", exposed)},
		"on, an answer to a page":   {"GET", on + "/mcp", []string{"Origin", page}, "{", with(static, "Expose-Headers", exposed, "Allow-Origin", page, "Allow-Credentials", "true")},
		"on, preflight":             {"OPTIONS", on + "/mcp", asks, "OK", preflight},
		"on, preflight of DELETE":   {"OPTIONS", on + "/mcp", []string{"Origin", page, "Access-Control-Request-Method", "DELETE", "Access-Control-Request-Headers", "Content-Type"}, "OK", with(preflight, "Allow-Methods", "GET, POST, OPTIONS, DELETE")},
		"on, preflight of REST":     {"OPTIONS", on + "/v1/sessions/x/files", []string{"Origin", page, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "Content-Type"}, "OK", with(preflight, "Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")},
		"on, OPTIONS without page":  {"OPTIONS", on + "/", nil, "", with(static, "Expose-Headers", exposed)},
		"on, health":                {"GET", on + "/health", nil, "{", nil},
		"on, nothing":               {"GET", on + "/nothing", nil, "{", nil},
		"on, events for a page":     {"HEAD", on + "/v1/events", []string{"Origin", page}, "", map[string]string{"Allow-Origin": page, "Allow-Credentials": "true", "Expose-Headers": exposed}},
		"off, OPTIONS":              {"OPTIONS", off + "/mcp", nil, "", static},
		"off, OPTIONS from a page":  {"OPTIONS", off + "/mcp", asks, "", static},
		"off, an answer":            {"GET", off + "/", nil, "{", nil},
		"off, an answer to a page":  {"GET", off + "/", []string{"Origin", page}, "{", nil},
		"off, OPTIONS of something": {"OPTIONS", off + "/health", nil, "{", nil},
	} {
		answer, body := request(t, c.method, c.url, "", c.headers...)
		got := make(map[string]string)
		for header, values := range answer.Header {
			if short, ok := strings.CutPrefix(header, "Access-Control-"); ok {
				got[short] = strings.Join(values, "|")
			}
		}
		for header := range with(got, mapPairs(c.want)...) {
			if got[header] != c.want[header] {
				t.Errorf("%s: %s is %q, want %q", name, header, got[header], c.want[header])
			}
		}
		if !strings.HasPrefix(body, c.body) || c.body == "" && body != "" {
			t.Errorf("%s: body %q, want %q", name, body, c.body)
		}
		if c.body == "OK" && (answer.Header.Get("Content-Type") != "text/plain; charset=utf-8" || answer.Header.Get("Vary") != "Origin") {
			t.Errorf("%s: %v", name, answer.Header)
		}
	}
}

func mapPairs(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k, v)
	}
	return out
}

// What users run and what it puts out is not logged; causes of ours are.
func TestLogging(t *testing.T) {
	var log bytes.Buffer
	fake := &transporttest.Sessions{Run: func(context.Context, sandbox.ExecRequest, *sandbox.ExecResult) error {
		return errors.New("the disk is gone")
	}}
	h := transport.New(fake, transport.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"my secret"}}}`
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/mcp", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(httptest.NewRecorder(), r)
	got := log.String()
	if strings.Contains(got, "my secret") {
		t.Errorf("code is logged: %s", got)
	}
	if !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "the disk is gone") || strings.Count(got, "msg=request ") != 1 ||
		!strings.Contains(got, "path=/mcp status=200") {
		t.Errorf("log: %s", got)
	}
}

func TestPanic(t *testing.T) {
	h := transport.New(nil, transport.Options{}) // which nobody does
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	if w.Code != 500 || w.Body.String() != `{"detail":"Internal server error"}` {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestShutdown_LetsTheServerEnd(t *testing.T) {
	h := transport.New(&transporttest.Sessions{}, transport.Options{})
	server := httptest.NewServer(h)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/events", nil)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := server.Config.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
