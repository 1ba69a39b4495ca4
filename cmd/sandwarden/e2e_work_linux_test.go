package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A request of the guide dialect that is dropped ends its work, and the session
// stays as it was.
func TestDroppedRequest_StopsTheWork(t *testing.T) {
	s := serve(t)
	s.run(t, "a", "x = 42")
	events := s.stream(t, "/v1/sessions/a/events", "")
	ctx, drop := context.WithCancel(t.Context())
	defer drop()
	done := make(chan error, 1)
	const mark = "5077.25" // of our process among all
	go func() {
		_, err := s.call(ctx, "execute_code", arguments{
			"session_id": "a", "code": "import subprocess\nprint('begun', flush=True)\nsubprocess.run(['sleep', '" + mark + "'])",
		})
		done <- err
	}()
	events.until(t, isType("output"))
	eventually(t, "the process runs", func() bool { return runs("sleep", mark) })
	drop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the dropped call: %v", err)
	}
	eventually(t, "the process is gone", func() bool { return !runs("sleep", mark) })
	if e := events.until(t, isType("execution.finished")); e[len(e)-1].Code == nil || *e[len(e)-1].Code == 0 {
		t.Errorf("got %+v", e[len(e)-1])
	}
	if got := s.run(t, "a", "x"); got != "42" {
		t.Errorf("after it: %q", got)
	}
}

// runs reports whether some process has this command line.
func runs(words ...string) bool {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		if line, err := os.ReadFile(name); err == nil && string(line) == strings.Join(words, "\x00")+"\x00" {
			return true
		}
	}
	return false
}

// What makes no sense gets a clear error in its dialect, and starts nothing.
func TestBadInput_StartsNothing(t *testing.T) {
	s := serve(t)
	long := strings.Repeat("x", 1<<20+1)
	call := func(tool, a string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + a + `}}`
	}
	for name, c := range map[string]struct {
		body string
		code int
		said string
	}{
		"not JSON":         {`{"jsonrpc":`, -32700, "Parse error: Invalid JSON"},
		"not an object":    {`[1]`, -32600, "Request must be a JSON object"},
		"no method":        {`{"jsonrpc":"2.0","id":1}`, -32600, "Missing required 'method' field"},
		"unknown method":   {`{"jsonrpc":"2.0","id":1,"method":"tools/nonsense"}`, -32601, "Method not found: tools/nonsense"},
		"unknown tool":     {call("rm", `{}`), -32601, "Method not found: tool:rm"},
		"unknown template": {call("execute_code", `{"code":"1","template":"cobol"}`), -32602, "Parameter 'template' must be one of: ['python', 'node'"},
		"unknown flavor":   {call("execute_code", `{"code":"1","flavor":"huge"}`), -32602, "Parameter 'flavor' must be one of: ['small', 'medium', 'large']"},
		"no code":          {call("execute_code", `{}`), -32602, "Missing required parameter: code"},
		"code's type":      {call("execute_code", `{"code":7}`), -32602, "Parameter 'code' must be a string"},
		"timeout's type":   {call("execute_code", `{"code":"1","timeout":"5"}`), -32602, "Parameter 'timeout' must be an integer"},
		"timeout's range":  {call("execute_code", `{"code":"1","timeout":0}`), -32602, "Parameter 'timeout' must be >= 1"},
		"oversized code":   {call("execute_code", `{"code":"`+long+`"}`), -32602, "Parameter 'code' must be at most 1048576 bytes"},
		"a path as a name": {call("execute_code", `{"code":"1","session_id":"../etc"}`), -32602, "Invalid parameters: "},
		"a long name":      {call("execute_code", `{"code":"1","session_id":"`+long[:200]+`"}`), -32602, "Invalid parameters: "},
		"an empty command": {call("execute_command", `{"command":""}`), -32602, "must not be empty"},
		"args of numbers":  {call("execute_command", `{"command":"ls","args":[1]}`), -32602, "array of strings"},
		"too large a body": {call("execute_code", `{"code":"`+strings.Repeat("x", 5<<20)+`"}`), -32600, "Request body must be at most 4194304 bytes"},
	} {
		var got answer
		if err := s.post(t.Context(), "/mcp", []byte(c.body), &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Error == nil || got.Error.Code != c.code || !strings.Contains(got.Error.Message, c.said) {
			t.Errorf("%s: got %+v, want %d %q", name, got.Error, c.code, c.said)
		}
	}
	for name, c := range map[string]struct {
		body   string
		status float64
		said   string
	}{
		"REST: not JSON":         {`{`, 400, "body"},
		"REST: unknown template": {`{"template":"cobol"}`, 400, "cobol"},
		"REST: unknown flavor":   {`{"flavor":"huge"}`, 400, "huge"},
		"REST: unknown member":   {`{"sesion_id":"a"}`, 400, "sesion_id"},
		"REST: a wrong type":     {`{"session_id":1}`, 400, "session_id"},
		"REST: a path as a name": {`{"session_id":"a/b"}`, 400, "session"},
	} {
		var got map[string]any
		if err := s.post(t.Context(), "/v1/sessions", []byte(c.body), &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if detail, _ := got["detail"].(string); got["status"] != c.status || !strings.Contains(detail, c.said) {
			t.Errorf("%s: got %v, want %v %q", name, got, c.status, c.said)
		}
	}
	if left := s.sessions(t); len(left) > 0 {
		t.Errorf("sessions were made: %q", left)
	}
	if agents := s.look(); len(agents) > 0 {
		t.Errorf("agents were started: %q", agents)
	}
	if status, body := s.get(t, "/v1/sessions/nobody"); status != http.StatusNotFound || body["kind"] != "not_found" {
		t.Errorf("no such session: %d, %v", status, body)
	}
	if got := s.run(t, "good", "6 * 7"); got != "42" { // nothing is lost
		t.Errorf("got %q", got)
	}
}
