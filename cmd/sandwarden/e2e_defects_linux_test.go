package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The defects of the original that clients and operators can see, on a daemon
// with room. docs/compatibility.md lists them by the numbers used here.
func TestDefects(t *testing.T) {
	p := newPlace(t, "MSB_LOG_LEVEL=DEBUG", "MCP_ENABLE_CORS=true", "SANDWARDEN_LIMITS_OUTPUT_BYTES=64KiB", "MSB_DEFAULT_FLAVOR=medium")
	shared := filepath.Join(p.home, "shared")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(shared, "given"), []byte("from outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.home, 0o755); err != nil {
		t.Fatal(err)
	}
	// With the quotes that docker --env-file keeps.
	p.environ = append(p.environ, `MSB_SHARED_VOLUME_PATH='["`+shared+`:/shared:ro"]'`)
	s := p.serve(t)

	t.Run("01 names with the same beginning are two sessions", func(t *testing.T) {
		s.run(t, "session-123", "x = 'of 123'\nopen('/work/mark', 'w').close()")
		if got := s.run(t, "session-456", "import os\n'x' in globals(), os.path.exists('/work/mark')"); got != "(False, False)" {
			t.Errorf("the other session sees (variable, file) %s", got)
		}
		s.text(t, "stop_session", arguments{"session_id": "session-456"})
		if got := s.run(t, "session-123", "print(x)"); got != "of 123" {
			t.Errorf("after the end of the other: %q", got)
		}
	})
	t.Run("08 a timeout stops the code", func(t *testing.T) {
		s.run(t, "late", "kept = 7")
		const mark = "5078.25" // of our process among all
		got, err := s.call(t.Context(), "execute_code", arguments{
			"session_id": "late", "timeout": 1, "code": "import subprocess\nsubprocess.run(['sleep', '" + mark + "'])",
		})
		if err != nil || got.Error == nil || got.Error.Message != "Code execution failed: Code execution timed out" {
			t.Errorf("got %v, %+v", err, got.Error)
		}
		eventually(t, "the process is gone", func() bool { return !runs("sleep", mark) })
		if got := s.run(t, "late", "kept"); got != "7" {
			t.Errorf("the next call: %q", got)
		}
		got, err = s.call(t.Context(), "execute_command", arguments{"session_id": "late", "timeout": 1, "command": "sleep", "args": []string{mark}})
		if err != nil || got.Error == nil || got.Error.Message != "Command execution failed: Command execution timed out after 1 seconds" {
			t.Errorf("a command: %v, %+v", err, got.Error)
		}
		eventually(t, "the command is gone", func() bool { return !runs("sleep", mark) })
	})
	t.Run("09 no hidden bound of 300 seconds", func(t *testing.T) {
		for timeout, good := range map[int]bool{300: true, 301: true, 1800: true, 1801: false} {
			got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "late", "code": "1", "timeout": timeout})
			if err != nil || (got.Error == nil) != good {
				t.Errorf("%d: %v, %+v", timeout, err, got.Error)
			}
			if !good && got.Error != nil && got.Error.Message != "Parameter 'timeout' must be <= 1800" {
				t.Errorf("%d: %q", timeout, got.Error.Message)
			}
		}
	})
	t.Run("11 code and output are not logged", func(t *testing.T) {
		s.run(t, "log", "print('private-' + 'text')")
		s.text(t, "execute_command", arguments{"session_id": "log", "command": "echo private-text"})
		if strings.Contains(s.log.String(), "private-") {
			t.Error("the log has what a client ran")
		}
	})
	t.Run("14 strangers' pages and names are refused", func(t *testing.T) {
		for header, value := range map[string]string{"Origin": "http://evil.example", "Host": "evil.example"} {
			if got := s.statusWith(t, header, value); got != http.StatusForbidden {
				t.Errorf("%s: %d", header, got)
			}
		}
		if got := s.statusWith(t, "Origin", "http://localhost:3000"); got != http.StatusOK {
			t.Errorf("a page of this machine: %d", got)
		}
	})
	t.Run("15 output has a bound and says so", func(t *testing.T) {
		got := s.run(t, "long", "print('x' * 100000)")
		if !strings.HasSuffix(got, " bytes dropped]") || len(got) > 70000 {
			t.Errorf("%d bytes, which end with %q", len(got), got[len(got)-60:])
		}
	})
	t.Run("16 Python of many lines works", func(t *testing.T) {
		for code, want := range map[string]string{
			"for i in range(2):\n    if i:\n        print('odd')\n\n    else:\n        print('even')\nprint('end')":              "even\nodd\nend",
			"class A:\n\n    def f(self):\n\n        return 'method'\n\nA().f()":                                                 "'method'",
			"try:\n    1 / 0\nexcept ZeroDivisionError:\n    print('caught')\nfinally:\n    print('finally')":                    "caught\nfinally",
			"def g(x):\n    return [\n        x,\n\n        x,\n    ]\ng('''a\n\n  b''')[0]":                                     `'a\n\n  b'`,
			"import functools\n\n@functools.cache\ndef h():\n\treturn 5\n\nwith open('/work/f', 'w') as f:\n\tf.write('x')\nh()": "5",
		} {
			if got := s.run(t, "lines", code); got != want {
				t.Errorf("%q prints %q, want %q", code, got, want)
			}
		}
	})
	t.Run("17 text on standard error is no failure", func(t *testing.T) {
		for _, code := range []string{"import sys\nprint('careful', file=sys.stderr)", "import warnings\nwarnings.warn('careful')"} {
			if got := s.run(t, "loud", code); !strings.Contains(got, "careful") {
				t.Errorf("got %q", got)
			}
		}
		got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "loud", "code": "raise ValueError"})
		if err != nil || got.Error != nil || got.Result.CodeSuccess {
			t.Errorf("an exception: %v, %+v, %+v", err, got.Error, got.Result)
		}
	})
	t.Run("18 words in the output make no other error of it", func(t *testing.T) {
		got, err := s.call(t.Context(), "execute_command", arguments{"session_id": "loud", "command": "echo 'connection timeout, memory limit, syntax' >&2; exit 3"})
		if err != nil || got.Error != nil || got.Result.ExitCode != 3 || !got.Result.IsError {
			t.Errorf("a command: %v, %+v, %+v", err, got.Error, got.Result)
		}
		got, err = s.call(t.Context(), "execute_code", arguments{"session_id": "loud", "code": "raise Exception('compilation timeout: connection')"})
		if err != nil || got.Error != nil || got.Result.IsError || got.Result.CodeSuccess {
			t.Errorf("code: %v, %+v, %+v", err, got.Error, got.Result)
		}
	})
	t.Run("20 and 21 each session has the volume, read-only as asked", func(t *testing.T) {
		want := "[\n  {\n    \"host_path\": \"" + shared + "\",\n    \"container_path\": \"/shared\"\n  }\n]"
		if got := s.text(t, "get_volume_path", nil); got != want {
			t.Errorf("got %s", got)
		}
		for _, name := range []string{"vol-1", "vol-2"} {
			if got := s.run(t, name, "print(open('/shared/given').read())"); got != "from outside" {
				t.Errorf("%s reads %q", name, got)
			}
			got, err := s.call(t.Context(), "execute_command", arguments{"session_id": name, "command": "touch /shared/mine"})
			if err != nil || got.Error != nil || got.Result.ExitCode == 0 || !strings.Contains(got.Result.Content[0].Text, "Read-only") {
				t.Errorf("%s: %v, %+v", name, err, got.Result)
			}
		}
	})
	t.Run("session_created is of this call", func(t *testing.T) {
		for i, want := range []bool{true, false} {
			if got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "born", "code": "1"}); err != nil || got.Error != nil || got.Result.Created != want {
				t.Errorf("call %d: %v, %+v", i, err, got.Result)
			}
		}
		s.text(t, "stop_session", arguments{"session_id": "born"})
		if got := s.sessions(t); slices.Contains(got, "born") {
			t.Errorf("after its end there are %q", got)
		}
		if got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "born", "code": "1"}); err != nil || got.Error != nil || !got.Result.Created {
			t.Errorf("again: %v, %+v", err, got.Result)
		}
	})
	t.Run("template and flavor of reuse, and the default flavor", func(t *testing.T) {
		s.run(t, "kinds", "x = 5")
		if got := s.text(t, "execute_code", arguments{"session_id": "kinds", "code": "x", "template": "node", "flavor": "large"}); got != "5" {
			t.Errorf("got %q", got)
		}
		got, err := s.call(t.Context(), "get_sessions", arguments{"session_id": "kinds"})
		if err != nil || got.Error != nil || got.Result.Sessions[0]["template"] != "python" || got.Result.Sessions[0]["flavor"] != "medium" {
			t.Errorf("got %v, %+v", err, got.Result)
		}
	})
	t.Run("failed probes mint no session, and one id may be used twice", s.handshakes)
	t.Run("SIGHUP ends nothing", func(t *testing.T) {
		s.run(t, "hup", "x = 6")
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it says so", func() bool { return strings.Contains(s.log.String(), "configuration reloaded") })
		if got := s.run(t, "hup", "x"); got != "6" {
			t.Errorf("got %q", got)
		}
	})
}

