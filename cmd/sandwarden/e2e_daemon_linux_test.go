package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// A place is where a daemon runs: its program, directories, user and port.
// Several daemons may use one after the other.
type place struct {
	program, home, state, runtime string
	instance                      string // names its cgroups
	user                          *syscall.Credential
	environ                       []string
}

// newPlace makes directories for daemons that get these settings.
func newPlace(t *testing.T, environ ...string) *place {
	t.Helper()
	dir, err := programs()
	if err != nil {
		sandboxtest.Skip(t, "the daemon cannot be built here: %v", err)
	}
	home, err := os.MkdirTemp("", "sw") //nolint:usetesting // a short name: sockets are below it
	if err != nil {
		t.Fatal(err)
	}
	p := &place{
		program: filepath.Join(dir, "sandwarden"), home: home,
		state: filepath.Join(home, "state"), runtime: filepath.Join(home, "run"), environ: environ,
	}
	t.Cleanup(func() {
		if len(p.records()) > 0 { // the test failed
			_ = p.command("purge").Run()
		}
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	p.instance = machine.daemonOf(p.state)
	return p
}

// command is the program with arguments, in this place.
func (p *place) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.program, args...)
	cmd.Dir = p.home
	cmd.Env = append([]string{
		"PATH=/usr/bin:/bin", "HOME=" + p.home,
		"SANDWARDEN_STATE_DIR=" + p.state, "SANDWARDEN_RUNTIME_DIR=" + p.runtime,
		"SANDWARDEN_SHUTDOWN_SESSIONS=destroy", // so that a test that ends leaves nothing
		"SANDWARDEN_POOL_MIN=0",                // so that tests can count what sessions have
		"GORACE=atexit_sleep_ms=0",             // or each of hundreds of programs ends a second later
	}, p.environ...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user, Pdeathsig: syscall.SIGTERM}
	return cmd
}

// arguments are those with which it serves: under an old name none is needed.
func (p *place) arguments(port int) []string {
	if slices.Contains(oldNames(), filepath.Base(p.program)) {
		return []string{"--port", strconv.Itoa(port)}
	}
	return []string{"serve", "--port", strconv.Itoa(port)}
}

// records returns what the state directory names of sandboxes.
func (p *place) records() []string {
	names, _ := filepath.Glob(filepath.Join(p.state, "sandboxes", "*"))
	return names
}

// cgroups returns those that daemons in this place have.
func (p *place) cgroups() []string {
	var groups []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "/sandwarden/"+p.instance) {
			groups = append(groups, path)
		}
		return nil // what ends meanwhile is no error
	})
	return groups
}

// A server is a running daemon.
type server struct {
	*place
	cmd    *exec.Cmd
	url    string
	client *http.Client
	log    *serverLog
	exited chan struct{} // closed when status is known
	status int
	agents []string // that it had when it was last looked
}

// serve starts a daemon in a place of its own.
func serve(t *testing.T, environ ...string) *server {
	t.Helper()
	return newPlace(t, environ...).serve(t)
}

// serve starts a daemon and waits until it answers. The test's end ends it.
func (p *place) serve(t *testing.T, flags ...string) *server {
	t.Helper()
	for range 3 { // another program may take the port that was free
		s := p.start(t, flags...)
		if s.isReady(t) {
			return s
		}
		if !strings.Contains(s.log.String(), "address already in use") {
			break
		}
	}
	t.Fatal("the daemon does not start")
	return nil
}

func (p *place) start(t *testing.T, flags ...string) *server {
	t.Helper()
	port := freePortNumber(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{
		place: p, cmd: p.command(append(p.arguments(port), flags...)...), url: fmt.Sprintf("http://localhost:%d", port),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
		log:    &serverLog{ready: make(chan struct{})}, exited: make(chan struct{}),
	}
	s.cmd.Stderr = writer
	err = s.cmd.Start()
	writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { // ends when nobody can write any more
		defer close(read)
		_, _ = io.Copy(s.log, reader)
	}()
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait()
		s.status = s.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		s.finish(t)
		reader.Close()
		<-read
		s.judge(t)
	})
	return s
}

// finish ends the daemon, however far the test came.
func (s *server) finish(t *testing.T) {
	t.Helper()
	s.client.CloseIdleConnections()
	select {
	case <-s.exited:
		return
	default:
	}
	if status := s.stop(t, syscall.SIGTERM); status != 0 {
		t.Errorf("the daemon ended with status %d", status)
	}
	s.wantNothingLeft(t)
}

// judge looks for what a daemon must never say.
func (s *server) judge(t *testing.T) {
	t.Helper()
	text := s.log.String()
	for _, bad := range []string{"DATA RACE", "panicked", "fatal error: ", "goroutine 1 ["} {
		if strings.Contains(text, bad) {
			t.Errorf("the daemon's log has %q", bad)
		}
	}
	if t.Failed() {
		t.Logf("the daemon's log:\n%s", text)
	}
}

