package mcp_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	protocol "github.com/mark3labs/mcp-go/mcp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

// open begins a legacy session and returns its id.
func open(t *testing.T, url string) string {
	t.Helper()
	answer, body := post(t, url, initialize)
	id := answer.Header.Get("Mcp-Session-Id")
	if answer.StatusCode != http.StatusOK || len(id) != 32 || !strings.Contains(body, `"protocolVersion":"2025-06-18"`) {
		t.Fatalf("initialize: %d, session %q, %s", answer.StatusCode, id, body)
	}
	return id
}

const version, sessionID = "Mcp-Protocol-Version", "Mcp-Session-Id"

// The rows of the reference's table of faults, for the initialize era.
func TestLegacy_Faults(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{MaxBody: 2000})
	session := open(t, url)
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
		want    string // a part of the body; "" is an empty one
	}{
		"too large":         {strings.Repeat(" ", 2001), nil, 413, `"code":-32600`},
		"content type":      {`{}`, []string{"Content-Type", "text/plain"}, 415, `"id":null,"error":{"code":-32600`},
		"not JSON":          {`{`, nil, 400, `"id":null,"error":{"code":-32700`},
		"empty":             {``, nil, 400, `"code":-32700`},
		"not UTF-8":         {"\xff", nil, 400, `"code":-32700`},
		"a batch":           {`[]`, nil, 400, `"code":-32600`},
		"no jsonrpc":        {`{"id":1,"method":"ping"}`, nil, 400, `"id":1,"error":{"code":-32600`},
		"no method":         {`{"jsonrpc":"2.0","id":1}`, nil, 400, `"id":1,"error":{"code":-32600`},
		"method's type":     {`{"jsonrpc":"2.0","id":1,"method":[]}`, nil, 400, `"code":-32600`},
		"id null":           {`{"jsonrpc":"2.0","id":null,"method":"ping"}`, nil, 400, `"id":null,"error":{"code":-32600`},
		"id an object":      {`{"jsonrpc":"2.0","id":{},"method":"ping"}`, nil, 400, `"id":null,"error":{"code":-32600`},
		"params' type":      {`{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, nil, 400, `"code":-32600`},
		"unknown method":    {`{"jsonrpc":"2.0","id":"a","method":"tools/run"}`, nil, 200, `"id":"a","error":{"code":-32601`},
		"a feature we lack": {`{"jsonrpc":"2.0","id":1,"method":"resources/list"}`, nil, 200, `"code":-32601`},
		"unknown tool":      {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run"}}`, nil, 200, `"code":-32602`},
		"no tool":           {`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, nil, 200, `"error":{"code":-3260`},
		"bad arguments":     {guideCall("execute_code", `{"code":7}`), nil, 200, `"isError":true`},
		"arguments a list":  {guideCall("execute_code", `[]`), nil, 200, `"isError":true`},
		"unknown version":   {`{"jsonrpc":"2.0","id":1,"method":"ping"}`, []string{version, "1999-01-01"}, 400, `"code":-32600`},
		"unknown session":   {`{"jsonrpc":"2.0","id":1,"method":"ping"}`, []string{sessionID, "feed"}, 404, `"code":-32600`},
		"a response":        {`{"jsonrpc":"2.0","id":1,"result":{}}`, nil, 202, ""},
		"a notification":    {`{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil, 202, ""},
		"a strange one":     {`{"jsonrpc":"2.0","method":"notifications/x"}`, nil, 202, ""},
		"ping":              {`{"jsonrpc":"2.0","id":` + big + `,"method":"ping"}`, nil, 200, `{"jsonrpc":"2.0","id":` + big + `,"result":{}}`},
		"meta says legacy":  {`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-06-18"}}}`, nil, 200, `"result":{}`},
	} {
		for _, in := range []string{"", session} {
			headers := append([]string{version, "2025-06-18"}, c.headers...)
			if in != "" {
				headers = append([]string{sessionID, in}, headers...)
			}
			answer, got := post(t, url, c.body, headers...)
			if answer.StatusCode != c.status || !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("%s, session %q: got %d %s, want %d %s", name, in, answer.StatusCode, got, c.status, c.want)
			}
			if answer.Header.Get(sessionID) != "" {
				t.Errorf("%s: a session was minted", name)
			}
		}
	}
}

// Which dialect is which, as the reference's first table has it.
func TestDialects(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{})
	session := open(t, url)
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	const meta = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"%s"}}}`
	unsupported := func(asked string) string {
		return `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"` + asked + `"}}}`
	}
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
		want    string // a part
	}{
		"modern by header":          {list, []string{version, "2026-07-28"}, 400, unsupported("2026-07-28")},
		"later by header":           {list, []string{version, "2027-01-01", sessionID, session}, 400, unsupported("2027-01-01")},
		"modern by meta":            {fmt.Sprintf(meta, "2026-07-28"), nil, 400, unsupported("2026-07-28")},
		"unknown old one in meta":   {fmt.Sprintf(meta, "1900-01-01"), []string{version, "2025-06-18"}, 400, unsupported("1900-01-01")},
		"modern notification":       {`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, []string{version, "2026-07-28"}, 202, ""},
		"legacy by version":         {list, []string{version, "2025-03-26"}, 200, `"outputSchema"`},
		"legacy by session":         {list, []string{sessionID, session}, 200, `"outputSchema"`},
		"legacy by meta":            {fmt.Sprintf(meta, "2024-11-05"), nil, 200, `"outputSchema"`},
		"guide":                     {list, nil, 200, guideTools},
		"guide's discover":          {`{"jsonrpc":"2.0","id":1,"method":"server/discover"}`, nil, 200, `"supportedVersions":["2025-11-25",`},
		"initialize needs no more":  {initialize, nil, 200, `"serverInfo":{"name":"sandwarden"`},
		"initialize beside a dead":  {initialize, []string{sessionID, "dead"}, 200, `"protocolVersion":"2025-06-18"`},
		"initialize asks too much":  {strings.Replace(initialize, "2025-06-18", "2026-07-28", 1), nil, 200, `"protocolVersion":"2025-11-25"`},
		"initialize asks nonsense":  {strings.Replace(initialize, "2025-06-18", "x", 1), nil, 200, `"protocolVersion":"2025-11-25"`},
		"initialize asks the first": {strings.Replace(initialize, "2025-06-18", "2024-11-05", 1), nil, 200, `"protocolVersion":"2024-11-05"`},
	} {
		answer, got := post(t, url, c.body, c.headers...)
		if answer.StatusCode != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %d %s, want %d %s", name, answer.StatusCode, got, c.status, c.want)
		}
	}
}

