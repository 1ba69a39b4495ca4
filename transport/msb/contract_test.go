package msb_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/msb"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// keys has one key for each namespace: its name.
type keys struct{}

func (keys) Namespace(key string) (string, error) {
	if key == "old" {
		return "", errors.New("it has expired")
	}
	return key, nil
}

func newHandler(t *testing.T, sessions msb.Sessions, o msb.Options) *msb.Handler {
	t.Helper()
	h, err := msb.New(sessions, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return h
}

// ask sends a request, and returns the status and the body.
func ask(t *testing.T, h http.Handler, method, path, body string, header ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, strings.TrimSpace(string(text))
}

func call(method, params string) string {
	return `{"jsonrpc":"2.0","method":"` + method + `","params":` + params + `,"id":"u1"}`
}

func result(text string) string { return `{"jsonrpc":"2.0","result":` + text + `,"id":"u1"}` }

// TestConversation has the requests of the original's clients and of SDKs of the
// v0.2 line, byte by byte, in both dialects, and what they wait for.
func TestConversation(t *testing.T) {
	h := newHandler(t, &transporttest.Sessions{}, msb.Options{File: filepath.Join(t.TempDir(), "msb.json"), Instance: "i1"})
	for _, turn := range []struct{ body, want string }{
		{
			call("sandbox.start", `{"namespace":"default","sandbox":"session-a","config":{"image":"microsandbox/python","memory":1024,"cpus":1}}`),
			result(`"Sandbox session-a started successfully"`),
		},
		{
			call("sandbox.repl.run", `{"sandbox":"session-a","namespace":"default","language":"python","code":"print(1)"}`),
			result(`{"status":"success","language":"python","output":[{"stream":"stdout","text":"print(1)"}]}`),
		},
		{
			call("sandbox.command.run", `{"sandbox":"session-a","namespace":"default","command":"sh","args":["-c","ls"],"timeout":300}`),
			result(`{"command":"sh","args":["-c","ls"],"exit_code":0,"success":true,"output":[{"stream":"stdout","text":"sh -c ls"}]}`),
		},
		{
			call("sandbox.command.run", `{"sandbox":"session-a","command":"ls","args":null,"timeout":null}`), // of the project dialect
			result(`{"command":"ls","args":[],"exit_code":0,"success":true,"output":[{"stream":"stdout","text":"ls"}]}`),
		},
		{
			`{"jsonrpc":"2.0","method":"sandbox.metrics.get","params":{"namespace":"*","sandbox":null},"id":1}`,
			`{"jsonrpc":"2.0","result":{"sandboxes":[{"namespace":"default","name":"session-a","running":true,"cpu_usage":null,"memory_usage":null,"disk_usage":null}]},"id":1}`,
		},
		{ // the old Go SDK's
			call("sandbox.start", `{"sandbox":"go","config":{"image":"microsandbox/node","memory":512,"cpus":1,"volumes":null,"ports":null,"envs":[],"depends_on":null,"workdir":"","shell":"","scripts":null,"exec":""}}`),
			result(`"Sandbox go started successfully"`),
		},
		{call("sandbox.repl.run", `{"sandbox":"go","language":"javascript","code":""}`), result(`{"status":"success","language":"javascript","output":[]}`)},
		{call("sandbox.stop", `{"namespace":"default","sandbox":"session-a"}`), result(`"Sandbox session-a stopped successfully"`)},
		{call("sandbox.stop", `{"namespace":"default","sandbox":"session-a"}`), result(`"Sandbox session-a stopped successfully"`)},
		{call("sandbox.start", `{"namespace":"default","sandbox":"session-a"}`), result(`"Sandbox session-a started successfully"`)},
		{
			`{"jsonrpc":"2.0","method":"sandbox.stop","params":{"sandbox":"session-a","more":[1]},"id":null}`,
			`{"jsonrpc":"2.0","result":"Sandbox session-a stopped successfully"}`,
		},
	} {
		if status, got := ask(t, h, http.MethodPost, "/api/v1/rpc", turn.body); status != 200 || got != turn.want {
			t.Errorf("%s\ngot  %d %s\nwant %s", turn.body, status, got, turn.want)
		}
	}
	if status, got := ask(t, h, http.MethodGet, "/api/v1/health", ""); status != 200 || got != `{"message":"Service is healthy","instance":"i1"}` {
		t.Errorf("health: got %d %s", status, got)
	}
	for _, want := range []string{`{"message":"1 sessions stopped","stopped":1,"failed":0}`, `{"message":"0 sessions stopped","stopped":0,"failed":0}`} {
		if status, got := ask(t, h, http.MethodDelete, "/api/v1/sessions", ""); status != 200 || got != want {
			t.Errorf("DELETE: got %d %s, want %s", status, got, want)
		}
	}
}

// TestRefusals has the table of the contract. A want is the beginning of a body,
// so that our own members may follow.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", 64)
	bad := func(text string) string { return `{"error":"` + text + `","code":2001` }
	for name, test := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"no json":           {`{`, 400, `Failed to parse the request body as JSON`},
		"a list":            {`[]`, 422, `Failed to deserialize the JSON body into the target type`},
		"no method":         {`{"jsonrpc":"2.0"}`, 422, `Failed to deserialize the JSON body into the target type: missing field`},
		"method of number":  {`{"jsonrpc":"2.0","method":1}`, 422, `Failed to deserialize the JSON body into the target type`},
		"version":           {`{"jsonrpc":"1.0","method":"x","id":7}`, 400, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid or missing jsonrpc version field"},"id":7}`},
		"no version":        {`{"method":"x"}`, 400, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid or missing jsonrpc version field"}}`},
		"method":            {call("sandbox.x", `{}`), 404, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: sandbox.x"},"id":"u1"}`},
		"no params":         {`{"jsonrpc":"2.0","method":"sandbox.start","id":1}`, 400, bad("Invalid params for sandbox.start: missing field `sandbox`")},
		"params null":       {call("sandbox.stop", `null`), 400, bad("Invalid params for sandbox.stop: missing field `sandbox`")},
		"empty name":        {call("sandbox.start", `{"sandbox":""}`), 400, bad("Sandbox name cannot be empty")},
		"long name":         {call("sandbox.start", `{"sandbox":"`+long+`"}`), 400, bad("Sandbox name cannot exceed 63 characters")},
		"name's characters": {call("sandbox.stop", `{"sandbox":"a/b"}`), 400, bad("Sandbox name can only contain alphanumeric characters, hyphens, or underscores")},
		"name's first":      {call("sandbox.stop", `{"sandbox":"-a"}`), 400, bad("Sandbox name must start with an alphanumeric character")},
		"empty space":       {call("sandbox.stop", `{"sandbox":"a","namespace":""}`), 400, bad("Namespace cannot be empty")},
		"long space":        {call("sandbox.stop", `{"sandbox":"a","namespace":"`+long+`"}`), 400, bad("Namespace cannot exceed 63 characters")},
		"star":              {call("sandbox.start", `{"sandbox":"a","namespace":"*"}`), 400, bad("Wildcard namespace (*) is not valid for sandbox creation")},
		"space's chars":     {call("sandbox.stop", `{"sandbox":"a","namespace":"a.b"}`), 400, bad("Namespace can only contain alphanumeric characters, hyphens, or underscores")},
		"space's first":     {call("sandbox.stop", `{"sandbox":"a","namespace":"_b"}`), 400, bad("Namespace must start with an alphanumeric character")},
		"unconfigured":      {call("sandbox.start", `{"sandbox":"n"}`), 400, bad("No configuration provided and no existing configuration found for sandbox 'n'")},
		"no image":          {call("sandbox.start", `{"sandbox":"n","config":{"memory":1}}`), 400, bad("Sandbox 'n' not found in existing configuration")},
		"stop elsewhere":    {call("sandbox.stop", `{"sandbox":"n","namespace":"no"}`), 400, bad("Namespace directory 'no' does not exist")},
		"metrics elsewhere": {call("sandbox.metrics.get", `{"namespace":"no"}`), 400, bad("Namespace directory 'no' does not exist")},
		"stop unknown":      {call("sandbox.stop", `{"sandbox":"n"}`), 500, `{"error":"Internal server error","code":5002`},
		"portal, list":      {call("sandbox.repl.run", `[]`), 400, bad("Request parameters must be an object containing 'sandbox' and 'namespace'")},
		"portal, nobody":    {call("sandbox.repl.run", `{}`), 400, bad("Missing required 'sandbox' parameter for portal request")},
		"portal, space":     {call("sandbox.command.run", `{"sandbox":"a","namespace":1}`), 400, bad("Missing required 'namespace' parameter for portal request")},
		"not running":       {call("sandbox.repl.run", `{"sandbox":"n","language":"python","code":"1"}`), 404, `{"error":"Sandbox 'n' is not running in the namespace 'default'","code":4001`},
		"memory":            {call("sandbox.start", `{"sandbox":"n","config":{"image":"microsandbox/python","memory":"1"}}`), 400, bad("Invalid params for sandbox.start: invalid type: string, expected a whole number for `config.memory`")},
		"image":             {call("sandbox.start", `{"sandbox":"n","config":{"image":"ubuntu"}}`), 400, bad(`config.image \"ubuntu\" is not available on this server; use one of: microsandbox/node, microsandbox/python`)},
		"ports":             {call("sandbox.start", `{"sandbox":"n","config":{"image":"microsandbox/python","ports":["1:1"]}}`), 400, `{"error":"` + "config.ports is not supported"},
		"volumes":           {call("sandbox.start", `{"sandbox":"n","config":{"image":"microsandbox/python","volumes":["/etc:/x"]}}`), 400, `{"error":"` + `config.volumes: \"/etc:/x\" is not shared`},
		"workdir":           {call("sandbox.start", `{"sandbox":"n","config":{"image":"microsandbox/python","workdir":"x"}}`), 400, `{"error":"` + `config.workdir must be an absolute path`},
		"script":            {call("sandbox.start", `{"sandbox":"n","config":{"image":"microsandbox/python","scripts":{"../x":""}}}`), 400, `{"error":"` + `config.scripts: \"../x\" is no name`},
		"circle":            {call("sandbox.start", `{"sandbox":"n","config":{"image":"microsandbox/python","depends_on":["n"]}}`), 400, `{"error":"` + `config.depends_on: the sandboxes depend`},
		"another config":    {call("sandbox.start", `{"sandbox":"a","config":{"image":"microsandbox/python","memory":64}}`), 400, bad("Sandbox 'a' runs with another configuration; stop it first")},
		"language":          {call("sandbox.repl.run", `{"sandbox":"a","language":"cobol","code":"1"}`), 400, `{"error":"` + `language \"cobol\" is not known`},
		"other language":    {call("sandbox.repl.run", `{"sandbox":"a","language":"node","code":"1"}`), 400, `{"error":"` + "Sandbox 'a' runs python, and not node"},
		"no code":           {call("sandbox.repl.run", `{"sandbox":"a","language":"python"}`), 400, bad("Invalid params for sandbox.repl.run: missing field `code`")},
		"no command":        {call("sandbox.command.run", `{"sandbox":"a"}`), 400, bad("Invalid params for sandbox.command.run: missing field `command`")},
		"timeout":           {call("sandbox.command.run", `{"sandbox":"a","command":"x","timeout":1801}`), 400, bad("timeout must be a whole number of seconds from 1 to 1800, got 1801")},
		"too large":         {`{"jsonrpc":"2.0","method":"` + strings.Repeat("x", 2<<20) + `"}`, 413, `Failed to buffer the request body: length limit exceeded`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandler(t, &transporttest.Sessions{}, msb.Options{})
			if status, got := ask(t, h, http.MethodPost, "/api/v1/rpc", call("sandbox.start", `{"sandbox":"a","config":{"image":"microsandbox/python"}}`)); status != 200 {
				t.Fatal(got)
			}
			if status, got := ask(t, h, http.MethodPost, "/api/v1/rpc", test.body); status != test.status || !strings.HasPrefix(got, test.want) {
				t.Errorf("got  %d %s\nwant %d %s", status, got, test.status, test.want)
			}
		})
	}
}

func TestInnerFailure(t *testing.T) {
	sessions := &transporttest.Sessions{Reject: &sandbox.Error{Op: "create", Kind: sandbox.Unavailable, Detail: "no kernel", Remedy: "get one", Err: errors.New("/secret/path")}}
	h := newHandler(t, sessions, msb.Options{})
	status, got := ask(t, h, http.MethodPost, "/api/v1/rpc", call("sandbox.start", `{"sandbox":"a","config":{"image":"microsandbox/python"}}`))
	if status != 500 || !strings.HasPrefix(got, `{"error":"Internal server error","code":5002,"reason":"`) || !strings.Contains(got, "no kernel") ||
		!strings.Contains(got, `"kind":"unavailable"`) || strings.Contains(got, "secret") {
		t.Errorf("got %d %s", status, got)
	}
}

func TestKeys(t *testing.T) {
	start := func(space string) string {
		return call("sandbox.start", `{"sandbox":"a",`+space+`"config":{"image":"microsandbox/python"}}`)
	}
	for name, test := range map[string]struct {
		header []string
		body   string
		status int
		want   string
	}{
		"none":              {nil, start(""), 401, `{"error":"Invalid credentials","code":1001`},
		"no prefix":         {[]string{"Authorization", "Bearer x"}, start(""), 401, `{"error":"Invalid credentials","code":1001`},
		"expired":           {[]string{"Authorization", "Bearer msb_old"}, start(""), 401, `{"error":"Invalid or expired token","code":1004`},
		"all":               {[]string{"Authorization", "Bearer msb_*"}, start(""), 200, `{"jsonrpc":"2.0"`},
		"without Bearer":    {[]string{"Authorization", "msb_*"}, start(""), 200, `{"jsonrpc":"2.0"`},
		"proxy first":       {[]string{"Authorization", "msb_*", "Proxy-Authorization", "Bearer msb_old"}, start(""), 401, `{"error":"Invalid or expired token","code":1004`},
		"its own":           {[]string{"Authorization", "msb_team"}, start(`"namespace":"team",`), 200, `{"jsonrpc":"2.0"`},
		"another":           {[]string{"Authorization", "msb_team"}, start(`"namespace":"others",`), 403, `{"error":"Access denied","code":3001`},
		"none named":        {[]string{"Authorization", "msb_team"}, start(""), 400, "{\"error\":\"Missing or invalid 'namespace' in params for method 'sandbox.start'\",\"code\":2001"},
		"default for all":   {[]string{"Authorization", "msb_default"}, start(""), 200, `{"jsonrpc":"2.0"`},
		"scoped, all":       {[]string{"Authorization", "msb_team"}, call("sandbox.metrics.get", `{"namespace":"*"}`), 403, `{"error":"Access denied","code":3001`},
		"scoped, no json":   {[]string{"Authorization", "msb_team"}, "{", 400, `{"error":"Invalid JSON-RPC request: `},
		"scoped, no params": {[]string{"Authorization", "msb_team"}, `{"jsonrpc":"2.0","method":"sandbox.stop"}`, 400, `{"error":"Missing 'params' field in JSON-RPC request","code":2001`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandler(t, &transporttest.Sessions{}, msb.Options{Keys: keys{}})
			if status, got := ask(t, h, http.MethodPost, "/api/v1/rpc", test.body, test.header...); status != test.status || !strings.HasPrefix(got, test.want) {
				t.Errorf("got  %d %s\nwant %d %s", status, got, test.status, test.want)
			}
		})
	}
}

