package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// serve starts a server on sessions and returns its address.
func serve(t *testing.T, sessions mcp.Sessions, options mcp.Options) string {
	t.Helper()
	h := mcp.New(sessions, options)
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
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

// post sends a body with headers, which are given as pairs of name and value.
func post(t *testing.T, url, body string, headers ...string) (*answer, string) {
	t.Helper()
	return request(t, http.MethodPost, url, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func request(t *testing.T, method, url, body string, headers ...string) (*answer, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
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
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{response.StatusCode, response.Header}, string(text)
}

const guideTools = `{"jsonrpc":"2.0","id":1,"result":{"tools":[` +
	`{"name":"execute_code","description":"Execute code in a sandbox with automatic session management","inputSchema":{"type":"object","properties":{"code":{"type":"string","description":"Code to execute"},"template":{"type":"string","description":"Sandbox template","enum":["python","node"],"default":"python"},"session_id":{"type":"string","description":"Optional session ID for session reuse"},"flavor":{"type":"string","enum":["small","medium","large"],"default":"small","description":"Resource configuration for the sandbox"},"timeout":{"type":"integer","description":"Optional execution timeout in seconds","minimum":1,"maximum":300}},"required":["code"]}},` +
	`{"name":"execute_command","description":"Execute a command in a sandbox with automatic session management","inputSchema":{"type":"object","properties":{"command":{"type":"string","description":"Command to execute"},"args":{"type":"array","items":{"type":"string"},"description":"Optional command arguments"},"template":{"type":"string","description":"Sandbox template","enum":["python","node"],"default":"python"},"session_id":{"type":"string","description":"Optional session ID for session reuse"},"flavor":{"type":"string","enum":["small","medium","large"],"default":"small","description":"Resource configuration for the sandbox"},"timeout":{"type":"integer","description":"Optional execution timeout in seconds","minimum":1,"maximum":300}},"required":["command"]}},` +
	`{"name":"get_sessions","description":"Get information about active sandbox sessions","inputSchema":{"type":"object","properties":{"session_id":{"type":"string","description":"Optional specific session ID to query"}},"required":[]}},` +
	`{"name":"stop_session","description":"Stop a specific sandbox session and clean up its resources","inputSchema":{"type":"object","properties":{"session_id":{"type":"string","description":"ID of the session to stop"}},"required":["session_id"]}},` +
	`{"name":"get_volume_path","description":"Get configured volume mappings between host and container paths","inputSchema":{"type":"object","properties":{},"required":[]}}` +
	`]}}`

func TestGuide_ToolsListIsExact(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{})
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}`,
	} {
		answer, got := post(t, url, body)
		if got != guideTools {
			t.Errorf("%s:\ngot  %s\nwant %s", body, got, guideTools)
		}
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d, type %q", body, answer.StatusCode, answer.Header.Get("Content-Type"))
		}
	}
}

func failure(code, message, id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":` + code + `,"message":"` + message + `"}}`
}

// The rows of the contract's section 3.2, in its order.
func TestGuide_Checks(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{})
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
	}
	for name, c := range map[string]struct{ contentType, body, want string }{
		"1 content type":        {"text/plain", `{}`, failure("-32600", "Invalid request: Content-Type must be application/json", "null")},
		"1 content type's case": {"Application/JSON", `{}`, failure("-32600", "Invalid request: Content-Type must be application/json", "null")},
		"1 with charset":        {"application/json; charset=utf-8", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`},
		"2 empty":               {"", ``, failure("-32700", "Parse error: Invalid JSON", "null")},
		"2 not JSON":            {"", `{"a":`, failure("-32700", "Parse error: Invalid JSON", "null")},
		"2b start byte":         {"", "{\"a\":\"\xff\"}", failure("-32602", "Invalid parameters: 'utf-8' codec can't decode byte 0xff in position 6: invalid start byte", "null")},
		"2b continuation":       {"", "{\"a\":\"\xe2\x82(\"}", failure("-32602", "Invalid parameters: 'utf-8' codec can't decode bytes in position 6-7: invalid continuation byte", "null")},
		"2b end":                {"", "{\"a\":\"\xe2", failure("-32602", "Invalid parameters: 'utf-8' codec can't decode byte 0xe2 in position 6: unexpected end of data", "null")},
		"3 a batch":             {"", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, failure("-32600", "Invalid request: Request must be a JSON object", "null")},
		"3 null":                {"", `null`, failure("-32600", "Invalid request: Request must be a JSON object", "null")},
		"4 no version":          {"", `{"id":"x","method":"ping"}`, failure("-32600", "Invalid request: Missing or invalid jsonrpc version (must be '2.0')", `"x"`)},
		"4 wrong version":       {"", `{"jsonrpc":2.0,"id":1.5,"method":"ping"}`, failure("-32600", "Invalid request: Missing or invalid jsonrpc version (must be '2.0')", "1.5")},
		"5 no method":           {"", `{"jsonrpc":"2.0","id":{"a": [1, 2]},"Method":"ping"}`, failure("-32600", "Invalid request: Missing required 'method' field", `{"a":[1,2]}`)},
		"5 a response":          {"", `{"jsonrpc":"2.0","id":1,"result":{}}`, failure("-32600", "Invalid request: Missing required 'method' field", "1")},
		"6 method's type":       {"", `{"jsonrpc":"2.0","id":null,"method":7}`, failure("-32600", "Invalid request: Method must be a string", "null")},
		"7 params' type":        {"", `{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}`, failure("-32600", "Invalid request: Params must be an object or array", "1")},
		"7 params null":         {"", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":null}`, failure("-32600", "Invalid request: Params must be an object or array", "1")},
		"8 unknown method":      {"", `{"jsonrpc":"2.0","id":1,"method":"tools/run"}`, failure("-32601", "Method not found: tools/run", "1")},
		"8 no id":               {"", `{"jsonrpc":"2.0","method":"tools/run"}`, failure("-32601", "Method not found: tools/run", "null")},
		"9 params an array":     {"", call(`[]`), failure("-32602", "Params must be an object", "1")},
		"10 no params":          {"", `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, failure("-32602", "Missing required parameter: name", "1")},
		"10 name empty":         {"", call(`{"name":""}`), failure("-32602", "Missing required parameter: name", "1")},
		"10 name zero":          {"", call(`{"name":0.0}`), failure("-32602", "Missing required parameter: name", "1")},
		"10 name an empty list": {"", call(`{"name":[ ]}`), failure("-32602", "Missing required parameter: name", "1")},
		"11 name a number":      {"", call(`{"name":7}`), failure("-32602", "Tool name must be a string", "1")},
		"12 arguments null":     {"", call(`{"name":"x","arguments":null}`), failure("-32602", "Tool arguments must be an object", "1")},
		"12 arguments a list":   {"", call(`{"name":"execute_code","arguments":[]}`), failure("-32602", "Tool arguments must be an object", "1")},
		"13 unknown tool":       {"", call(`{"name":"run<b>"}`), failure("-32601", "Method not found: tool:run<b>", "1")},
		"14 missing":            {"", call(`{"name":"execute_code"}`), failure("-32602", "Missing required parameter: code", "1")},
		"14 missing first":      {"", call(`{"name":"execute_code","arguments":{"timeout":0}}`), failure("-32602", "Missing required parameter: code", "1")},
		"14 order of the wire":  {"", call(`{"name":"execute_code","arguments":{"timeout":0,"template":"x","code":1}}`), failure("-32602", "Parameter 'timeout' must be >= 1", "1")},
		"14 a string":           {"", call(`{"name":"execute_code","arguments":{"code":null}}`), failure("-32602", "Parameter 'code' must be a string", "1")},
		"14 null session":       {"", call(`{"name":"execute_code","arguments":{"code":"","session_id":null}}`), failure("-32602", "Parameter 'session_id' must be a string", "1")},
		"14 an array":           {"", call(`{"name":"execute_command","arguments":{"command":"ls","args":"-l"}}`), failure("-32602", "Parameter 'args' must be an array", "1")},
		"14 template":           {"", call(`{"name":"execute_code","arguments":{"code":"","template":"ruby"}}`), failure("-32602", "Parameter 'template' must be one of: ['python', 'node']", "1")},
		"14 flavor":             {"", call(`{"name":"execute_code","arguments":{"code":"","flavor":"SMALL"}}`), failure("-32602", "Parameter 'flavor' must be one of: ['small', 'medium', 'large']", "1")},
		"14 a float":            {"", call(`{"name":"execute_code","arguments":{"code":"","timeout":1.0}}`), failure("-32602", "Parameter 'timeout' must be an integer", "1")},
		"14 a string timeout":   {"", call(`{"name":"execute_code","arguments":{"code":"","timeout":"9"}}`), failure("-32602", "Parameter 'timeout' must be an integer", "1")},
		"14 false is zero":      {"", call(`{"name":"execute_code","arguments":{"code":"","timeout":false}}`), failure("-32602", "Parameter 'timeout' must be >= 1", "1")},
		"14 too long":           {"", call(`{"name":"execute_code","arguments":{"code":"","timeout":1801}}`), failure("-32602", "Parameter 'timeout' must be <= 1800", "1")},
		"14 far too long":       {"", call(`{"name":"execute_code","arguments":{"code":"","timeout":99999999999999999999}}`), failure("-32602", "Parameter 'timeout' must be <= 1800", "1")},
		"14 stop needs a name":  {"", call(`{"name":"stop_session","arguments":{}}`), failure("-32602", "Missing required parameter: session_id", "1")},
	} {
		contentType := c.contentType
		if contentType == "" {
			contentType = "application/json"
		}
		answer, got := request(t, http.MethodPost, url, c.body, "Content-Type", contentType)
		if answer.StatusCode != http.StatusOK || got != c.want {
			t.Errorf("%s: %s\ngot  %d %s\nwant 200 %s", name, c.body, answer.StatusCode, got, c.want)
		}
	}
}

func TestGuide_Notifications(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{})
	answer, got := post(t, url, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if answer.StatusCode != http.StatusAccepted || got != "" {
		t.Errorf("notification: %d %q, want 202 and nothing", answer.StatusCode, got)
	}
}

// big is an id that a float64 would change.
const big = "9007199254740993"

func guideCall(tool, arguments string) string {
	return `{"jsonrpc":"2.0","id":` + big + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `}}`
}

func TestGuide_Results(t *testing.T) {
	var asked sandbox.ExecRequest
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
		asked = r
		result.Exit.Duration = 2300 * time.Microsecond
		switch r.Code {
		case "both":
			result.Stdout, result.Stderr = []byte("Hello \n\n"), []byte("Traceback: boom\n")
			result.Exit.Code, result.Exit.Failure = 1, &sandbox.Failure{Name: "boom"}
		case "hostile":
			result.Stdout = []byte("<a&b>\x1b[31m\xff\u2028\"\\é")
		case "cut":
			result.Stdout, result.Exit.Dropped, result.Hint = []byte("x\n"), 7, "This sandbox has no network"
		case "":
			result.Stderr, result.Exit.Code = []byte("bad\n"), 3
		}
		return nil
	}}
	url := serve(t, fake, mcp.Options{Volumes: []sandbox.Volume{{HostPath: "./dätä", Path: "/sandbox/shared"}}})
	head := `{"jsonrpc":"2.0","id":` + big + `,"result":`
	for _, c := range []struct{ name, body, want string }{
		{
			"stdout and stderr", guideCall("execute_code", `{"code":"both","session_id":"s1"}`),
			`{"content":[{"type":"text","text":"Hello\nTraceback: boom"}],"isError":false,"session_id":"s1","execution_time_ms":2,"session_created":true,"template":"python","code_success":false}`,
		},
		{
			"bytes of all kinds", guideCall("execute_code", `{"code":"hostile","session_id":"s1","unknown":1}`),
			`{"content":[{"type":"text","text":"<a&b>\u001b[31m` + "\uFFFD\u2028" + `\"\\é"}],"isError":false,"session_id":"s1","execution_time_ms":2,"session_created":false,"template":"python","code_success":true}`,
		},
		{
			"truncated, with a hint", guideCall("execute_code", `{"params":{"code":"cut","session_id":"s1","timeout":null}}`),
			`{"content":[{"type":"text","text":"x\n[output truncated: 7 bytes dropped]\nThis sandbox has no network"}],"isError":false,"session_id":"s1","execution_time_ms":2,"session_created":false,"template":"python","code_success":true}`,
		},
		{
			"a command", guideCall("execute_command", `{"command":"sh","args":["-c","fail"],"session_id":"s2","template":"node"}`),
			`{"content":[{"type":"text","text":"bad"}],"isError":true,"session_id":"s2","execution_time_ms":2,"session_created":true,"command":"sh","args":["-c","fail"],"exit_code":3}`,
		},
		{
			"a line of sh", guideCall("execute_command", `{"command":"a|b","session_id":"s2"}`),
			`{"content":[{"type":"text","text":"bad"}],"isError":true,"session_id":"s2","execution_time_ms":2,"session_created":false,"command":"a|b","args":[],"exit_code":3}`,
		},
		{
			"one session", guideCall("get_sessions", `{"session_id":"s2"}`),
			`{"content":[{"type":"text","text":"[\n  {\n    \"session_id\": \"s2\",\n    \"template\": \"node\",\n    \"flavor\": \"small\",\n    \"created_at\": \"2026-01-31T15:36:04.526375\",\n    \"last_accessed\": \"2026-01-31T15:36:04\",\n    \"status\": \"ready\",\n    \"namespace\": \"default\",\n    \"sandbox_name\": \"sb-4\"\n  }\n]"}],"isError":false,"sessions":[{"session_id":"s2","template":"node","flavor":"small","created_at":"2026-01-31T15:36:04.526375","last_accessed":"2026-01-31T15:36:04","status":"ready","namespace":"default","sandbox_name":"sb-4"}]}`,
		},
		{"no such session", guideCall("get_sessions", `{"session_id":"s9"}`), `{"content":[{"type":"text","text":"[]"}],"isError":false,"sessions":[]}`},
		{"stop", guideCall("stop_session", `{"session_id":"s2"}`), `{"content":[{"type":"text","text":"Session s2 stopped successfully"}],"isError":false,"success":true,"session_id":"s2"}`},
		{"stop again", guideCall("stop_session", `{"session_id":"s2"}`), `{"content":[{"type":"text","text":"Session s2 not found"}],"isError":false,"success":false,"session_id":"s2"}`},
		{
			"volumes", guideCall("get_volume_path", `{}`),
			`{"content":[{"type":"text","text":"[\n  {\n    \"host_path\": \"./d\\u00e4t\\u00e4\",\n    \"container_path\": \"/sandbox/shared\"\n  }\n]"}],"isError":false,"volume_mappings":[{"host_path":"./dätä","container_path":"/sandbox/shared"}]}`,
		},
		{
			"volumes by the other name", guideCall("get_volume_mappings", `{}`),
			`{"content":[{"type":"text","text":"[\n  {\n    \"host_path\": \"./d\\u00e4t\\u00e4\",\n    \"container_path\": \"/sandbox/shared\"\n  }\n]"}],"isError":false,"volume_mappings":[{"host_path":"./dätä","container_path":"/sandbox/shared"}]}`,
		},
	} {
		if _, got := post(t, url, c.body); got != head+c.want+"}" {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, head+c.want+"}")
		}
		if c.name == "a line of sh" && !slices.Equal(asked.Argv, []string{"sh", "-c", "a|b"}) {
			t.Errorf("a line of sh ran %q", asked.Argv)
		}
		if c.name == "a command" && !slices.Equal(asked.Argv, []string{"sh", "-c", "fail"}) {
			t.Errorf("a command ran %q", asked.Argv)
		}
	}
}

func TestGuide_AcceptsMoreThanItLists(t *testing.T) {
	var asked sandbox.ExecRequest
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		asked = r
		return nil
	}}
	url := serve(t, fake, mcp.Options{DefaultTimeout: 42 * time.Second})
	post(t, url, guideCall("execute_code", `{"code":"x","template":"bash","timeout":1800,"flavor":"large"}`))
	if asked.Template != "bash" || asked.Flavor != "large" || asked.Timeout != 1800*time.Second || asked.Session != "" {
		t.Errorf("asked for %+v", asked)
	}
	post(t, url, guideCall("execute_code", `{"code":"\u0070","timeout":true}`))
	if asked.Timeout != time.Second || asked.Code != "p" {
		t.Errorf("asked for %+v", asked)
	}
	post(t, url, guideCall("execute_code", `{"code":""}`))
	if asked.Timeout != 42*time.Second || asked.Code != "\n" {
		t.Errorf("asked for %+v", asked)
	}
}

// secret is a path of the host that no client may see.
const secret = "/var/lib/sandwarden/sessions/secret.sock"

func TestGuide_Errors(t *testing.T) {
	hidden := errors.New("open " + secret + ": permission denied")
	memory := `"Use a smaller sandbox flavor (small instead of large)","Optimize your code to use less memory","Stop unused sessions to free up memory","Consider increasing the memory limit if possible"`
	for name, c := range map[string]struct {
		tool string
		err  error
		exit sandbox.Exit
		want string
	}{
		"sessions are full": {
			err:  &sandbox.Error{Op: "create", Kind: sandbox.Exhausted, Limit: &sandbox.Limit{Resource: "sessions", Current: 2, Max: 2}, Err: hidden},
			want: `{"code":-32600,"message":"Resource limit exceeded: Sessions limit exceeded: 2 >= 2","data":{"error_code":"RESOURCE_LIMIT_ERROR","category":"resource","severity":"high","recovery_suggestions":["Wait for existing sessions to complete or timeout","Manually stop unused sessions to free up resources","Consider increasing the maximum concurrent sessions limit","Optimize your workflow to use fewer concurrent sessions"],"context":{"resource_type":"sessions","current_usage":2,"limit":2}}}`,
		},
		"memory is full": {
			err:  &sandbox.Error{Kind: sandbox.Exhausted, Limit: &sandbox.Limit{Resource: "memory", Current: 6144, Max: 3000, Unit: "MB"}},
			want: `{"code":-32600,"message":"Resource limit exceeded: Memory limit exceeded: 6144MB >= 3000MB","data":{"error_code":"RESOURCE_LIMIT_ERROR","category":"resource","severity":"high","recovery_suggestions":[` + memory + `],"context":{"resource_type":"memory","current_usage":"6144MB","limit":"3000MB"}}}`,
		},
		"the backend is not there": {
			err:  &sandbox.Error{Kind: sandbox.Unavailable, Detail: "Unable to connect to microsandbox server", Err: hidden},
			want: `{"code":-32603,"message":"Sandbox creation failed: Failed to create python sandbox (small): Unable to connect to microsandbox server","data":{"error_code":"SANDBOX_CREATION_ERROR","category":"resource","severity":"high","recovery_suggestions":["Verify that the microsandbox server is running and accessible","Check if the specified template is supported (python, node)","Ensure sufficient system resources are available","Try using a smaller sandbox flavor (small instead of large)","Check network connectivity to the microsandbox server"],"context":{"template":"python","flavor":"small"}}}`,
		},
		"a wrong name": {
			err:  &sandbox.Error{Kind: sandbox.Invalid, Detail: "the session name has a slash", Err: hidden},
			want: `{"code":-32602,"message":"Invalid parameters: the session name has a slash"}`,
		},
		"a fault of ours": {err: &sandbox.Error{Kind: sandbox.Other, Err: hidden}, want: `{"code":-32603,"message":"Internal server error"}`},
		"any other error": {err: hidden, want: `{"code":-32603,"message":"Internal server error"}`},
		"code timed out": {
			exit: sandbox.Exit{Cause: sandbox.CauseWallTimeout, Code: 137, StateLost: true},
			want: `{"code":-32603,"message":"Code execution failed: Code execution timed out","data":{"error_code":"CODE_EXECUTION_ERROR","category":"execution","severity":"medium","recovery_suggestions":["Optimize your code to run faster","Increase the execution timeout if needed","Break down complex operations into smaller chunks"],"context":{"error_type":"timeout","session_id":"s1","code_snippet":"x<y"}}}`,
		},
		"a command timed out": {
			tool: "execute_command", exit: sandbox.Exit{Cause: sandbox.CauseWallTimeout},
			want: `{"code":-32603,"message":"Command execution failed: Command execution timed out after 9 seconds","data":{"error_code":"COMMAND_EXECUTION_ERROR","category":"execution","severity":"medium","recovery_suggestions":["Increase the command timeout if needed","Optimize the command to run faster","Check if the command is hanging or waiting for input"],"context":{"command":"x<y","session_id":"s1"}}}`,
		},
		"out of memory": {
			exit: sandbox.Exit{Cause: sandbox.CauseOOM, Evidence: "oom_kill 1", StateLost: true},
			want: `{"code":-32603,"message":"Code execution failed: It did not finish: it used more memory than its flavor allows (oom_kill 1); the variables of the session are lost","data":{"error_code":"CODE_EXECUTION_ERROR","category":"execution","severity":"medium","recovery_suggestions":["Use a larger flavor, or use less memory at a time",` + memory + `],"context":{"error_type":"oom","session_id":"s1","code_snippet":"x<y"}}}`,
		},
		"the session was stopped": {
			err:  &sandbox.Error{Kind: sandbox.Stopped, Cause: sandbox.CauseKilled, Err: hidden},
			want: `{"code":-32603,"message":"Code execution failed: It did not finish: it was stopped on request","data":{"error_code":"CODE_EXECUTION_ERROR","category":"execution","severity":"medium","recovery_suggestions":["Run it again if that was not meant; a session that was stopped is made afresh","Review the error details and fix any code issues","Try running the code in a fresh session","Check if the sandbox environment supports your code requirements"],"context":{"error_type":"killed_by_user","session_id":"s1","code_snippet":"x<y"}}}`,
		},
		"no turn came": {
			err:  &sandbox.Error{Kind: sandbox.Timeout, Detail: "It waited 120 s for its turn and never ran", Remedy: "Use another session"},
			want: `{"code":-32603,"message":"Code execution failed: It waited 120 s for its turn and never ran","data":{"error_code":"CODE_EXECUTION_ERROR","category":"execution","severity":"medium","recovery_suggestions":["Use another session","Optimize your code to run faster","Increase the execution timeout if needed","Break down complex operations into smaller chunks"],"context":{"error_type":"timeout","session_id":"s1","code_snippet":"x<y"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &transporttest.Sessions{Run: func(_ context.Context, _ sandbox.ExecRequest, result *sandbox.ExecResult) error {
				result.Exit = c.exit
				return c.err
			}}
			url := serve(t, fake, mcp.Options{})
			body := guideCall("execute_code", `{"code":"x<y","session_id":"s1","timeout":9}`)
			if c.tool != "" {
				body = guideCall(c.tool, `{"command":"x<y","session_id":"s1","timeout":9}`)
			}
			want := `{"jsonrpc":"2.0","id":` + big + `,"error":` + c.want + `}`
			if answer, got := post(t, url, body); got != want || answer.StatusCode != http.StatusOK {
				t.Errorf("got  %d %s\nwant 200 %s", answer.StatusCode, got, want)
			}
			// The same in the other dialect must not tell the secret either.
			if _, got := post(t, url, body, "Mcp-Protocol-Version", "2025-06-18"); strings.Contains(got, secret) || !strings.Contains(got, `"isError":true`) {
				t.Errorf("legacy: %s", got)
			}
		})
	}
}

func TestGuide_Limits(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{MaxBody: 1000, MaxCode: 10})
	_, got := post(t, url, guideCall("execute_code", `{"code":"12345678901"}`))
	if want := "Parameter 'code' must be at most 10 bytes, got 11"; !strings.Contains(got, want) || !strings.Contains(got, "-32602") {
		t.Errorf("long code: %s", got)
	}
	answer, got := post(t, url, strings.Repeat(" ", 1001))
	if answer.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(got, "at most 1000 bytes") {
		t.Errorf("long body: %d %s", answer.StatusCode, got)
	}
}

func TestGuide_DroppedRequestStopsTheWork(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	fake := &transporttest.Sessions{Run: func(ctx context.Context, _ sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}
	url := serve(t, fake, mcp.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(guideCall("execute_code", `{"code":"x"}`)))
		r.Header.Set("Content-Type", "application/json")
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
		}
	}()
	<-began
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the work goes on")
	}
}