// The reference's table of methods beside POST.
func TestOtherMethods(t *testing.T) {
	status := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	url := serve(t, &transporttest.Sessions{}, mcp.Options{Status: status})
	session := open(t, url)
	const stream = "text/html, text/event-stream;q=0.5"
	for _, c := range []struct {
		name, method string
		headers      []string
		status       int
		allow        string
	}{
		{"modern GET", http.MethodGet, []string{version, "2026-07-28", "Accept", stream}, 405, "POST"},
		{"modern DELETE", http.MethodDelete, []string{version, "2026-07-28", sessionID, session}, 405, "POST"},
		{"GET of an unknown session", http.MethodGet, []string{"Accept", stream, sessionID, "x"}, 404, ""},
		{"GET without session", http.MethodGet, []string{"Accept", stream}, 405, "OPTIONS, POST, GET"},
		{"GET of a lost event", http.MethodGet, []string{"Accept", stream, sessionID, session, "Last-Event-ID", "1-1"}, 400, ""},
		{"GET of the status", http.MethodGet, []string{"Accept", "*/*"}, 418, ""},
		{"GET of the status in a session", http.MethodGet, []string{"Accept", "application/json", sessionID, session}, 418, ""},
		{"HEAD", http.MethodHead, []string{"Accept", stream, sessionID, session}, 418, ""},
		{"PUT", http.MethodPut, nil, 405, "OPTIONS, POST, GET"},
		{"DELETE without session", http.MethodDelete, nil, 405, "OPTIONS, POST, GET"},
		{"DELETE of an unknown session", http.MethodDelete, []string{sessionID, "x"}, 404, ""},
		{"DELETE", http.MethodDelete, []string{sessionID, session}, 204, ""},
		{"DELETE again", http.MethodDelete, []string{sessionID, session}, 404, ""},
	} {
		answer, got := request(t, c.method, url, "", c.headers...)
		if answer.StatusCode != c.status || answer.Header.Get("Allow") != c.allow {
			t.Errorf("%s: got %d, Allow %q, %s; want %d, %q", c.name, answer.StatusCode, answer.Header.Get("Allow"), got, c.status, c.allow)
		}
	}
}