// TestScopes: what one key makes, another neither sees nor stops.
func TestScopes(t *testing.T) {
	h := newHandler(t, &transporttest.Sessions{}, msb.Options{Keys: keys{}})
	as := func(space string) []string { return []string{"Authorization", "Bearer msb_" + space} }
	for _, space := range []string{"one", "two"} {
		body := call("sandbox.start", `{"sandbox":"a","namespace":"`+space+`","config":{"image":"microsandbox/python"}}`)
		if status, got := ask(t, h, http.MethodPost, "/api/v1/rpc", body, as(space)...); status != 200 {
			t.Fatal(got)
		}
	}
	if _, got := ask(t, h, http.MethodPost, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sandbox_stop","arguments":{"sandbox":"a","namespace":"two"}}}`, as("one")...); !strings.Contains(got, "Error: Access denied") {
		t.Errorf("got %s", got)
	}
	if status, _ := ask(t, h, http.MethodDelete, "/api/v1/sessions", ""); status != 401 {
		t.Errorf("without a key: %d", status)
	}
	if _, got := ask(t, h, http.MethodDelete, "/api/v1/sessions", "", as("one")...); !strings.Contains(got, `"stopped":1`) {
		t.Errorf("got %s", got)
	}
	if _, got := ask(t, h, http.MethodPost, "/api/v1/rpc", call("sandbox.metrics.get", `{"namespace":"two","sandbox":"a"}`), as("two")...); !strings.Contains(got, `"running":true`) {
		t.Errorf("got %s", got)
	}
}