func TestPanic_IsAnswered(t *testing.T) {
	first := true
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
		if first {
			first = false
			panic("boom " + secret)
		}
		result.Stdout = []byte(r.Code)
		return nil
	}}
	url := serve(t, fake, mcp.Options{})
	_, got := post(t, url, guideCall("execute_code", `{"code":"x"}`))
	if want := failure("-32603", "Internal server error", big); got != want {
		t.Errorf("guide: got %s, want %s", got, want)
	}
	first = true
	_, got = post(t, url, guideCall("execute_code", `{"code":"x"}`), "Mcp-Protocol-Version", "2025-06-18")
	if want := failure("-32603", "Internal server error", big); got != want {
		t.Errorf("legacy: got %s, want %s", got, want)
	}
	if _, got = post(t, url, guideCall("execute_code", `{"code":"next"}`)); !strings.Contains(got, `"text":"next"`) {
		t.Errorf("the next call: %s", got)
	}
}

func BenchmarkGuide(b *testing.B) {
	fake := &still{}
	h := mcp.New(fake, mcp.Options{})
	body := []byte(guideCall("execute_code", `{"code":"print(1)","session_id":"s1"}`))
	reader := bytes.NewReader(body)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/mcp", io.NopCloser(reader))
	r.Header.Set("Content-Type", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		h.ServeHTTP(&discard{header: make(http.Header, 2)}, r)
	}
}

