package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// The scripts run this test's own binary in place of the command. The command
// fakewarden is the same program on a backend that needs nothing of the host.
func TestMain(m *testing.M) {
	testscript.Main(watched{m}, map[string]func(){
		"sandwarden": main,
		"mcp-server": main,
		"mcp_server": main,
		"fakewarden": fakeMain,
		"confined":   confinedMain,
		"serviced":   servicedMain,
	})
}

func fakeMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	p := &program{args: os.Args, environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr, open: openFake, move: stay}
	os.Exit(p.run(ctx))
}

func stay(context.Context, *program, config.Config, *slog.Logger) (bool, error) { return false, nil }

// openFake makes a backend whose first call of the method in FAKE_FAULT fails.
func openFake(_ context.Context, _ config.Config, _ []sandbox.ID, _ *slog.Logger) (sandbox.Backend, error) {
	backend := sandboxtest.NewFaulty(&sandboxtest.Fake{})
	if method := os.Getenv("FAKE_FAULT"); method != "" {
		backend.Fail(method, 1, 1, &sandbox.Error{Op: "create", Kind: sandbox.Unavailable, Err: errors.New("the fake was told to")})
	}
	return backend, nil
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("SANDWARDEN_STATE_DIR", e.WorkDir+"/state")
			e.Setenv("SANDWARDEN_RUNTIME_DIR", e.WorkDir+"/run")
			root, err := filepath.Abs(filepath.Join("..", ".."))
			e.Setenv("REPOSITORY", root)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport": freePort, "ready": ready, "signal": sendSignal, "connect": connect, "logged": logged,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Getuid() == 0, nil
			case "ipv6":
			default:
				return false, fmt.Errorf("unknown condition %q", name)
			}
			l, err := net.Listen("tcp6", "[::1]:0")
			if err == nil {
				l.Close()
			}
			return err == nil, nil
		},
	})
}

// freePort NAME sets a variable to a port that nobody listens on.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer l.Close()
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// signal NAME PROGRAM sends a signal to a program in the background.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM}
	for _, cmd := range ts.BackgroundCmds() {
		if filepath.Base(cmd.Path) == args[1] {
			ts.Check(cmd.Process.Signal(signals[args[0]]))
			return
		}
	}
	ts.Fatalf("%s does not run", args[1])
}

// logged FILE TEXT waits until a file has a text.
func logged(ts *testscript.TestScript, _ bool, args []string) {
	for range 600 {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(data), args[1]) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s never has %q", args[0], args[1])
}

// connect PORT opens a connection that says nothing until the script ends.
func connect(ts *testscript.TestScript, _ bool, args []string) {
	c, err := net.Dial("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	ts.Defer(func() { c.Close() })
}

// ready URL waits until a daemon answers there.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	for range 600 {
		response, err := http.Get(args[0])
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("nobody answers at %s", args[0])
}