// TestStrangers: pages of strangers get nothing in the development mode, though
// browsers would show them the answer.
func TestStrangers(t *testing.T) {
	foreign := func(r *http.Request) string {
		if r.Header.Get("Origin") != "" {
			return "no"
		}
		return ""
	}
	body := call("sandbox.metrics.get", `{"namespace":"*"}`)
	page := []string{"Origin", "http://example.com"}
	open := newHandler(t, &transporttest.Sessions{}, msb.Options{Foreign: foreign})
	if status, got := ask(t, open, http.MethodPost, "/api/v1/rpc", body, page...); status != 403 || !strings.Contains(got, `"code":3001`) {
		t.Errorf("got %d %s", status, got)
	}
	if status, _ := ask(t, open, http.MethodDelete, "/api/v1/sessions", "", page...); status != 403 {
		t.Errorf("DELETE: got %d", status)
	}
	if status, _ := ask(t, open, http.MethodOptions, "/api/v1/rpc", "", page...); status != 200 {
		t.Errorf("OPTIONS: got %d", status)
	}
	closed := newHandler(t, &transporttest.Sessions{}, msb.Options{Foreign: foreign, Keys: keys{}})
	if status, got := ask(t, closed, http.MethodPost, "/api/v1/rpc", body, append(page, "Authorization", "msb_*")...); status != 200 {
		t.Errorf("with a key: got %d %s", status, got)
	}
	if status, _ := ask(t, open, http.MethodPost, "/api/v1/rpc", body, "Content-Type", "text/plain"); status != 415 {
		t.Errorf("text: got %d", status)
	}
}

