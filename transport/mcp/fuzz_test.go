package mcp_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// FuzzRequest sends any bytes in each dialect. Whatever they are, the answer is
// one JSON-RPC response, with the id of the request where it has one, or 202.
func FuzzRequest(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `"x"`, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"x","timeout":9e9}}}`,
		`{"jsonrpc":"2.0","id":"a\"b\\","method":"tools/call","params":{"name":"execute_command","arguments":{"command":"x","args":["a","\u00e9",{"b":[1,{}]}]}}}`,
		`{"jsonrpc":"2.0","id":{"a":[{}]},"method":"tools/call","params":{"name":"get_volume_mappings","arguments":{"params":{}}}}`,
		`{"jsonrpc":"2.0","id":-0.0e+0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`,
		`{"\u006asonrpc":"\u0032.0","method":"ping","id":1,"id":2}`,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", ` { "a" : [ ] , "b":"}" } `, `{"result":1,"jsonrpc":"2.0"}`,
		`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"stop_session","arguments":{"session_id":""},"_meta":{"progressToken":0}}}`,
		`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"execute_command","arguments":{"command":"x","session_id":"s","env":{"A":"b"},"stdin":true,"background":true,"idempotency_key":"k","working_directory":"d"}}}`,
		`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"get_execution","arguments":{"execution_id":"exec-1","wait":0,"until":"output","cursor":-3,"tail":2,"grep":"a|b","max_bytes":300}}}`,
		`{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"send_input","arguments":{"execution_id":"exec-1","base64":"/w==","close":true}}}`,
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"cancel_execution","arguments":{"execution_id":"exec-1","mode":"kill"}}}`,
		`{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"read_file","arguments":{"session_id":"s","path":"p","first_line":1,"last_line":2,"size":3,"encoding":"auto"}}}`,
		`{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"write_file","arguments":{"session_id":"s","path":"p","content":"YQ==","encoding":"base64","append":true,"mode":"755"}}}`,
		`{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{"name":"list_files","arguments":{"session_id":"s","recursive":true,"limit":5}}}`,
	} {
		for dialect := range byte(3) {
			f.Add([]byte(body), dialect)
		}
	}
	h := mcp.New(&transporttest.Sessions{}, mcp.Options{})
	f.Fuzz(func(t *testing.T, body []byte, dialect byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		switch dialect % 3 {
		case 1:
			r.Header.Set("Mcp-Protocol-Version", "2025-06-18")
		case 2:
			r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusAccepted {
			if w.Body.Len() > 0 {
				t.Errorf("202 with a body: %s", w.Body)
			}
			return
		}
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("status %d", w.Code)
		}
		var answer struct {
			JSONRPC string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Result  json.RawMessage `json:"result"`
			Error   *struct{ Code int }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.JSONRPC != "2.0" ||
			(answer.Result == nil) == (answer.Error == nil) {
			t.Fatalf("the answer to %q is %s (%v)", body, w.Body, err)
		}
		if want, ok := idOf(body); ok && w.Code == 200 && string(answer.ID) != want {
			t.Errorf("the id of the answer to %q is %s, want %s", body, answer.ID, want)
		}
	})
}

// idOf is the id of a request by other means: the last one, compact.
func idOf(body []byte) (string, bool) {
	var m map[string]json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &m) != nil || strings.Contains(string(body), `\u`) {
		return "", false
	}
	raw, ok := m["id"]
	if !ok {
		return "null", true
	}
	var b bytes.Buffer
	return func() string {
		if json.Compact(&b, raw) != nil {
			return ""
		}
		return b.String()
	}(), true
}