func TestRun_ExitStatus(t *testing.T) {
	for name, test := range map[string]struct {
		args    []string
		environ []string
		status  int
		stdout  string
		stderr  string
	}{
		"nothing":            {args: []string{"sandwarden"}, stdout: "Usage: sandwarden"},
		"help":               {args: []string{"sandwarden", "help"}, stdout: "doctor"},
		"version":            {args: []string{"sandwarden", "version"}, stdout: "sandwarden "},
		"unknown command":    {args: []string{"sandwarden", "srve"}, status: 2, stderr: `there is no command "srve"`},
		"unknown flag":       {args: []string{"sandwarden", "serve", "--prot", "1"}, status: 2, stderr: "unknown flag: --prot\nUsage: sandwarden serve"},
		"flag of the old":    {args: []string{"/usr/bin/mcp-server", "--nonsense"}, status: 2, stderr: "unknown flag: --nonsense"},
		"check of the old":   {args: []string{"mcp-server", "--check-config"}, stdout: "Configuration is valid\n"},
		"version of the old": {args: []string{"mcp_server", "--version"}, stdout: "sandwarden "},
		"old with a command": {args: []string{"/opt/bin/mcp-server", "config", "--check"}, stdout: "Configuration is valid\n"},
		"old with version":   {args: []string{"mcp-server", "version"}, stdout: "sandwarden "},
		"old with no such":   {args: []string{"mcp_server", "srve"}, status: 2, stderr: `serve takes no argument "srve"`},
		"help of the old":    {args: []string{"mcp_server", "--help"}, stdout: "--enable-cors"},
		"flag --version":     {args: []string{"sandwarden", "--version"}, stdout: "sandwarden "},
		"completion":         {args: []string{"sandwarden", "completion", "bash"}, stdout: "complete -o default -F _sandwarden sandwarden mcp-server mcp_server\n"},
		"completion of none": {args: []string{"sandwarden", "completion"}, status: 2, stderr: "Usage: sandwarden completion bash|zsh|fish\n"},
		"completion unknown": {args: []string{"sandwarden", "completion", "tcsh"}, status: 2, stderr: `does not know the shell "tcsh"`},
		"argument":           {args: []string{"sandwarden", "config", "port"}, status: 2, stderr: `config takes no argument "port"`},
		"check":              {args: []string{"sandwarden", "config", "--check"}, stdout: "Configuration is valid\n"},
		"check that fails":   {args: []string{"sandwarden", "config", "--check"}, environ: []string{"MSB_MAX_SESSIONS=0"}, status: 1, stderr: "Configuration error: MSB_MAX_SESSIONS must be a positive integer, got 0\n"},
		"serve that fails":   {args: []string{"sandwarden", "serve"}, environ: []string{"MCP_SERVER_PORT=abc"}, status: 1, stderr: "Configuration error: Invalid MCP_SERVER_PORT: invalid literal for int() with base 10: 'abc'\n"},
		"help of serve":      {args: []string{"sandwarden", "serve", "--help"}, stdout: "--enable-cors"},
		"help of config":     {args: []string{"sandwarden", "config", "-h"}, stdout: "SANDWARDEN_TEMPLATE_PYTHON_PATH"},
		"sources":            {args: []string{"sandwarden", "config", "--port", "99"}, environ: []string{"MSB_MAX_SESSIONS=3"}, stdout: "environment MSB_MAX_SESSIONS"},
		"a warning":          {args: []string{"sandwarden", "config"}, environ: []string{"MSB_NONSENSE=1"}, stdout: "port", stderr: "warning: MSB_NONSENSE is set, but there is no such setting\n"},
		"old knobs":          {args: []string{"sandwarden", "config"}, environ: []string{"MSB_LOG_FORMAT=json"}, stdout: "port", stderr: "warning: these settings had no effect in the original and have one here: MSB_LOG_FORMAT\n"},
		"a server":           {args: []string{"mcp-server", "--check-config"}, environ: []string{"MSB_SERVER_URL=http://127.0.0.1:5555", "MSB_API_KEY=hush"}, stdout: "Configuration is valid\n"},
		"no server":          {args: []string{"sandwarden", "serve"}, environ: []string{"MSB_SERVER_URL=127.0.0.1:5555"}, status: 1, stderr: "Configuration error: Invalid server URL format: 127.0.0.1:5555. Must start with http:// or https://"},
		"a dead transport":   {args: []string{"mcp-server", "--transport", "sse"}, status: 1, stderr: "use streamable-http"},
		"not this machine":   {args: []string{"sandwarden", "serve", "--host", "0.0.0.0"}, status: 1, stderr: "(sandwarden token new NAME writes one, SANDWARDEN_TOKENS_FILE or --tokens-file names the file), or set SANDWARDEN_INSECURE_LISTEN=1"},
		"bench without work": {args: []string{"sandwarden", "bench", "nonsense"}, status: 1, stderr: "sandwarden: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir()) // no configuration file of ours
			environ := append([]string{"HOME=/nowhere", "XDG_STATE_HOME=/nowhere"}, test.environ...)
			var stdout, stderr strings.Builder
			status := run(t.Context(), test.args, environ, &stdout, &stderr)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if !strings.Contains(stdout.String(), test.stdout) || test.stdout == "" && stdout.Len() > 0 {
				t.Errorf("standard output is %q, want %q in it", stdout.String(), test.stdout)
			}
			if !strings.Contains(stderr.String(), test.stderr) || test.stderr == "" && stderr.Len() > 0 {
				t.Errorf("standard error is %q, want %q in it", stderr.String(), test.stderr)
			}
		})
	}
}
