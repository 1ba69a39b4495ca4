package msbtest_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/sandbox/microsandbox/msbtest"
)

// TestAnswers has the statuses and the bodies, to the byte.
func TestAnswers(t *testing.T) {
	const ok, code = "\x00", `{"error":"%s","code":%d}`
	rpc := func(method, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":"%s","params":%s,"id":7}`, method, params)
	}
	bad := func(text string) string { return fmt.Sprintf(code, text, 2001) }
	const inner = `{"error":"Internal server error","code":5002}`
	s := serve(t, msbtest.Options{})
	c := client{T: t, server: s}
	for _, test := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"jsonrpc":"1.0","method":"x","id":7}`, 400, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid or missing jsonrpc version field"},"id":7}`},
		{rpc("x", "{}"), 404, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: x"},"id":7}`},
		{`{"jsonrpc":"2.0","method":"x","id":null}`, 404, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: x"}}`},
		{`hello`, 400, ""},
		{`{"jsonrpc":2,"method":"x"}`, 422, ""},
		{`{"jsonrpc":"2.0"}`, 422, "Failed to deserialize the JSON body into the target type: missing field `method`"},
		{rpc("x", `"`+strings.Repeat("a", 2<<20)+`"`), 413, "Failed to buffer the request body: length limit exceeded"},
		{rpc("sandbox.start", `{"sandbox":"a"}`), 400, bad("Invalid params for sandbox.start: missing field `namespace`")},
		{rpc("sandbox.stop", `{"namespace":"a"}`), 400, bad("Invalid params for sandbox.stop: missing field `sandbox`")},
		{rpc("sandbox.start", `{"sandbox":"","namespace":"default"}`), 400, bad("Sandbox name cannot be empty")},
		{rpc("sandbox.start", `{"sandbox":"a b","namespace":"default"}`), 400, bad("Sandbox name can only contain alphanumeric characters, hyphens, or underscores")},
		{rpc("sandbox.start", `{"sandbox":"-a","namespace":"default"}`), 400, bad("Sandbox name must start with an alphanumeric character")},
		{rpc("sandbox.start", `{"sandbox":"a","namespace":"*"}`), 400, bad("Wildcard namespace (*) is not valid for sandbox creation")},
		{rpc("sandbox.start", `{"sandbox":"`+strings.Repeat("a", 64)+`","namespace":"n"}`), 400, bad("Sandbox name cannot exceed 63 characters")},
		{rpc("sandbox.start", `{"sandbox":"a","namespace":"default"}`), 400, bad("No configuration provided and no existing configuration found for sandbox 'a'")},
		{rpc("sandbox.start", `{"sandbox":"a","namespace":"default","config":{"image":"microsandbox/python","volumes":null}}`), 400, bad("Invalid params for sandbox.start: invalid type: null, expected a sequence")},
		{rpc("sandbox.stop", `{"sandbox":"a","namespace":"default"}`), 400, bad("Namespace directory 'default' does not exist")},
		{rpc("sandbox.metrics.get", `{"namespace":"default"}`), 400, bad("Namespace directory 'default' does not exist")},
		{rpc("sandbox.metrics.get", `{"namespace":"*"}`), 200, `{"jsonrpc":"2.0","result":{"sandboxes":[]},"id":7}`},
		{rpc("sandbox.command.run", `[]`), 400, bad("Request parameters must be an object containing 'sandbox' and 'namespace'")},
		{rpc("sandbox.repl.run", `{}`), 400, bad("Missing required 'sandbox' parameter for portal request")},
		{rpc("sandbox.repl.run", `{"sandbox":"a"}`), 400, bad("Missing required 'namespace' parameter for portal request")},
		{rpc("sandbox.command.run", `{"sandbox":"a","namespace":"default","command":"true"}`), 500, inner},
		{rpc("sandbox.start", `{"sandbox":"a","namespace":"default","config":{"image":"no-such-image"}}`), 500, inner},
		{rpc("sandbox.start", `{"sandbox":"b","namespace":"default"}`), 400, bad("Sandbox 'b' not found in existing configuration")},
		{rpc("sandbox.start", `{"sandbox":"a","namespace":"default","config":{"image":"microsandbox/python","memory":256,"cpus":1,"envs":["A=b"]}}`), 200, `{"jsonrpc":"2.0","result":"Sandbox a started successfully","id":7}`},
		{rpc("sandbox.start", `{"sandbox":"a","namespace":"default"}`), 200, ok},
		{rpc("sandbox.metrics.get", `{"namespace":"default","sandbox":"none"}`), 200, `{"jsonrpc":"2.0","result":{"sandboxes":[]},"id":7}`},
		{rpc("sandbox.command.run", `{"sandbox":"a","namespace":"default","command":"sh","args":["-c","echo $A; exit 3"]}`), 200, `{"jsonrpc":"2.0","result":{"command":"sh","args":["-c","echo $A; exit 3"],"exit_code":3,"success":false,"output":[{"stream":"stdout","text":"b"}]},"id":7}`},
		{rpc("sandbox.command.run", `{"sandbox":"a","namespace":"default","command":"no-such-program"}`), 500, inner},
		{rpc("sandbox.command.run", `{"sandbox":"a","namespace":"default","command":"sleep","args":["60"],"timeout":1}`), 500, inner},
		{rpc("sandbox.command.run", `{"sandbox":"a","namespace":"default","command":"printf","args":["a\\377b\\n\\nc"]}`), 200, `{"jsonrpc":"2.0","result":{"command":"printf","args":["a\\377b\\n\\nc"],"exit_code":0,"success":true,"output":[{"stream":"stdout","text":"a` + "\uFFFD" + `b"},{"stream":"stdout","text":""},{"stream":"stdout","text":"c"}]},"id":7}`},
		{rpc("sandbox.stop", `{"sandbox":"b","namespace":"default"}`), 500, inner},
		{rpc("sandbox.stop", `{"sandbox":"a","namespace":"default"}`), 200, `{"jsonrpc":"2.0","result":"Sandbox a stopped successfully","id":7}`},
		{rpc("sandbox.stop", `{"sandbox":"a","namespace":"default"}`), 200, ok},
		{rpc("sandbox.metrics.get", `{"namespace":"default"}`), 200, `{"jsonrpc":"2.0","result":{"sandboxes":[{"namespace":"default","name":"a","running":false,"cpu_usage":null,"memory_usage":null,"disk_usage":null}]},"id":7}`},
	} {
		status, got := c.post(test.body)
		if status != test.status || test.want != "" && test.want != ok && got != test.want {
			t.Errorf("%.200s\ngot  %d %s\nwant %d %s", test.body, status, got, test.status, test.want)
		}
	}
	if calls := s.Calls(); len(calls) == 0 || calls[len(calls)-1].Method != "sandbox.metrics.get" || len(s.Calls()) > 0 {
		t.Errorf("Calls: %v", calls)
	}
}

