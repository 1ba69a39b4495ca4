package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// asPython lets the guide's lines stand as they are.
const asPython = `#!/bin/sh
case "$1 $2" in
'-m mcp_server.main') shift 2 && exec mcp_server "$@" ;;
esac
exec python3 "$@"
`

// leftOut are the guide's lines that TestGuide_ShellLines and TestGuide_CurlLines
// do not try.
func leftOut() map[string]string {
	return map[string]string{
		"curl and nc to port 5555, telnet, nslookup, ping":       "the second server is msb.listen, in transport/msb; there is no name to resolve",
		"curl -X DELETE http://127.0.0.1:5555/api/v1/sessions":   "is of the API that msb.listen serves, in transport/msb; sandwarden purge, in TestTroubleshooting",
		"./start_msbserver_debug.sh, /path/to/microsandbox/logs": "belong to the second server",
		"python -c with MCPServerConfig":                         "mcp_server --check-config, below",
		"pip, memory_profiler, PYTHONHTTPSVERIFY":                "there is no Python in the daemon",
		"docker, systemctl, logrotate":                           "need an engine, systemd or an installed service; deploy has tests of its files",
		"ufw, iptables, update-ca-certificates, tcpdump, perf":   "change the host or need its rights",
		"htop, iotop, vmstat, strace, watch, tail -f":            "need a terminal, or do not end",
		"openssl s_client, curl -vI https://…":                   "need a host of the reader's; TestTroubleshooting has one with TLS",
		"sleep 10":                                               "TestGuide_ShellLines looks whether the port is free by then",
	}
}

