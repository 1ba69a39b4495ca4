package microsandbox

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/sandbox"
)

// TestDecode goes through the statuses and bodies of both dialects.
func TestDecode(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		result string
		kind   sandbox.Kind // of what a client is told
		say    string       // a part of it
	}{
		"a result":                {status: 200, body: `{"jsonrpc":"2.0","result":"ok","id":1}`, result: `"ok"`},
		"a result without an id":  {status: 200, body: `{"jsonrpc":"2.0","result":{"a":[]}}`, result: `{"a":[]}`},
		"an error that is null":   {status: 200, body: `{"result":1,"error":null}`, result: `1`},
		"a JSON-RPC error at 200": {status: 200, body: `{"jsonrpc":"2.0","error":{"code":-32603,"message":"no luck"},"id":1}`, kind: sandbox.Unavailable, say: "no luck"},
		"no version":              {status: 400, body: `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid or missing jsonrpc version field"}}`, kind: sandbox.Unavailable, say: "jsonrpc version"},
		"no such method":          {status: 404, body: `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: sandbox.start"}}`, kind: sandbox.Unavailable, say: "does not know a method"},
		"bad params":              {status: 400, body: `{"error":"Sandbox name cannot be empty","code":2001}`, kind: sandbox.Invalid, say: "Sandbox name cannot be empty"},
		"no key":                  {status: 401, body: `{"error":"Invalid credentials","code":1001}`, kind: sandbox.Unavailable, say: "does not take our key"},
		"an old key":              {status: 401, body: `{"error":"Invalid or expired token","code":1004}`, kind: sandbox.Unavailable, say: "does not take our key"},
		"another namespace":       {status: 403, body: `{"error":"Access denied","code":3001}`, kind: sandbox.Unavailable, say: "another namespace"},
		"not there":               {status: 404, body: `{"error":"Sandbox 'x' is not running","code":4001}`, kind: sandbox.NotFound, say: "is not running"},
		"no reason":               {status: 500, body: `{"error":"Internal server error","code":5002}`, kind: sandbox.Unavailable, say: "Internal server error"},
		"with a reason":           {status: 500, body: `{"error":"Internal server error","code":5002,"kind":"exhausted","reason":"no room"}`, kind: sandbox.Exhausted, say: "no room"},
		"a timeout":               {status: 500, body: `{"error":"Internal server error","code":5002,"kind":"timeout"}`, kind: sandbox.Timeout},
		"text":                    {status: 415, body: "Expected request with `Content-Type: application/json`\n", kind: sandbox.Unavailable, say: "Expected request"},
		"too long":                {status: 413, body: "length limit exceeded", kind: sandbox.Invalid, say: "length limit"},
		"a page":                  {status: 200, body: "<html>", kind: sandbox.Unavailable, say: "not a microsandbox server"},
		"nothing":                 {status: 200, body: `{}`, kind: sandbox.Unavailable, say: "not a microsandbox server"},
		"a list":                  {status: 200, body: `[]`, kind: sandbox.Unavailable, say: "not a microsandbox server"},
		"an error of no form":     {status: 500, body: `{"error":[1]}`, kind: sandbox.Unavailable},
		"a proxy's":               {status: 401, body: `who are you`, kind: sandbox.Unavailable, say: "who are you"},
		"control characters":      {status: 400, body: `{"error":"a\u001b[31m\nb","code":2001}`, kind: sandbox.Invalid, say: "a [31m b"},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := decode(test.status, []byte(test.body))
			if test.result != "" {
				if string(result) != test.result || err != nil {
					t.Errorf("got %s, %v; want %s", result, err, test.result)
				}
				return
			}
			told, ok := errors.AsType[*sandbox.Error](fault("start", "sb-1", err))
			if !ok || told.Kind != test.kind || !strings.Contains(told.Detail, test.say) || told.Op != "start" || told.ID != "sb-1" {
				t.Errorf("got %+v, want %v and %q", told, test.kind, test.say)
			}
			if told != nil && told.Kind == sandbox.Unavailable && told.Remedy == "" {
				t.Error("it does not say what to do")
			}
		})
	}
}

func TestOutcomeOf(t *testing.T) {
	for body, want := range map[string]outcome{
		`{"command":"x","args":[],"exit_code":3,"success":false,"output":[{"stream":"stdout","text":"a"},{"stream":"stderr","text":"e"},{"stream":"stdout","text":"b"}]}`: {Exit: 3, Stdout: "a\nb", Stderr: "e"},
		`{}`:                             {Exit: -1},
		`{"exit_code":0,"output":null}`:  {},
		`{"exit_code":0,"output":[{}]}`:  {},
		`{"exit_code":null,"other":[1]}`: {Exit: -1},
	} {
		got, err := outcomeOf(json.RawMessage(body))
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	for _, body := range []string{`[]`, `"x"`, `{"output":"text"}`, `{"exit_code":"0"}`} {
		if _, err := outcomeOf(json.RawMessage(body)); !errors.Is(err, errGarbled) {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","result":"Sandbox a started successfully","id":1}`, `{"error":"Internal server error","code":5002}`,
		`{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: x"}}`, `{"result":{"sandboxes":[{"namespace":"default","name":"a","running":true,"cpu_usage":1.5,"memory_usage":3,"disk_usage":null}]}}`,
		`{"result":{"exit_code":0,"output":[{"stream":"stdout","text":"x"}]}}`, `null`, `{"error":{}}`, "\xff",
	} {
		f.Add(200, []byte(seed))
		f.Add(500, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		result, err := decode(status, body)
		if err == nil {
			if status != 200 || len(result) == 0 {
				t.Errorf("%d %q is a result: %q", status, body, result)
			}
			if all, err := metricsOf(result); err == nil && all == nil {
				t.Error("no metrics are a result")
			}
			_, _ = outcomeOf(result)
			return
		}
		told, ok := errors.AsType[*sandbox.Error](fault("x", "y", err))
		if !ok || told.Detail == "" || !utf8.ValidString(told.Detail) || strings.ContainsAny(told.Detail, "\n\r\x1b") || len(told.Detail) > 3000 {
			t.Errorf("%d %q is told as %+v", status, body, told)
		}
	})
}
