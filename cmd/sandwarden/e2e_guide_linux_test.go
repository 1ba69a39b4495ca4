package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// What the contract fixes, byte for byte.
const (
	statusHead = `{"status":"healthy","version":"`
	toolNames  = `"wrapper_started":true,"tools_count":5,"available_tools":["execute_code","execute_command","get_sessions","stop_session","get_volume_path"]`
	runOptions = `"template":{"type":"string","description":"Sandbox template","enum":["python","node"],"default":"python"},"session_id":{"type":"string","description":"Optional session ID for session reuse"},"flavor":{"type":"string","enum":["small","medium","large"],"default":"small","description":"Resource configuration for the sandbox"},"timeout":{"type":"integer","description":"Optional execution timeout in seconds","minimum":1,"maximum":300}}`
	toolsList  = `{"jsonrpc":"2.0","id":1,"result":{"tools":[` +
		`{"name":"execute_code","description":"Execute code in a sandbox with automatic session management","inputSchema":{"type":"object","properties":{"code":{"type":"string","description":"Code to execute"},` + runOptions + `,"required":["code"]}},` +
		`{"name":"execute_command","description":"Execute a command in a sandbox with automatic session management","inputSchema":{"type":"object","properties":{"command":{"type":"string","description":"Command to execute"},"args":{"type":"array","items":{"type":"string"},"description":"Optional command arguments"},` + runOptions + `,"required":["command"]}},` +
		`{"name":"get_sessions","description":"Get information about active sandbox sessions","inputSchema":{"type":"object","properties":{"session_id":{"type":"string","description":"Optional specific session ID to query"}},"required":[]}},` +
		`{"name":"stop_session","description":"Stop a specific sandbox session and clean up its resources","inputSchema":{"type":"object","properties":{"session_id":{"type":"string","description":"ID of the session to stop"}},"required":["session_id"]}},` +
		`{"name":"get_volume_path","description":"Get configured volume mappings between host and container paths","inputSchema":{"type":"object","properties":{},"required":[]}}` +
		`]}}`
	noSessions = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"[]"}],"isError":false,"sessions":[]}}`
)

// Every curl line of the guide that concerns this server, with the very
// arguments but for the address, one after the other on one daemon. The wanted
// output is a beginning, or a regular expression when it begins with ^.
func TestGuide_CurlLines(t *testing.T) {
	wantCurl(t)
	s := serve(t, "MCP_ENABLE_CORS=true")
	for _, line := range []struct{ name, command, want string }{
		{"status", `curl http://localhost:8775/`, statusHead},
		{"list the tools", `curl -X POST http://localhost:8775/mcp \
  -H "Content-Type: application/json" \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'`, toolsList},
		{"list the tools in several lines", `curl -X POST http://localhost:8775/mcp \
     -H "Content-Type: application/json" \
     -d '{
       "jsonrpc": "2.0",
       "id": 1,
       "method": "tools/list",
       "params": {}
     }'`, toolsList},
		{"list the tools without params", `echo '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' | curl -X POST http://localhost:8775/mcp -H "Content-Type: application/json" -d @-`, toolsList},
		{"no sessions", `curl -X POST http://localhost:8775/mcp \
     -H "Content-Type: application/json" \
     -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_sessions","arguments":{}}}'`, noSessions},
		{
			"stop a session that is not there", `curl -X POST http://localhost:8775/mcp \
     -H "Content-Type: application/json" \
     -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"stop_session","arguments":{"session_id":"session-123"}}}'`,
			`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Session session-123 not found"}],"isError":false,"success":false,"session_id":"session-123"}}`,
		},
		{"run code", `curl -X POST http://localhost:8775/mcp \
     -H "Content-Type: application/json" \
     -d '{
       "jsonrpc": "2.0",
       "id": 1,
       "method": "tools/call",
       "params": {
         "name": "execute_code",
         "arguments": {
           "code": "print(\"Hello, World!\")",
           "template": "python",
           "flavor": "small"
         }
       }
     }'`, `^\{"jsonrpc":"2.0","id":1,"result":\{"content":\[\{"type":"text","text":"Hello, World!"\}\],"isError":false,"session_id":"[0-9a-f-]{36}","execution_time_ms":\d+,"session_created":true,"template":"python","code_success":true\}\}$`},
		{"with a timeout", `curl -X POST http://localhost:8775/mcp -H "Content-Type: application/json" -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{
     "name": "execute_code",
     "arguments": {
       "code": "1/0", "session_id": "session-123",
       "timeout": 300
     }}}'`, `^\{"jsonrpc":"2.0","id":1,"result":\{"content":\[\{"type":"text","text":"Traceback .*ZeroDivisionError: division by zero"\}\],"isError":false,"session_id":"session-123","execution_time_ms":\d+,"session_created":true,"template":"python","code_success":false\}\}$`},
		{
			"backup of the sessions", `curl -X POST http://localhost:8775/mcp \
  -H "Content-Type: application/json" \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_sessions","arguments":{}}}' \
  > sessions_backup.json; cat sessions_backup.json`,
			`^\{"jsonrpc":"2.0","id":1,"result":\{"content":\[\{"type":"text","text":"\[\\n  \{\\n    \\"session_id\\": .*"\}\],"isError":false,"sessions":\[\{"session_id":"[0-9a-f-]{36}","template":"python","flavor":"small","created_at":"[0-9T:.-]+","last_accessed":"[0-9T:.-]+","status":"ready","namespace":"default","sandbox_name":"[^"]+"\},\{"session_id":"session-123",.*\}\]\}\}$`,
		},
		{
			"stop it", `curl -X POST http://localhost:8775/mcp \
     -H "Content-Type: application/json" \
     -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"stop_session","arguments":{"session_id":"session-123"}}}'`,
			`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Session session-123 stopped successfully"}],"isError":false,"success":true,"session_id":"session-123"}}`,
		},
		{"preflight", `curl -i -H "Origin: http://localhost:3000" \
        -H "Access-Control-Request-Method: POST" \
        -H "Access-Control-Request-Headers: Content-Type" \
        -X OPTIONS \
        http://localhost:8775/mcp`, `^HTTP/1.1 200 OK[^{]*Access-Control-Allow-Headers: Content-Type\r\n[^{]*Access-Control-Allow-Origin: http://localhost:3000\r\n[^{]*OK$`},
		{"as a browser", `curl -i -X POST http://localhost:8775/mcp \
     -H "Content-Type: application/json" \
     -H "Origin: http://localhost:3000" \
     -d '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'`, `^HTTP/1.1 200 OK[^{]*Access-Control-Allow-Origin: http://localhost:3000\r\n[^{]*\{"jsonrpc"`},
		{"verbosely", `curl -v -X POST http://localhost:8775/mcp \
  -H "Content-Type: application/json" \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'`, toolsList},
		{"from cron", `curl -f http://localhost:8775/ || echo restart`, statusHead},
	} {
		t.Run(line.name, func(t *testing.T) { s.curl(t, line.command, line.want) })
	}
}