func TestLegacy_ResultsObeyTheirSchemas(t *testing.T) {
	fake := &transporttest.Sessions{Run: func(ctx context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
		result.Waited = time.Second
		result.Session.Flavor.Capped = "1 of 2 CPUs"
		result.Session.Unenforced = []string{"pids"}
		switch r.Code + strings.Join(r.Argv, " ") {
		case "slow", "sh -c slow":
			<-ctx.Done()
			return ctx.Err()
		case "figure":
			result.Rich = []sandbox.Rich{{MIME: "image/png", Data: []byte("\x89PNG")}, {MIME: "text/html", Data: []byte("<b>")}, {MIME: "x/y", Data: []byte{0xFF}}}
			result.Exit.Result = "1"
		case "oom":
			result.Stdout = []byte("before\n")
			result.Exit = sandbox.Exit{Code: 137, Cause: sandbox.CauseOOM, Evidence: "oom_kill 1", StateLost: true, Dropped: 3}
			result.Hint = "use less"
		case "refused":
			return &sandbox.Error{Kind: sandbox.Exhausted, Limit: &sandbox.Limit{Resource: "queue", Current: 16, Max: 16}, Remedy: "Use more sessions"}
		case "raised":
			result.Exit.Code, result.Exit.Failure = 1, &sandbox.Failure{Name: "ValueError", Message: "x"}
		}
		return nil
	}}
	url := serve(t, fake, mcp.Options{SoftLimit: 500 * time.Millisecond})
	schemas := outputSchemas(t, url)
	for _, c := range []struct {
		tool, arguments string
		want            []string
	}{
		{"execute_code", `{"code":"figure","session_id":"s"}`, []string{
			`"isError":false`, `{"type":"image","data":"` + base64.StdEncoding.EncodeToString([]byte("\x89PNG")) + `","mimeType":"image/png"}`,
			`"rich":[{"mime":"text/html","text":"<b>"},{"mime":"x/y","base64":"/w=="}]`, `"result":"1"`, `"session_created":true`,
			`"waited_ms":1000`, `"capped":"1 of 2 CPUs"`, `"unenforced":["pids"]`, `"execution_id":"exec-1"`, `"template":"python"`, `"flavor":"small"`,
		}},
		{"execute_code", `{"code":"oom","session_id":"s"}`, []string{
			`"isError":true`, `before\n[output truncated: 3 bytes dropped]\nuse less\nCode execution failed`, `"cause":"oom"`, `"evidence":"oom_kill 1"`,
			`"state_lost":true`, `"error_code":"CODE_EXECUTION_ERROR"`, `"stdout":"before\n"`, `"dropped_bytes":3`, `"truncated":true`, `"hint":"use less"`, `"success":false`,
		}},
		{"execute_code", `{"code":"refused"}`, []string{`"isError":true`, `"error_code":"RESOURCE_LIMIT_ERROR"`, `"remedy":"Use more sessions"`, `"kind":"exhausted"`}},
		{"execute_code", `{"code":"raised"}`, []string{`"isError":false`, `"failure":{"name":"ValueError","message":"x"}`, `"success":false`}},
		{"execute_code", `{"code":"x","template":"ruby"}`, []string{`"isError":true`, `must be one of: ['python', 'node', 'bash']`, `"kind":"invalid"`}},
		{"execute_code", `{"code":"x","session_id":null,"timeout":null}`, []string{`"isError":false`}},
		{"execute_command", `{"command":"ls","session_id":"s"}`, []string{`"isError":false`, `"session_created":false`}},
		{"get_sessions", `{}`, []string{`"sessions":[{"session_id":"s","template":"python"`, `"running":0`}},
		{"stop_session", `{"session_id":"s"}`, []string{`{"success":true,"session_id":"s"}`}},
		{"stop_session", `{}`, []string{`"isError":true`}},
		{"get_volume_path", `{}`, []string{`{"volume_mappings":[]}`}},
		{"execute_code", `{"code":"slow","session_id":"t"}`, []string{`"status":"running"`, `"output":""`}},
		{"cancel_execution", `{"execution_id":"exec-7","mode":"terminate"}`, []string{`"status":"failed"`, `"kind":"code"`}},
		{"execute_command", `{"command":"slow","session_id":"t","background":true,"stdin":true}`, []string{`"status":"running"`}},
		{"send_input", `{"execution_id":"exec-8","text":"x","close":true}`, []string{`"sent_bytes":1,"complete":true,"closed":true`}},
		{"send_input", `{"execution_id":"exec-8","text":"x"}`, []string{`"isError":true`, `this execution takes no input`}},
		{"send_input", `{"execution_id":"exec-1","text":"x"}`, []string{`"isError":true`, `"kind":"conflict"`, `get_execution`}},
		{"cancel_execution", `{"execution_id":"exec-8"}`, []string{`has ended: failed`, `"message":"`}},
		{"cancel_execution", `{"execution_id":"exec-8"}`, []string{`it had ended before`}},
		{"get_execution", `{"execution_id":"exec-1"}`, []string{`{"type":"image"`, `"rich":[{"mime":"text/html"`, `"status":"finished"`, `"output":""`}},
		{"get_execution", `{"execution_id":"exec-2"}`, []string{`"cause":"oom"`, `"hint":"use less"`, `"remedy":"Use a larger flavor`, `before\n[execution exec-2 has ended`}},
		{"get_execution", `{"execution_id":"exec-2","grep":"^b"}`, []string{`"matches":[{"line":1,"offset":0,"text":"before"}]`, `1:0:before\n`}},
		{"get_execution", `{"execution_id":"exec-2","tail":1}`, []string{`"output":"before\n"`, `"cursor":7`}},
		{"get_execution", `{"session_id":"t"}`, []string{`"executions":[{"execution_id":"exec-8"`, `exec-7 failed code \"slow\"`}},
		{"get_execution", `{"session_id":"nobody"}`, []string{`"isError":true`, `Run something in it first`}},
		{"get_execution", `{"execution_id":"exec-99"}`, []string{`"isError":true`, `Execution not found: exec-99`}},
		{"write_file", `{"session_id":"t","path":"a","content":"x","mode":"0600"}`, []string{`"written_bytes":1`}},
		{"read_file", `{"session_id":"t","path":"a"}`, []string{`"text":"x"`, `"has_more":false`}},
		{"read_file", `{"session_id":"t","path":"b"}`, []string{`"isError":true`, `File not found: b`}},
		{"list_files", `{"session_id":"t"}`, []string{`"path":"/work/a"`}},
		{"list_files", `{"session_id":"nobody"}`, []string{`"isError":true`, `Run something in it first`}},
	} {
		_, got := post(t, url, guideCall(c.tool, c.arguments), version, "2025-06-18")
		got = strings.ReplaceAll(got, `\u003c`, "<")
		got = strings.ReplaceAll(got, `\u003e`, ">")
		var answer struct {
			Result struct {
				Content           []any
				IsError           bool
				StructuredContent any
			}
		}
		if err := json.Unmarshal([]byte(got), &answer); err != nil {
			t.Fatalf("%s: %v: %s", c.tool, err, got)
		}
		got += fmt.Sprintf(`"isError":%t`, answer.Result.IsError) // the core leaves false out
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s %s: %s\nlacks %s", c.tool, c.arguments, got, want)
			}
		}
		if err := schemas[c.tool].Validate(answer.Result.StructuredContent); err != nil {
			t.Errorf("%s %s: %v", c.tool, c.arguments, err)
		}
		if len(answer.Result.Content) == 0 {
			t.Errorf("%s %s: no content", c.tool, c.arguments)
		}
	}
}