func TestProjects(t *testing.T) {
	s := serve(t, msbtest.Options{Dialect: msbtest.Projects})
	c := client{T: t, server: s}
	for _, test := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"jsonrpc":"2.0","method":"sandbox.stop","params":{"sandbox":"a"}}`, 400, `{"error":"Project directory does not exist","code":2001}`},
		{`{"jsonrpc":"2.0","method":"sandbox.command.run","params":7}`, 400, `{"error":"Request parameters must be an object containing 'sandbox'","code":2001}`},
		{`{"jsonrpc":"2.0","method":"sandbox.start","params":{"sandbox":"a","config":{"image":"microsandbox/python","volumes":null,"envs":null}}}`, 200, `{"jsonrpc":"2.0","result":"Sandbox a started successfully"}`},
		{`{"jsonrpc":"2.0","method":"sandbox.stop","params":{"sandbox":"a","namespace":"whatever"}}`, 200, `{"jsonrpc":"2.0","result":"Sandbox a stopped successfully"}`},
		{`{"jsonrpc":"2.0","method":"sandbox.metrics.get","params":{}}`, 200, `{"jsonrpc":"2.0","result":{"sandboxes":[{"name":"a","running":false,"cpu_usage":null,"memory_usage":null,"disk_usage":null}]}}`},
	} {
		if status, got := c.post(test.body); status != test.status || got != test.want {
			t.Errorf("%s\ngot  %d %s\nwant %d %s", test.body, status, got, test.status, test.want)
		}
	}
}

func TestKeys(t *testing.T) {
	s := serve(t, msbtest.Options{Key: "msb_k", Scope: "default"})
	metrics := func(namespace string) string {
		return `{"jsonrpc":"2.0","method":"sandbox.metrics.get","params":{"namespace":"` + namespace + `"}}`
	}
	for _, test := range []struct {
		key, body string
		status    int
		want      string
	}{
		{"", metrics("*"), 401, `{"error":"Invalid credentials","code":1001}`},
		{"Bearer k", metrics("*"), 401, `{"error":"Invalid credentials","code":1001}`},
		{"Bearer msb_other", metrics("*"), 401, `{"error":"Invalid or expired token","code":1004}`},
		{"Bearer msb_k", metrics("*"), 403, `{"error":"Access denied","code":3001}`},
		{"msb_k", metrics("default"), 400, `{"error":"Namespace directory 'default' does not exist","code":2001}`},
	} {
		if status, got := (client{T: t, server: s, key: test.key}).post(test.body); status != test.status || got != test.want {
			t.Errorf("%q %s: got %d %s, want %d %s", test.key, test.body, status, got, test.status, test.want)
		}
	}
}

// TestREPL has what scripts meet there.
func TestREPL(t *testing.T) {
	c := client{T: t, server: serve(t, msbtest.Options{})}
	c.started("a")
	for _, test := range []struct {
		what, code string
		timeout    int
		want       []string // lines that there are, at the end of a line
	}{
		{"an expression is shown", "41+1", 10, []string{"42"}},
		{"state", "x = 20\nprint(x+1)", 10, []string{"21"}},
		{"and stays", "x+2", 10, []string{"22"}},
		{"a block and a line", "for i in range(2):\n    pass\nprint('after')", 10, []string{"! SyntaxError: invalid syntax"}},
		{"a blank line in a function", "def f():\n    a = 1\n\n    return a\n", 10, []string{"! IndentationError: unexpected indent"}},
		{"an exception is a line", "1/0", 10, []string{"! ZeroDivisionError: division by zero"}},
		{"a timeout is a line", "import time; time.sleep(1.5); print('late')", 1, []string{"! Error: Execution timed out after 1 seconds"}},
		{"and what it does comes later", "print('next')", 10, []string{"late", "next"}},
	} {
		got := c.run(test.code, test.timeout)
		for _, want := range test.want {
			if !slices.ContainsFunc(got, func(l string) bool { return strings.HasSuffix(l, want) }) {
				t.Errorf("%s: got %q, want %q in it", test.what, got, want)
			}
		}
	}
	exit := `{"jsonrpc":"2.0","method":"sandbox.repl.run","params":{"sandbox":"a","namespace":"default","language":"python","code":"exit()"}}`
	for range 2 {
		if status, got := c.post(exit); status != 500 {
			t.Errorf("the interpreter has gone, and its sandbox answers %d %s", status, got)
		}
	}
}

func TestREPL_Node(t *testing.T) {
	c := client{T: t, server: serve(t, msbtest.Options{})}
	c.call("sandbox.start", map[string]any{"sandbox": "a", "config": map[string]any{"image": "microsandbox/node"}})
	got := lines(t, c.call("sandbox.repl.run", map[string]any{"sandbox": "a", "language": "javascript", "code": "const x = 20; console.log(x + 1)\nx + 2"}))
	if diff := cmp.Diff([]string{"21", "22"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStart_ThatIsNotSure(t *testing.T) {
	c := client{T: t, server: serve(t, msbtest.Options{Verdict: msbtest.TimedOut, StartDelay: 300 * time.Millisecond})}
	got := c.call("sandbox.start", map[string]any{"sandbox": "a", "config": map[string]any{"image": "microsandbox/python"}})
	if !strings.Contains(string(got), "timed out waiting") {
		t.Errorf("got %s", got)
	}
	const command = `{"jsonrpc":"2.0","method":"sandbox.command.run","params":{"sandbox":"a","namespace":"default","command":"true"}}`
	if status, _ := c.post(command); status != http.StatusInternalServerError {
		t.Errorf("a command before it is ready: %d", status)
	}
	eventually(t, "a command", func() bool { status, _ := c.post(command); return status == http.StatusOK })
}

// TestStart_GoesOn has a start whose caller goes away.
func TestStart_GoesOn(t *testing.T) {
	s := serve(t, msbtest.Options{StartDelay: 10 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/api/v1/rpc", strings.NewReader(
		`{"jsonrpc":"2.0","method":"sandbox.start","params":{"sandbox":"a","namespace":"default","config":{"image":"microsandbox/python"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	time.AfterFunc(20*time.Millisecond, cancel)
	if response, err := http.DefaultClient.Do(r); err == nil {
		response.Body.Close()
		t.Fatal("the start was not cancelled")
	}
	eventually(t, "the sandbox", func() bool { return len(s.Running()) == 1 })
}

func TestFaults(t *testing.T) {
	s := serve(t, msbtest.Options{})
	c := client{T: t, server: s}
	c.started("a")
	const command = `{"jsonrpc":"2.0","method":"sandbox.command.run","params":{"sandbox":"a","namespace":"default","command":"%s","args":["60"]}}`
	s.Fail(1, msbtest.Unavailable)
	if status, _ := c.post(fmt.Sprintf(command, "true")); status != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", status)
	}
	s.Fail(1, msbtest.HangUp)
	if status, text := c.post(fmt.Sprintf(command, "true")); status != 0 {
		t.Errorf("got %d %s, want none", status, text)
	}
	s.Calls()
	s.Lose(1)
	if status, text := c.post(fmt.Sprintf(command, "true")); status != 0 || len(s.Calls()) != 1 {
		t.Errorf("got %d %s, want that it was heard and not answered", status, text)
	}
	if status, _ := c.post(fmt.Sprintf(command, "true")); status != http.StatusOK {
		t.Errorf("got %d, want that it is back", status)
	}
	time.AfterFunc(100*time.Millisecond, s.Disconnect)
	if status, text := c.post(fmt.Sprintf(command, "sleep")); status != 0 {
		t.Errorf("got %d %s, want that the connection broke", status, text)
	}
	killed := make(chan error, 1)
	time.AfterFunc(100*time.Millisecond, func() { killed <- s.Kill("a") })
	if status, _ := c.post(fmt.Sprintf(command, "sleep")); status != http.StatusInternalServerError {
		t.Errorf("the machine died: got %d, want 500", status)
	}
	if err := <-killed; err != nil || len(s.Running()) > 0 {
		t.Errorf("Kill: %v, and there runs %v", err, s.Running())
	}
}