// statusWith is how the daemon answers a request with one header.
func (s *server) statusWith(t *testing.T, header, value string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/mcp", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(header, value)
	if header == "Host" {
		r.Host = value
	}
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// Number 12: one program that needs nothing.
func TestPlain_NeedsNoLibraries(t *testing.T) {
	if isRace() {
		t.Skip("the race detector needs the C library")
	}
	file, err := elf.Open(newPlace(t).program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("it is linked to libraries")
	}
}

// Number 10: commands that, if they were kept, would show.
func TestPlain_CommandsAreNotKept(t *testing.T) {
	s := serve(t)
	const calls, size = 400, 100_000
	send := func(n int) {
		var all sync.WaitGroup
		defer all.Wait()
		for range 4 {
			all.Go(func() {
				for range n / 4 {
					if _, err := s.call(t.Context(), "execute_command", arguments{"session_id": "talk", "command": ": " + strings.Repeat("x", size)}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	send(calls / 4)
	before := s.resident(t)
	send(calls)
	if grown := s.resident(t) - before; grown > calls*size/2 && !isRace() { // which takes memory for each access
		t.Errorf("%d commands of %d bytes made the daemon grow by %d", calls, size, grown)
	}
}

// resident is the memory that the daemon has.
func (s *server) resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// handshakes does what made the original keep sessions, or hang.
func (s *server) handshakes(t *testing.T) {
	send := func(body string, headers ...string) (status int, session string, err error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/mcp", strings.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		response, err := s.client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		return response.StatusCode, response.Header.Get("Mcp-Session-Id"), nil
	}
	for _, headers := range [][]string{{}, {"Mcp-Session-Id", "0123456789abcdef0123456789abcdef"}, {"Mcp-Protocol-Version", "1999-01-01"}} {
		if _, session, err := send(`{"jsonrpc":"2.0","id":1,"method":"nonsense"}`, headers...); err != nil || session != "" {
			t.Errorf("%q: %q, %v", headers, session, err)
		}
	}
	_, session, err := send(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`)
	if err != nil || session == "" {
		t.Fatalf("initialize: %q, %v", session, err)
	}
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() {
			body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"import time; time.sleep(0.2)","session_id":"twice-%d"}}}`, i)
			if status, _, err := send(body, "Mcp-Session-Id", session); err != nil || status >= http.StatusInternalServerError {
				t.Errorf("%d: %d, %v", i, status, err)
			}
		})
	}
	all.Wait() // in the original, for ever
}

func TestDefects_Limits(t *testing.T) {
	t.Run("02 a limit of one session reuses it", func(t *testing.T) {
		s := serve(t, "MSB_MAX_SESSIONS=1")
		s.run(t, "only", "x = 8")
		for range 3 {
			if got := s.run(t, "only", "x"); got != "8" {
				t.Errorf("got %q", got)
			}
		}
		// 5: work in flight is not evicted, also when a short call has ended meanwhile.
		call := s.begin(t, "only", awaiting("go")+"print('all of it')")
		eventually(t, "it runs", func() bool { return strings.Contains(s.text(t, "get_sessions", nil), `"running"`) })
		s.text(t, "execute_command", arguments{"session_id": "only", "command": "true"})
		next := s.begin(t, "next", "print('its turn')")
		s.touch(t, "only", "go")
		if got := <-call; got.Error != nil || got.Result.Content[0].Text != "all of it" {
			t.Errorf("the running call: %+v, %+v", got.Error, got.Result)
		}
		if got := <-next; got.Error != nil || got.Result.Content[0].Text != "its turn" {
			t.Errorf("the one that waited for room: %+v, %+v", got.Error, got.Result)
		}
	})
	t.Run("03 a failed creation holds no place", func(t *testing.T) {
		s := serve(t, "MSB_MAX_SESSIONS=2", "MSB_ENABLE_LRU_EVICTION=false", "SANDWARDEN_LIMITS_ADMISSION_WAIT=0", "SANDWARDEN_TEMPLATE_NODE_PATH=/bin/false")
		for i := range 3 {
			got, err := s.call(t.Context(), "execute_code", arguments{"session_id": fmt.Sprint("node-", i), "template": "node", "code": "1"})
			if err != nil || got.Error == nil {
				t.Errorf("a template that cannot be: %v, %+v", err, got.Result)
			}
		}
		for _, name := range []string{"a", "b"} {
			if got := s.run(t, name, "1 + 1"); got != "2" {
				t.Errorf("got %q", got)
			}
		}
		got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "c", "code": "1"})
		if err != nil || got.Error == nil || got.Error.Code != -32600 || got.Error.Message != "Resource limit exceeded: Sessions limit exceeded: 2 >= 2" {
			t.Errorf("one too many: %v, %+v, %+v", err, got.Error, got.Result)
		}
	})
	t.Run("04 and 19 four at once, with room for two", func(t *testing.T) {
		s := serve(t, "MSB_MAX_SESSIONS=2", "MSB_MAX_TOTAL_MEMORY_MB=2048")
		s.run(t, "old-1", "1") // both fit: nothing is counted twice
		s.run(t, "old-2", "2")
		if got := s.sessions(t); len(got) != 2 {
			t.Errorf("sessions %q", got)
		}
		var calls []<-chan answer
		for i := range 4 {
			calls = append(calls, s.begin(t, fmt.Sprint("new-", i), "6 * 7"))
		}
		for i, call := range calls {
			if got := <-call; got.Error != nil || got.Result.Content[0].Text != "42" {
				t.Errorf("call %d: %+v", i, got.Error)
			}
		}
		if got := s.sessions(t); len(got) > 2 {
			t.Errorf("sessions %q", got)
		}
	})
	t.Run("19 processors are limited", func(t *testing.T) {
		s := serve(t, "MSB_MAX_TOTAL_CPU_CORES=1", "SANDWARDEN_LIMITS_ADMISSION_WAIT=0", "MSB_ENABLE_LRU_EVICTION=false")
		s.run(t, "a", "1")
		got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "b", "code": "1"})
		if err != nil || got.Error == nil || got.Error.Data == nil || got.Error.Data.Context["resource_type"] != "cpu" {
			t.Errorf("got %v, %+v", err, got.Error)
		}
	})
}