// outputSchemas compiles the schemas that are published, all of them.
func outputSchemas(t *testing.T, url string) map[string]*jsonschema.Schema {
	t.Helper()
	_, body := post(t, url, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, version, "2025-06-18")
	var list struct {
		Result struct {
			Tools []struct {
				Name                      string
				InputSchema, OutputSchema any
				Annotations               map[string]bool
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Result.Tools) != 11 {
		t.Fatalf("tools/list: %v: %s", err, body)
	}
	schemas := make(map[string]*jsonschema.Schema)
	for _, tool := range list.Result.Tools {
		for kind, schema := range map[string]any{"in": tool.InputSchema, "out": tool.OutputSchema} {
			compiler := jsonschema.NewCompiler()
			if err := compiler.AddResource("x.json", schema); err != nil {
				t.Fatal(err)
			}
			compiled, err := compiler.Compile("x.json")
			if err != nil {
				t.Fatalf("%s %s: %v", tool.Name, kind, err)
			}
			if kind == "out" {
				schemas[tool.Name] = compiled
			}
		}
		readOnly := !slices.Contains([]string{"execute_code", "execute_command", "stop_session", "send_input", "cancel_execution", "write_file"}, tool.Name)
		if a := tool.Annotations; len(a) != 4 || a["readOnlyHint"] != readOnly || a["destructiveHint"] == readOnly || a["openWorldHint"] {
			t.Errorf("%s: annotations %v", tool.Name, a)
		}
	}
	return schemas
}

// waiting is a run that ends with its context, and tells why.
func waiting(began chan<- string, ended chan<- error) transporttest.Run {
	return func(ctx context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		began <- r.Code
		select {
		case <-ctx.Done():
		case <-time.After(30 * time.Second):
		}
		ended <- context.Cause(ctx)
		return ctx.Err()
	}
}

func TestCancel(t *testing.T) {
	for name, accept := range map[string]string{"JSON": "application/json", "stream": "application/json, text/event-stream"} {
		t.Run(name, func(t *testing.T) {
			began, ended := make(chan string, 1), make(chan error, 1)
			url := serve(t, &transporttest.Sessions{Run: waiting(began, ended)}, mcp.Options{})
			session, stranger := open(t, url), open(t, url)
			answered := make(chan string, 1)
			go func() {
				_, got := post(t, url, guideCall("execute_code", `{"code":"x"}`), sessionID, session, "Accept", accept)
				answered <- got
			}()
			<-began
			cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + big + `}}`
			// Neither a stranger nor nobody may cancel it, nor may the same id run twice.
			post(t, url, cancel, sessionID, stranger)
			post(t, url, cancel, version, "2025-06-18")
			post(t, url, cancel)
			if answer, got := post(t, url, guideCall("execute_code", `{"code":"x"}`), sessionID, session); answer.StatusCode != http.StatusBadRequest || !strings.Contains(got, "-32600") {
				t.Errorf("the same id: %d %s", answer.StatusCode, got)
			}
			select {
			case err := <-ended:
				t.Fatalf("ended by a stranger: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
			if answer, _ := post(t, url, cancel, sessionID, session); answer.StatusCode != http.StatusAccepted {
				t.Errorf("cancel: %d", answer.StatusCode)
			}
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("ended by %v", err)
			}
			if got := <-answered; strings.Contains(got, `"result"`) {
				t.Errorf("a canceled call was answered: %s", got)
			}
		})
	}
}

func TestDroppedRequest(t *testing.T) {
	began, ended := make(chan string, 1), make(chan error, 1)
	url := serve(t, &transporttest.Sessions{Run: waiting(began, ended)}, mcp.Options{})
	session := open(t, url)
	drop := func(headers http.Header) {
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(guideCall("execute_code", `{"code":"x"}`)))
			r.Header = headers
			if answer, err := http.DefaultClient.Do(r); err == nil {
				answer.Body.Close()
			}
		}()
		<-began
		cancel()
		<-gone
	}
	drop(http.Header{"Content-Type": {"application/json"}, version: {"2025-06-18"}})
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("without session: ended by %v", err)
	}
	drop(http.Header{"Content-Type": {"application/json"}, sessionID: {session}})
	select {
	case err := <-ended:
		t.Fatalf("in a session: ended by %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if answer, _ := request(t, http.MethodDelete, url, "", sessionID, session); answer.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE: %d", answer.StatusCode)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("after DELETE: ended by %v", err)
	}
}