func BenchmarkGuideOverHTTP(b *testing.B) {
	server := httptest.NewServer(mcp.New(&still{}, mcp.Options{}))
	defer server.Close()
	body := guideCall("execute_code", `{"code":"print(1)","session_id":"s1"}`)
	b.ReportAllocs()
	for b.Loop() {
		answer, err := http.Post(server.URL, "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// TestGuide_Allocations keeps the guide's path short. The budget is what is
// left of 65 after net/http has had its share.
func TestGuide_Allocations(t *testing.T) {
	h := mcp.New(&still{}, mcp.Options{})
	body := []byte(guideCall("execute_code", `{"code":"print(1)","session_id":"s1"}`))
	reader := bytes.NewReader(body)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", io.NopCloser(reader))
	r.Header.Set("Content-Type", "application/json")
	w := &discard{header: make(http.Header, 2)}
	got := testing.AllocsPerRun(200, func() {
		reader.Reset(body)
		h.ServeHTTP(w, r)
	})
	if got > 20 {
		t.Errorf("a call makes %.0f allocations, want at most 20", got)
	}
	if !json.Valid(w.last) {
		t.Errorf("the answer is %s", w.last)
	}
}

// still is sessions that cost nothing.
type still struct{ mcp.Sessions }

func (*still) Execute(context.Context, sandbox.ExecRequest) (sandbox.ExecResult, error) {
	return sandbox.ExecResult{Session: sandbox.Session{Name: "s1", Template: sandbox.Template{Name: "python"}}}, nil
}

type discard struct {
	header http.Header
	last   []byte
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(b []byte) (int, error) {
	d.last = b
	return len(b), nil
}