// What the guide does not have, but the contract of the same routes.
func TestGuide_Routes(t *testing.T) {
	wantCurl(t)
	s := serve(t)
	for _, line := range []struct{ name, command, want string }{
		{"status of mcp", `curl -i http://localhost:8775/mcp`, `^HTTP/1.1 200 OK\r\n(?s:.*)Content-Type: application/json\r\n(?s:.*)` + regexp.QuoteMeta(toolNames)},
		{"health", `curl http://localhost:8775/health`, `{"status":"healthy","wrapper_started":true,"server_started":true`},
		{"head", `curl -I http://localhost:8775/`, `^HTTP/1.1 200 OK\r\n[^{]*$`},
		{"unknown path", `curl -i http://localhost:8775/nonsense`, `^HTTP/1.1 404 Not Found\r\n[^{]*\{"detail":"Not Found"\}$`},
		{"unknown method", `curl -i -X PUT http://localhost:8775/mcp`, `^HTTP/1.1 405 Method Not Allowed\r\nAllow: OPTIONS, POST, GET\r\n[^{]*\{"detail":"Method Not Allowed"\}$`},
		{"trailing slash", `curl -i http://localhost:8775/mcp/`, `^HTTP/1.1 307 Temporary Redirect\r\n(?s:.*)Location: [^ ]*/mcp\r\n`},
		{
			"also on the root", `curl http://localhost:8775/ -H "Content-Type: application/json" -d '{"jsonrpc":"2.0","id":"x","method":"nonsense"}'`,
			`{"jsonrpc":"2.0","id":"x","error":{"code":-32601,"message":"Method not found: nonsense"}}`,
		},
		{"options without CORS", `curl -i -X OPTIONS http://localhost:8775/mcp`, `^HTTP/1.1 200 OK\r\n(?s:.*)Access-Control-Allow-Origin: \*\r\n`},
		{"a stranger's page", `curl -i http://localhost:8775/mcp -H "Origin: http://evil.example" -H "Content-Type: application/json" -d '{}'`, `^HTTP/1.1 403 Forbidden\r\n`},
		{"a stranger's name for us", `curl -i http://localhost:8775/mcp -H "Host: evil.example" -H "Content-Type: application/json" -d '{}'`, `^HTTP/1.1 403 Forbidden\r\n`},
	} {
		t.Run(line.name, func(t *testing.T) { s.curl(t, line.command, line.want) })
	}
}