// Calls end with the server, and say how to go on; what they run does not.
func TestShutdown_EndsDetachedCallsAndStreams(t *testing.T) {
	began, ended := make(chan string, 1), make(chan error, 1)
	fake := &transporttest.Sessions{Run: waiting(began, ended)}
	h := mcp.New(fake, mcp.Options{})
	url := listen(t, h)
	session := open(t, url)
	answered := make(chan string, 1)
	go func() {
		_, got := post(t, url, guideCall("execute_code", `{"code":"x"}`), sessionID, session)
		answered <- got
	}()
	<-began
	streamed := make(chan struct{})
	go func() {
		defer close(streamed)
		request(t, http.MethodGet, url, "", sessionID, session, "Accept", "text/event-stream")
	}()
	past, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := h.Shutdown(past); err != nil {
		t.Error(err)
	}
	if got := <-answered; !strings.Contains(got, "still running while the server shuts down as execution exec-1") || !strings.Contains(got, `"status":"running"`) {
		t.Errorf("the call was answered %s", got)
	}
	<-streamed
	select {
	case err := <-ended:
		t.Errorf("the run ended with its call: %v", err)
	default:
	}
	if err := fake.Signal(t.Context(), "", "exec-1", sandbox.Kill); err != nil {
		t.Error(err)
	}
	<-ended
	if answer, _ := post(t, url, guideCall("execute_code", `{"code":"x"}`), sessionID, session); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Shutdown: %d", answer.StatusCode)
	}
}