// TestRestart: a sandbox may be started by its name after a restart, also where
// a crash has cut the last line.
func TestRestart(t *testing.T) {
	o := msb.Options{File: filepath.Join(t.TempDir(), "msb.json")}
	first, err := msb.New(&transporttest.Sessions{}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"python", "node"} {
		if status, got := ask(t, first, http.MethodPost, "/api/v1/rpc", call("sandbox.start", `{"sandbox":"`+image+`","config":{"image":"microsandbox/`+image+`"}}`)); status != 200 {
			t.Fatal(got)
		}
	}
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := newHandler(t, &transporttest.Sessions{}, o)
	ask(t, second, http.MethodPost, "/api/v1/rpc", call("sandbox.start", `{"sandbox":"node"}`))
	if _, got := ask(t, second, http.MethodPost, "/api/v1/rpc", call("sandbox.repl.run", `{"sandbox":"node","language":"node","code":"1"}`)); !strings.Contains(got, "success") {
		t.Errorf("got %s", got)
	}
	_, got := ask(t, second, http.MethodPost, "/api/v1/rpc", call("sandbox.metrics.get", `{}`))
	var m struct {
		Result struct {
			Sandboxes []struct {
				Name    string
				Running bool
			}
		}
	}
	if err := json.Unmarshal([]byte(got), &m); err != nil || len(m.Result.Sandboxes) != 2 || !m.Result.Sandboxes[0].Running || m.Result.Sandboxes[1].Running {
		t.Errorf("got %s", got)
	}
}

