package mcp_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// What is wrong with an argument is told alike in all dialects.
func TestNewArguments_Checks(t *testing.T) {
	url := serve(t, &transporttest.Sessions{}, mcp.Options{})
	for _, c := range []struct{ tool, arguments, want string }{
		{"execute_code", `{"code":"x","idempotency_key":5}`, "Parameter 'idempotency_key' must be a string"},
		{"execute_code", `{"code":"x","idempotency_key":"` + strings.Repeat("é", 101) + `"}`, "Parameter 'idempotency_key' must be at most 200 bytes, got 202"},
		{"execute_code", `{"code":"x","background":"yes"}`, "Parameter 'background' must be true or false"},
		{"execute_code", `{"code":"x","working_directory":""}`, "Parameter 'working_directory' must be a path"},
		{"execute_command", `{"command":"x","working_directory":"a\u0000b"}`, "Parameter 'working_directory' must be a path"},
		{"execute_command", `{"command":"x","stdin":1}`, "Parameter 'stdin' must be true or false"},
		{"execute_command", `{"command":"x","env":[]}`, "Parameter 'env' must be an object"},
		{"execute_command", `{"command":"x","env":{"A":1}}`, "Parameter 'env' must be an object of strings"},
		{"execute_command", `{"command":"x","env":{"A=B":""}}`, "Parameter 'env' must have names without '=', and no NUL anywhere"},
		{"execute_command", `{"command":"x","env":{"":""}}`, "Parameter 'env' must have names without '=', and no NUL anywhere"},
		{"get_execution", `{}`, "Missing required parameter: execution_id, or session_id for a list"},
		{"get_execution", `{"execution_id":7}`, "Parameter 'execution_id' must be a string"},
		{"get_execution", `{"execution_id":"x","wait":51}`, "Parameter 'wait' must be <= 50"},
		{"get_execution", `{"execution_id":"x","wait":1.5}`, "Parameter 'wait' must be an integer"},
		{"get_execution", `{"execution_id":"x","until":"never"}`, "Parameter 'until' must be one of: ['end', 'output']"},
		{"get_execution", `{"execution_id":"x","cursor":"1"}`, "Parameter 'cursor' must be an integer"},
		{"get_execution", `{"execution_id":"x","tail":0}`, "Parameter 'tail' must be >= 1"},
		{"get_execution", `{"execution_id":"x","grep":"("}`, "Parameter 'grep' must be a regular expression as of RE2: "},
		{"get_execution", `{"execution_id":"x","max_bytes":99999999}`, "Parameter 'max_bytes' must be <= 1048576"},
		{"send_input", `{}`, "Missing required parameter: execution_id"},
		{"send_input", `{"execution_id":"x"}`, "Missing required parameter: text, base64 or close"},
		{"send_input", `{"execution_id":"x","text":"a","base64":""}`, "Parameters 'text' and 'base64' must not both be given"},
		{"send_input", `{"execution_id":"x","base64":"?"}`, "Parameter 'base64' must be base64: "},
		{"cancel_execution", `{"execution_id":"x","mode":"softly"}`, "Parameter 'mode' must be one of: ['interrupt', 'terminate', 'kill']"},
		{"read_file", `{"session_id":"s"}`, "Missing required parameter: path"},
		{"read_file", `{"path":"p"}`, "Missing required parameter: session_id"},
		{"read_file", `{"session_id":"s","path":"p","size":0}`, "Parameter 'size' must be >= 1"},
		{"read_file", `{"session_id":"s","path":"p","encoding":"hex"}`, "Parameter 'encoding' must be one of: ['auto', 'text', 'base64']"},
		{"read_file", `{"session_id":"s","path":"p","from":3,"first_line":2}`, "Parameters 'from' and 'first_line' must not both be given"},
		{"read_file", `{"session_id":"s","path":"p","first_line":3,"last_line":2}`, "Parameter 'last_line' must be >= 'first_line'"},
		{"write_file", `{"session_id":"s","path":"p"}`, "Missing required parameter: content"},
		{"write_file", `{"session_id":"s","path":"p","content":"","mode":"0888"}`, "Parameter 'mode' must be permission bits in octal, as '0644'"},
		{"write_file", `{"session_id":"s","path":"p","content":"","mode":420}`, "Parameter 'mode' must be permission bits in octal, as '0644'"},
		{"write_file", `{"session_id":"s","path":"p","content":"","encoding":"auto"}`, "Parameter 'encoding' must be one of: ['text', 'base64']"},
		{"list_files", `{"session_id":"s","limit":1001}`, "Parameter 'limit' must be <= 1000"},
		{"list_files", `{"session_id":"s","recursive":0}`, "Parameter 'recursive' must be true or false"},
	} {
		for _, arguments := range []string{c.arguments, `{"params":` + c.arguments + `}`} {
			_, got := post(t, url, guideCall(c.tool, arguments))
			expect(t, c.tool+" "+arguments+", guide", got, []string{`"error":{"code":-32602,"message":"` + c.want})
			_, got = post(t, url, guideCall(c.tool, arguments), version, "2025-06-18")
			got = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got)
			expect(t, c.tool+" "+arguments+", handshake", got, []string{`"isError":true`, `"message":"` + c.want, `"kind":"invalid"`})
		}
	}
}

// What is beyond the contract reaches the run from every dialect, and null is
// as good as nothing.
func TestNewArguments_ReachTheRun(t *testing.T) {
	asked := make(chan sandbox.ExecRequest, 1)
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		asked <- r
		return nil
	}}
	url := serve(t, fake, mcp.Options{})
	for _, headers := range [][]string{nil, {version, "2025-06-18"}} {
		post(t, url, guideCall("execute_command", `{"command":"x","env":{"B":"2=3","A":""},"working_directory":"sub","stdin":true,"background":true}`), headers...)
		r := <-asked
		if strings.Join(r.Vars, ",") != "A=,B=2=3" || r.Dir != "sub" || !r.Stdin || !r.Background || r.SessionRequest.Dir != "" {
			t.Errorf("%v: asked %+v", headers, r)
		}
		post(t, url, guideCall("execute_code", `{"code":"x","idempotency_key":"k","session_id":"s`+strings.Join(headers, "")+`"}`), headers...)
		if r := <-asked; r.Key != "k" || r.Detached != (headers != nil) || (r.Patience > 0) != (headers != nil) {
			t.Errorf("%v: asked %+v", headers, r)
		}
		post(t, url, guideCall("execute_command", `{"command":"x","env":null,"working_directory":null,"stdin":null,"background":null,"idempotency_key":null}`), headers...)
		if r := <-asked; r.Vars != nil || r.Dir != "" || r.Stdin || r.Background || r.Key != "" {
			t.Errorf("%v: asked %+v", headers, r)
		}
		// What only a command has is nothing to code, as any other unknown member.
		post(t, url, guideCall("execute_code", `{"code":"x","env":7,"stdin":7}`), headers...)
		<-asked
	}
}