func TestSessions_AreBounded(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{MaxSessions: 3})
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	first := open(t, url)
	second := open(t, url)
	open(t, url)
	if answer, _ := post(t, url, ping, sessionID, first); answer.StatusCode != http.StatusOK {
		t.Fatalf("first: %d", answer.StatusCode)
	}
	open(t, url) // makes room by the longest unused, which is the second
	if answer, _ := post(t, url, ping, sessionID, second); answer.StatusCode != http.StatusNotFound {
		t.Errorf("second: %d, want 404", answer.StatusCode)
	}
	if answer, _ := post(t, url, ping, sessionID, first); answer.StatusCode != http.StatusOK {
		t.Errorf("first, used: %d, want 200", answer.StatusCode)
	}
}

func TestStream_NewerReplacesOlder(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{Heartbeat: 10 * time.Millisecond})
	session := open(t, url)
	old := make(chan struct{})
	opened := make(chan struct{})
	go func() {
		defer close(old)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		r.Header = http.Header{"Accept": {"text/event-stream"}, sessionID: {session}}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		lines.Scan()
		close(opened)
		for lines.Scan() {
		}
	}()
	<-opened
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	r.Header = http.Header{"Accept": {"text/event-stream"}, sessionID: {session}}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	<-old
	lines := bufio.NewScanner(answer.Body)
	for range 3 { // the new one lives
		await(t, lines, ": keepalive")
	}
}

// A real client: the library's own.
func TestClient_OfTheLibrary(t *testing.T) {
	url := serve(t, &transporttest.Sessions{Run: counting(200)}, mcp.Options{ProgressEvery: time.Millisecond})
	c, err := client.NewStreamableHttpClient(url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var mu sync.Mutex
	var got strings.Builder
	c.OnNotification(func(n protocol.JSONRPCNotification) {
		mu.Lock()
		defer mu.Unlock()
		message, _ := n.Params.AdditionalFields["message"].(string)
		got.WriteString(message)
	})
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	init, err := c.Initialize(t.Context(), protocol.InitializeRequest{})
	if err != nil || init.ProtocolVersion != "2025-11-25" || init.ServerInfo.Name != "sandwarden" {
		t.Fatalf("Initialize: %+v, %v", init, err)
	}
	tools, err := c.ListTools(t.Context(), protocol.ListToolsRequest{})
	if err != nil || len(tools.Tools) != 11 {
		t.Fatalf("ListTools: %+v, %v", tools, err)
	}
	call := protocol.CallToolRequest{}
	call.Params.Name = "execute_code"
	call.Params.Arguments = map[string]any{"code": "x", "session_id": "s"}
	call.Params.Meta = &protocol.Meta{ProgressToken: "t"}
	result, err := c.CallTool(t.Context(), call)
	if err != nil || result.IsError {
		t.Fatalf("CallTool: %+v, %v", result, err)
	}
	structured, ok := result.StructuredContent.(map[string]any)
	if !ok || structured["session_id"] != "s" || structured["session_created"] != true {
		t.Errorf("structured content: %v", result.StructuredContent)
	}
	want, _ := structured["stdout"].(string)
	deadline := time.Now().Add(5 * time.Second) // the client hands notifications on by itself
	for {
		mu.Lock()
		have := got.String()
		mu.Unlock()
		if have == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("progress was %q, want %q", have, want)
		}
		time.Sleep(time.Millisecond)
	}
}