// isReady waits for the line that says so.
func (s *server) isReady(t *testing.T) bool {
	t.Helper()
	select {
	case <-s.log.ready:
		return true
	case <-s.exited:
	case <-time.After(patience):
		t.Error("the daemon says neither that it is ready nor why not")
	}
	return false
}

// stop sends a signal and returns the exit status.
func (s *server) stop(t *testing.T, signal syscall.Signal) int {
	t.Helper()
	s.look()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	return s.wait(t, 20*time.Second)
}

// look notes which agents the daemon has.
func (s *server) look() []string {
	s.agents = machine.agentsOf(s.cmd.Process.Pid)
	return s.agents
}

// wait returns the exit status of a daemon that is ending.
func (s *server) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(limit):
		_ = s.cmd.Process.Kill()
		<-s.exited
		t.Fatalf("the daemon did not end within %s", limit)
	}
	return s.status
}

// wantNothingLeft checks what a daemon that ended must have taken along.
func (s *server) wantNothingLeft(t *testing.T) {
	t.Helper()
	eventually(t, "agents end", func() bool { return !slices.ContainsFunc(s.agents, func(a string) bool { return !isGone(a) }) })
	if records := s.records(); len(records) > 0 {
		t.Errorf("records are left: %q", records)
	}
	if sockets, _ := filepath.Glob(filepath.Join(s.runtime, "agents", "*")); len(sockets) > 0 {
		t.Errorf("sockets are left: %q", sockets)
	}
	if groups := s.cgroups(); len(groups) > 0 {
		t.Errorf("cgroups are left: %q", groups)
	}
}

// A serverLog keeps what a daemon logs and tells when it is ready.
type serverLog struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ready chan struct{}
	told  bool
}

// Write implements [io.Writer].
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if !l.told && readyLine.Match(l.text.Bytes()) {
		l.told = true
		close(l.ready)
	}
	return len(p), nil
}

var readyLine = regexp.MustCompile(`(?m)sandwarden is (ready|listening) on .*\n`)

// String returns all of the log so far.
func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func freePortNumber(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually waits for what nothing tells of: the state of other processes.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !is(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

// An answer is what the guide dialect answers.
type answer struct {
	Result *toolResult `json:"result"`
	Error  *rpcError   `json:"error"`
}

type toolResult struct {
	Content []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	} `json:"content"`
	IsError     bool             `json:"isError"`
	Session     string           `json:"session_id"`
	Created     bool             `json:"session_created"`
	CodeSuccess bool             `json:"code_success"`
	ExitCode    int              `json:"exit_code"`
	Sessions    []map[string]any `json:"sessions"`
	Success     bool             `json:"success"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    *struct {
		ErrorCode   string         `json:"error_code"`
		Suggestions []string       `json:"recovery_suggestions"`
		Context     map[string]any `json:"context"`
	} `json:"data"`
}

// arguments are those of a tool.
type arguments map[string]any

// call calls a tool in the guide dialect.
func (s *server) call(ctx context.Context, tool string, a arguments) (answer, error) {
	if a == nil {
		a = arguments{}
	}
	body, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": tool, "arguments": a},
	})
	if err != nil {
		return answer{}, err
	}
	var out answer
	return out, s.post(ctx, "/mcp", body, &out)
}

// post sends JSON and decodes the answer into out.
func (s *server) post(ctx context.Context, path string, body []byte, out any) error {
	ctx, stop := context.WithTimeout(ctx, 2*patience)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s: %w: %.300q", response.Status, err, data)
	}
	return nil
}

// run executes code and wants it to succeed; it returns the text.
func (s *server) run(t *testing.T, session, code string) string {
	t.Helper()
	return s.text(t, "execute_code", arguments{"session_id": session, "code": code})
}

// text calls a tool and wants a result; it returns the text.
func (s *server) text(t *testing.T, tool string, a arguments) string {
	t.Helper()
	got, err := s.call(t.Context(), tool, a)
	if err != nil || got.Error != nil {
		t.Fatalf("%s %v: %v, %+v", tool, a, err, got.Error)
	}
	if got.Result.IsError || tool == "execute_code" && !got.Result.CodeSuccess {
		t.Fatalf("%s %v failed: %+v", tool, a, got.Result)
	}
	return got.Result.Content[0].Text
}

// sessions returns the names of the sessions.
func (s *server) sessions(t *testing.T) []string {
	t.Helper()
	got, err := s.call(t.Context(), "get_sessions", nil)
	if err != nil || got.Error != nil {
		t.Fatalf("get_sessions: %v, %+v", err, got.Error)
	}
	names := []string{}
	for _, one := range got.Result.Sessions {
		names = append(names, one["session_id"].(string))
	}
	return names
}

// get returns status and body of a path.
func (s *server) get(t *testing.T, path string) (int, map[string]any) {
	t.Helper()
	response, err := s.client.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(bufio.NewReader(response.Body)).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}
