package mcp_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// Every cause of death is told in every dialect, with what was seen and what to
// do, at once and later.
func TestCauses_InEveryDialect(t *testing.T) {
	for _, cause := range []sandbox.Cause{
		sandbox.CauseOOM, sandbox.CauseWallTimeout, sandbox.CauseCPUTimeout, sandbox.CausePids, sandbox.CauseDisk, sandbox.CauseSeccomp,
		sandbox.CauseEvicted, sandbox.CauseIdle, sandbox.CauseCrashed, sandbox.CauseKilled, sandbox.CauseShutdown, sandbox.CauseAgentLost,
		sandbox.CauseHostMemory, "of tomorrow",
	} {
		fake := &transporttest.Sessions{Run: func(_ context.Context, _ sandbox.ExecRequest, result *sandbox.ExecResult) error {
			result.Exit = sandbox.Exit{Code: 137, Cause: cause, Evidence: "what was seen", StateLost: true}
			return nil
		}}
		url := serve(t, fake, mcp.Options{})
		contract := cause == sandbox.CauseWallTimeout // whose text in the guide is fixed
		typed := []string{`"cause":"` + string(cause) + `"`, `"evidence":"what was seen"`, `"remedy":"`, `"message":"`, `"state_lost":true`, `"status":"` + string(sandbox.StatusOf(&sandbox.Exit{Cause: cause})) + `"`}
		for _, call := range []string{guideCall("execute_code", `{"code":"x"}`), guideCall("execute_command", `{"command":"x"}`)} {
			_, got := post(t, url, call)
			want := []string{`"error":{"code":-32603`, "what was seen", `"recovery_suggestions":["`}
			if contract {
				want[1] = "timed out"
			}
			expect(t, string(cause)+", guide", got, want)
			_, got = post(t, url, call, version, "2025-06-18")
			expect(t, string(cause)+", handshake", got, append([]string{`"isError":true`, `"recovery_suggestions":["`}, typed...))
		}
		const look = `{"execution_id":"exec-1"}`
		_, got := post(t, url, guideCall("get_execution", look))
		expect(t, string(cause)+", later, guide", got, append([]string{`"isError":false`}, typed...))
		_, got = post(t, url, guideCall("get_execution", look), version, "2025-06-18")
		expect(t, string(cause)+", later, handshake", got, typed)
	}
}

// So is every kind of error, also of runs that never began.
func TestKinds_InEveryDialect(t *testing.T) {
	for kind := sandbox.Other; kind <= sandbox.NoSpace; kind++ {
		err := &sandbox.Error{Kind: kind, Cause: sandbox.CauseAgentLost, Detail: "what is wrong", Remedy: "What to do"}
		fake := &transporttest.Sessions{}
		url := serve(t, fake, mcp.Options{})
		post(t, url, guideCall("execute_code", `{"code":"x","session_id":"s"}`))
		fake.Reject = err
		for tool, arguments := range map[string]string{
			"execute_code": `{"code":"x","idempotency_key":"k"}`, "execute_command": `{"command":"x","background":true}`, "get_execution": `{"execution_id":"exec-1"}`,
			"send_input": `{"execution_id":"exec-1","close":true}`, "cancel_execution": `{"execution_id":"exec-1"}`,
			"read_file": `{"session_id":"s","path":"p"}`, "write_file": `{"session_id":"s","path":"p","content":""}`, "list_files": `{"session_id":"s"}`,
		} {
			_, got := post(t, url, guideCall(tool, arguments))
			expect(t, kind.String()+", guide, "+tool, got, []string{`"error":{"code":-32`, `"message":"`})
			if kind != sandbox.Invalid && kind != sandbox.Other { // the contract has no data there
				expect(t, kind.String()+", guide, "+tool, got, []string{`"recovery_suggestions":["What to do",`})
			}
			_, got = post(t, url, guideCall(tool, arguments), version, "2025-06-18")
			expect(t, kind.String()+", handshake, "+tool, got, []string{`"isError":true`, `"kind":"` + kind.String() + `"`, `"remedy":"What to do"`})
			if kind == sandbox.Stopped {
				expect(t, kind.String()+", handshake, "+tool, got, []string{`"cause":"agent_lost"`, `"evidence":"what is wrong"`})
			}
		}
	}
}

func expect(t *testing.T, name, got string, want []string) {
	t.Helper()
	for _, part := range want {
		if !strings.Contains(got, part) {
			t.Errorf("%s: %s\nlacks %s", name, got, part)
		}
	}
}