// The looks for idle sessions spare what runs, and those for orphans what is of
// another daemon.
func TestDefects_BackgroundWork(t *testing.T) {
	eager := []string{"MSB_SESSION_TIMEOUT=2", "MSB_CLEANUP_INTERVAL=1", "MSB_ORPHAN_CLEANUP_INTERVAL=1"}
	s, other := serve(t, eager...), serve(t, "MSB_ORPHAN_CLEANUP_INTERVAL=1")
	other.run(t, "neighbour", "x = 9")
	s.run(t, "idle", "1")
	call := s.begin(t, "long", awaiting("go")+"x = 1\nprint('to its end')")
	eventually(t, "it runs", func() bool { return strings.Contains(s.text(t, "get_sessions", nil), `"running"`) })
	s.text(t, "execute_command", arguments{"session_id": "long", "command": "true"}) // a short call that ends
	eventually(t, "the idle one ends", func() bool { return !slices.Contains(s.sessions(t), "idle") })
	time.Sleep(2 * time.Second) // and another look comes, when that call is as old
	s.touch(t, "long", "go")
	if got := <-call; got.Error != nil || got.Result.Content[0].Text != "to its end" {
		t.Errorf("the long call: %+v, %+v", got.Error, got.Result)
	}
	if got := s.run(t, "long", "x"); got != "1" {
		t.Errorf("after it: %q", got)
	}
	if got := other.run(t, "neighbour", "x"); got != "9" {
		t.Errorf("the other daemon's: %q", got)
	}
	eventually(t, "then it is idle", func() bool { return len(s.sessions(t)) == 0 })
}