func FuzzRPC(f *testing.F) {
	for _, seed := range []string{
		call("sandbox.start", `{"sandbox":"a","config":{"image":"microsandbox/python","scripts":{"x":"y"},"workdir":"/work/x"}}`),
		call("sandbox.repl.run", `{"sandbox":"a","language":"python","code":"1","timeout":1}`),
		call("sandbox.command.run", `{"sandbox":"a","command":"x","args":["y"]}`), call("sandbox.stop", `{"sandbox":"a"}`),
		call("sandbox.metrics.get", `{"namespace":"*"}`), `[]`, `{`, `{"jsonrpc":"2.0","method":"tools/call","id":1,"params":{"name":"sandbox_stop","arguments":[]}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		h := newHandler(t, &transporttest.Sessions{}, msb.Options{})
		for _, path := range []string{"/api/v1/rpc", "/mcp"} {
			status, got := ask(t, h, http.MethodPost, path, body)
			if status == 200 && !json.Valid([]byte(got)) {
				t.Errorf("%s: got %s", path, got)
			}
			if strings.Contains(got, "a bug") && strings.Contains(got, "5002") && status == 500 && !strings.Contains(body, "bug") {
				t.Errorf("%s: a panic: %s", path, got)
			}
		}
	})
}

// TestDependencies_AreStartedOnce: many ways to the same sandboxes are not many
// starts of them, which would never end here.
func TestDependencies_AreStartedOnce(t *testing.T) {
	h := newHandler(t, &transporttest.Sessions{}, msb.Options{})
	const layers = 20
	before := []string{}
	for layer := range layers {
		var names []string
		for i := range 4 {
			name := "l" + strconv.Itoa(layer) + "-" + strconv.Itoa(i)
			names = append(names, `"`+name+`"`)
			body := call("sandbox.start", `{"sandbox":"`+name+`","config":{"image":"microsandbox/python","depends_on":[`+strings.Join(before, ",")+`]}}`)
			if status, got := ask(t, h, http.MethodPost, "/api/v1/rpc", body); status != 200 {
				t.Fatal(got)
			}
		}
		before = names
	}
}