// The curl lines of the README, as they stand there.
func TestReadme_CurlLines(t *testing.T) {
	wantCurl(t)
	text, err := os.ReadFile(filepath.Join(machine.root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t)
	wants := []string{
		`^\{"jsonrpc":"2.0","id":1,"result":\{"content":\[\{"type":"text","text":"42"\}\],"isError":false,"session_id":"demo",.*"session_created":true`,
		`^\{"session_id":"live",.*"events":"/v1/sessions/live/events"`,
		`^: stream open\n\nid: 1\nevent: session.ready\ndata: \{"seq":1,.*"session_id":"live"`,
		`^\{"jsonrpc":"2.0","id":1,"result":\{"content":\[\{"type":"text","text":"0\\n1\\n2\\n3\\n4"\}\],"isError":false,"session_id":"live",.*"session_created":false`,
		`^\{"execution_id":"[0-9a-f]+","session_id":"demo",.*"idempotency_key":"count-1","status":"(queued|running)"`, // it begins in a moment
		`^\{"execution_id":.*"status":"(queued|running)"`,
		`^\{"execution_id":.*"status":"running".*"output":\{"total":1`,
		`^\{"chunks":\[\{"stream":"stdout","text":".*"from":10,`,
		`^: stream open\n\nid: \d+\nevent: execution.started`,
		`^$`,
		`^\{"path":"/work/data.csv","type":"file","size":3,`,
		`^a,b$`,
		`^\{"files":\[\{"path":"data.csv",`,
	}
	lines := curlLines(string(text))
	if len(lines) != len(wants) {
		t.Fatalf("the README has %d curl lines, this test knows %d:\n%s", len(lines), len(wants), strings.Join(lines, "\n"))
	}
	for i, want := range wants {
		line, _, _ := strings.Cut(lines[i], " #")
		if strings.Contains(line, "$ID") {
			line = strings.ReplaceAll(line, "$ID", s.newest(t, "demo"))
		}
		if strings.Contains(line, "-sN") { // it goes on for good
			line = strings.Replace(line, "-sN", "-sN --max-time 2", 1) + " || true"
		}
		s.curl(t, line, want)
	}
}

// newest is the id of what was run last in a session.
func (s *server) newest(t *testing.T, session string) string {
	t.Helper()
	var got struct {
		Executions []struct {
			ID string `json:"execution_id"`
		}
	}
	if err := json.Unmarshal(jsonOf(t, s.members(t, "get_execution", arguments{"session_id": session})), &got); err != nil || len(got.Executions) == 0 {
		t.Fatalf("%s has run nothing: %v", session, err)
	}
	return got.Executions[0].ID
}

// curlLines returns the commands of a text's fenced blocks that begin with curl.
func curlLines(text string) []string {
	var lines []string
	for i, block := range strings.Split(text, "```") {
		code, isShell := strings.CutPrefix(block, "sh\n")
		if i%2 == 0 || !isShell {
			continue
		}
		for j, part := range strings.Split("\n"+code, "\ncurl ") {
			if j > 0 {
				lines = append(lines, "curl "+strings.TrimSpace(part))
			}
		}
	}
	return lines
}

// curl runs a line of shell in which this daemon takes the place of the usual
// address, and compares what it prints.
func (s *server) curl(t *testing.T, line, want string) {
	t.Helper()
	line = strings.NewReplacer("http://localhost:8775", s.url, "curl ", "curl --silent --show-error ").Replace(line)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = t.TempDir()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v: %s", line, err, stderr.String())
	}
	matched := strings.HasPrefix(string(out), want)
	if strings.HasPrefix(want, "^") {
		matched = regexp.MustCompile(want).Match(out)
	}
	if !matched {
		t.Errorf("%s\nprints\n%s\nwant\n%s", line, out, want)
	}
	if strings.HasPrefix(string(out), "{") && !json.Valid(out) {
		t.Errorf("%s\nprints no JSON: %s", line, out)
	}
}

func wantCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		sandboxtest.Skip(t, "there is no curl")
	}
}