// Defects of how it starts.
func TestDefects_Start(t *testing.T) {
	p := newPlace(t)
	t.Run("11 standard output is the protocol's", func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), patience)
		defer stop()
		cmd := p.command("serve", "--transport", "stdio", "--log-level", "DEBUG")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
		for i, code := range []string{`print('private-' + 'text')`, `import os; os.system('echo private-text')`} {
			fmt.Fprintf(in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":%q,"session_id":"a"}}}`+"\n", i, code)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, stderr.String())
		}
		lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		for _, line := range lines {
			if !json.Valid([]byte(line)) {
				t.Errorf("no JSON: %q", line)
			}
		}
		if len(lines) != 2 || strings.Contains(stderr.String(), "private-") {
			t.Errorf("got %q, and logged %s", lines, stderr.String())
		}
	})
	t.Run("13 bad settings end it before it listens", func(t *testing.T) {
		for variable, want := range map[string]string{
			"MSB_MAX_SESSIONS=0":                 "Configuration error: MSB_MAX_SESSIONS must be a positive integer, got 0\n",
			"MSB_DEFAULT_FLAVOR=huge":            "Configuration error: Invalid MSB_DEFAULT_FLAVOR 'huge'. Valid options are: small, medium, large\n",
			"MSB_LOG_MAX_SIZE=x":                 "Configuration error: MSB_LOG_MAX_SIZE must be a number of bytes",
			"MSB_LOG_LEVEL=LOUD":                 "Configuration error: ",
			`MSB_SHARED_VOLUME_PATH={"/a":"/b"}`: "Configuration error: MSB_SHARED_VOLUME_PATH must be an array of strings, not a JSON object.",
			"MSB_SERVER_URL=127.0.0.1:5555":      "Configuration error: Invalid server URL format: 127.0.0.1:5555. Must start with http:// or https://",
			"MSB_SESSION_CLEANUP_INTERVAL=1800":  "Configuration error: Cleanup interval (1800s) must be less than session timeout (1800s)",
			"MCP_SERVER_HOST=0.0.0.0":            "other machines could reach 0.0.0.0",
			"MSB_ENABLE_LRU_EVICTION=maybe":      "Configuration error: MSB_ENABLE_LRU_EVICTION must be a valid boolean value (true/false, 1/0, yes/no, on/off, enabled/disabled), got 'maybe'\n",
			"MSB_SANDBOX_START_TIMEOUT=0":        "Configuration error: MSB_SANDBOX_START_TIMEOUT must be a positive number, got 0",
			"MSB_MAX_TOTAL_MEMORY_MB=512":        "Configuration error: Max total memory (512MB) is less than minimum needed for default flavor (1024MB)",
			"MCP_SERVER_PORT=70000":              "Configuration error: Invalid MCP_SERVER_PORT: Invalid port number: 70000\n",
		} {
			cmd := p.command("serve")
			cmd.Env = append(cmd.Env, variable)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), want) || strings.Contains(string(out), "sandwarden is") {
				t.Errorf("%s: %v, %s", variable, err, out)
			}
		}
	})
	t.Run("14 nobody without a token", func(t *testing.T) {
		file := filepath.Join(p.home, "tokens")
		token, err := p.command("token", "new", "alice", "--tokens-file", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		q := newPlace(t, "SANDWARDEN_TOKENS_FILE="+file)
		s := q.serve(t)
		if got := s.statusWith(t, "Authorization", "Bearer wrong"); got != http.StatusUnauthorized {
			t.Errorf("a wrong token: %d", got)
		}
		if got := s.statusWith(t, "Authorization", "Bearer "+strings.TrimSpace(string(token))); got != http.StatusOK {
			t.Errorf("the right one: %d", got)
		}
	})
}

// 7: what a daemon made ends with it, and what a crash leaves is found again.
// TestSignal_EndsEverything and TestKill_NextStartHasWhatWasLeft show the rest.
func TestDefects_Crash(t *testing.T) {
	p := newPlace(t)
	s := p.serve(t)
	s.run(t, "a", "1")
	agents := s.kill(t)
	next := p.serve(t)
	if got := next.sessions(t); len(got) != 1 || len(agents) != 1 || isGone(agents[0]) {
		t.Errorf("sessions %q, agents %q", got, agents)
	}
	next.stop(t, syscall.SIGTERM)
	if !isGone(agents[0]) {
		t.Errorf("the agent %q is left", agents[0])
	}
}