// The lines of the guide that are not curl's, as they stand there, but for the
// ampersand where one would open another terminal.
func TestGuide_ShellLines(t *testing.T) {
	o := newOperator(t)
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the guide's lines are for bash")
	}
	if err := os.WriteFile(filepath.Join(o.home, "bin", "python"), []byte(asPython), 0o755); err != nil {
		t.Fatal(err)
	}
	o.environ = append(o.environ, "MSB_LOG_FILE="+filepath.Join(o.home, "log", "mcp-server.log"))
	const (
		behind   = " >/dev/null 2>&1 &\n"
		answers  = "until curl -sf http://localhost:8775/ready; do sleep 0.1; done"
		answers2 = "until curl -sf http://localhost:8001/ready; do sleep 0.1; done"
		execute  = `curl -s -X POST http://localhost:8775/mcp -H "Content-Type: application/json" -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"session_id":"a","timeout":1,"code":"import subprocess\nsubprocess.run([\"sleep\", \"9\"])"}}}'`
		valid    = "\npython -m mcp_server.main --check-config"
		isReady  = `"status":"ready"`
	)
	for _, line := range []struct{ name, lines, needs, want string }{
		{"debug logging", "export MSB_LOG_LEVEL=DEBUG\npython -m mcp_server.main --log-level DEBUG" + behind + answers, "", isReady},
		{"a call that fails", execute, "", "Code execution timed out"},
		{"search for failures", `grep -i "error\|exception\|failed" /var/log/mcp-server/mcp-server.log`, "", `\[CODE_EXECUTION_ERROR\]`},
		{"search for connections", `grep "Connection" /var/log/mcp-server/mcp-server.log`, "", "Connection opened"},
		{"ports", `netstat -tlnp | grep -E ':(8775|5555)'`, "netstat", `:8775 .*LISTEN`},
		{"ports, the other way", `lsof -i :8775`, "lsof", `mcp_serve.*LISTEN`},
		{"the port, from outside", `nc -zv localhost 8775`, "nc", ``},
		{"environment", "env | grep MCP_\nenv | grep MSB_", "", `(?s)MCP_SERVER_PORT=8775.*MSB_LOG_FILE=`},
		{"JSON", `echo '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' | python -m json.tool`, "", `"method": "tools/list"`},
		{"resources", "free -h\ndf -h\nps aux | grep mcp_server", "free", "mcp_server"},
		{"memory of the process", `ps -o pid,ppid,cmd,%mem,%cpu -p $(pgrep -f mcp_server)`, "", `(?s)^[^\n]*%CPU\n[^\n]*mcp_server[^\n]*\n$`},
		{"descriptors", `lsof -p $(pgrep -f mcp_server)`, "lsof", `TCP|sock`},
		{"limits", "export MSB_MAX_SESSIONS=20\nexport MSB_MAX_TOTAL_MEMORY_MB=16384" + valid, "", "Configuration is valid"},
		{"cleanup", "export MSB_SESSION_TIMEOUT=900  # 15 minutes\nexport MSB_SESSION_CLEANUP_INTERVAL=60  # 1 minute\nexport MSB_DEFAULT_FLAVOR=small" + valid, "", "Configuration is valid"},
		{"memory", "export MSB_MAX_TOTAL_MEMORY_MB=4096\nexport MSB_MAX_SESSIONS=10" + valid, "", "Configuration is valid"},
		{"timeouts", "export MSB_CONNECTION_TIMEOUT=60\nexport MSB_REQUEST_TIMEOUT=600" + valid, "", "Configuration is valid"},
		{"CORS", "export MCP_ENABLE_CORS=true" + valid, "", "Configuration is valid"},
		{"structured logs", "export MSB_LOG_FORMAT=json" + valid, "", "Configuration is valid"},
		{"the second server", `export MSB_SERVER_URL="http://127.0.0.1:5555"` + valid, "", "Configuration is valid"},
		{"backup", `curl -s -X POST http://localhost:8775/mcp \
  -H "Content-Type: application/json" \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_sessions","arguments":{}}}' \
  > sessions_backup.json
python -m json.tool sessions_backup.json`, "", `"session_id": "a"`},
		{"maintenance", `#!/bin/bash
# Check server health
curl -f http://localhost:8775/ || exit 1

# Clean up old logs
find /var/log/mcp-server -name "*.log" -mtime +7 -delete

# Check resource usage
df -h | grep -E '9[0-9]%' && echo "Disk space warning"

# Restart if memory usage is high
MEM_USAGE=$(ps -o %mem -p $(pgrep -f mcp_server) | tail -1 | tr -d ' ')
if (( $(echo "$MEM_USAGE > 80" | bc -l) )); then
    systemctl restart mcp-server
fi
echo "used $MEM_USAGE"`, "bc", `used [0-9.]+\n$`},
	} {
		t.Run(line.name, func(t *testing.T) {
			if _, err := exec.LookPath(line.needs); line.needs != "" && err != nil {
				t.Skipf("there is no %s", line.needs)
			}
			o.lines(t, line.lines, line.want)
		})
	}
	t.Run("the daemon alone is found while a sandbox runs", func(t *testing.T) {
		daemon := o.daemon()
		if agents := machine.agentsOf(daemon); len(agents) != 1 {
			t.Errorf("agents %q", agents)
		}
		o.lines(t, "pgrep -f mcp_server", fmt.Sprintf(`^%d\n$`, daemon))
	})
	t.Run("graceful restart", func(t *testing.T) {
		o.lines(t, "kill -TERM $(pgrep -f mcp_server)", "^$")
		o.wantFree(t, "8775")
		o.lines(t, "python -m mcp_server.main"+behind+answers, isReady)
		o.lines(t, execute, "timed out")
	})
	t.Run("force kill", func(t *testing.T) {
		o.lines(t, "kill -KILL $(pgrep -f mcp_server)", "^$")
		o.wantFree(t, "8775")
		o.lines(t, "python -m mcp_server.main"+behind+answers, isReady)
		o.lines(t, `curl -s -X POST http://localhost:8775/mcp -H "Content-Type: application/json" -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_sessions","arguments":{}}}'`, `"sessions":\[`)
		o.lines(t, "kill -TERM $(pgrep -f mcp_server)", "^$")
		o.wantFree(t, "8775")
	})
	t.Run("another port", func(t *testing.T) {
		o.lines(t, "export MCP_SERVER_PORT=8001\npython -m mcp_server.main"+behind+answers2, isReady)
		o.lines(t, "kill -TERM $(pgrep -f mcp_server)", "^$")
		o.wantFree(t, "8001")
	})
	for what, why := range leftOut() {
		t.Logf("not tried: %s: %s", what, why)
	}
	o.judge(t)
}

// lines runs lines of bash and looks at what they print.
func (o *operator) lines(t *testing.T, lines, want string) {
	t.Helper()
	file := filepath.Join(o.home, "bash-lines")
	if err := os.WriteFile(file, []byte(o.replace(lines)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := o.shell(t, "bash "+file)
	if err != nil || !regexp.MustCompile(o.replace(want)).MatchString(out) {
		t.Errorf("%s\nends with %v, and prints\n%s\nwant %s", lines, err, out, want)
	}
}

// wantFree waits for a daemon's port, for the ten seconds that the guide does.
func (o *operator) wantFree(t *testing.T, port string) {
	t.Helper()
	port = o.replace(port)
	if _, err := strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			l.Close()
		}
		if err == nil && o.daemon() == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the daemon is not gone: %v", err)
		}
	}
}
