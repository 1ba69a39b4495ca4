package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// durable returns a place whose daemons leave their sessions to the next one.
func durable(t *testing.T) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		sandboxtest.Skip(t, "without control groups of its own the test does not find what is in sandboxes")
	}
	return newPlace(t, "SANDWARDEN_SHUTDOWN_SESSIONS=keep")
}

// clear ends the sessions and then the daemon, and looks that nothing is left.
func (s *server) clear(t *testing.T) {
	t.Helper()
	for _, name := range s.sessions(t) {
		s.text(t, "stop_session", arguments{"session_id": name})
	}
	s.stop(t, syscall.SIGTERM)
	s.wantNothingLeft(t)
	if pids := s.inside(func(string) bool { return true }); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
}

// background starts a command and returns its execution's id.
func (s *server) background(t *testing.T, session, command string) string {
	t.Helper()
	got := s.members(t, "execute_command", arguments{"session_id": session, "command": command, "background": true})
	id, _ := got["execution_id"].(string)
	if id == "" {
		t.Fatalf("got %v", got)
	}
	return id
}

// members calls a tool and returns the members of its result.
func (s *server) members(t *testing.T, tool string, a arguments) map[string]any {
	t.Helper()
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, jsonOf(t, a))
	var got struct {
		Result map[string]any
		Error  *rpcError
	}
	if err := s.post(t.Context(), "/mcp", body, &got); err != nil || got.Error != nil {
		t.Fatalf("%s %v: %v, %+v", tool, a, err, got.Error)
	}
	return got.Result
}

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ended waits for the end of an execution.
func (s *server) ended(t *testing.T, id string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		got := s.members(t, "get_execution", arguments{"execution_id": id, "wait": 10, "max_bytes": 60_000})
		if got["status"] != "running" && got["status"] != "queued" {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not end: %v", got)
		}
	}
}

func TestTerm_KeepsSessions(t *testing.T) {
	p := durable(t)
	first := p.serve(t)
	first.run(t, "a", "x = 41\nopen('/work/f', 'w').write('hi')")
	id := first.background(t, "a", "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.3; done")
	done := first.begin(t, "b", "import time\nprint('before', flush=True)\ntime.sleep(4)\nprint('after')")
	eventually(t, "it runs", func() bool {
		got, err := first.call(t.Context(), "get_execution", arguments{"session_id": "b"})
		return err == nil && got.Error == nil && strings.Contains(got.Result.Content[0].Text, "running")
	})
	early := first.shakenHands(t, "c", "import time\nprint('before', flush=True)\ntime.sleep(3)")
	eventually(t, "that runs too", func() bool {
		got, err := first.call(t.Context(), "get_execution", arguments{"session_id": "c"})
		return err == nil && got.Error == nil && strings.Contains(got.Result.Content[0].Text, "running")
	})
	began := time.Now()
	if status := first.stop(t, syscall.SIGTERM); status != 0 || time.Since(began) > 8*time.Second {
		t.Errorf("status %d after %s", status, time.Since(began))
	}
	got := <-done
	if got.Error == nil || !strings.Contains(got.Error.Message, "goes on") {
		t.Errorf("who waited was told %+v", got)
	}
	if got := <-early; !strings.Contains(got, `"status":"running"`) || !strings.Contains(got, "it goes on") {
		t.Errorf("who shook hands was told %s", got)
	}
	second := p.serve(t)
	if text := second.run(t, "a", "print(x + 1, open('/work/f').read())"); text != "42 hi" {
		t.Errorf("got %q", text)
	}
	if got := second.ended(t, id); got["output"] != "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n" || got["status"] != "finished" {
		t.Errorf("got %v", got)
	}
	list := second.members(t, "get_execution", arguments{"session_id": "b"})
	text := jsonOf(t, list)
	if !bytes.Contains(text, []byte(`"running"`)) && !bytes.Contains(text, []byte(`"finished"`)) {
		t.Errorf("of b there is %s", text)
	}
	second.clear(t)
}

// shakenHands runs code for a client that shook hands. The channel gets the answer.
func (s *server) shakenHands(t *testing.T, session, code string) <-chan string {
	t.Helper()
	ask := func(id, body string) (string, http.Header) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/mcp", strings.NewReader(body))
		if err != nil {
			return err.Error(), nil
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Accept", "application/json, text/event-stream")
		if id != "" {
			request.Header.Set("Mcp-Session-Id", id)
		}
		response, err := s.client.Do(request)
		if err != nil {
			return err.Error(), nil
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			return err.Error(), nil
		}
		return string(data), response.Header
	}
	_, header := ask("", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
	answer := make(chan string, 1)
	call := `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"execute_code","arguments":` +
		string(jsonOf(t, arguments{"session_id": session, "code": code})) + `}}`
	go func() { // ends with the call
		text, _ := ask(header.Get("Mcp-Session-Id"), call)
		answer <- text
	}()
	return answer
}

// A session's directory is where its kernel begins and its commands run.
func TestSession_WorkingDirectory(t *testing.T) {
	s := serve(t)
	var made map[string]any
	if err := s.post(t.Context(), "/v1/sessions", []byte(`{"session_id":"d","working_directory":"/tmp"}`), &made); err != nil || made["working_directory"] != "/tmp" {
		t.Fatalf("%v, %v", made, err)
	}
	if got := s.run(t, "d", "import os\nprint(os.getcwd())"); got != "/tmp" {
		t.Errorf("code runs in %q", got)
	}
	if got := s.text(t, "execute_command", arguments{"session_id": "d", "command": "pwd"}); got != "/tmp" {
		t.Errorf("a command runs in %q", got)
	}
}

// What was running when no daemon was there waits with a full ring, and nothing
// of what it wrote is missing.
func TestKill_AFullRingWaits(t *testing.T) {
	const size = 5 << 20
	p := durable(t)
	first := p.serve(t)
	first.run(t, "a", "1")
	id := first.background(t, "a", fmt.Sprintf("sleep 0.5; head -c %d /dev/zero | tr '\\0' x; echo; echo done", size))
	first.stop(t, syscall.SIGKILL)
	<-time.After(1500 * time.Millisecond) // it fills its ring, of a fifth of that
	second := p.serve(t)
	got := second.ended(t, id)
	if total, _ := got["output_bytes"].(float64); int(total) != size+len("\ndone\n") || got["status"] != "finished" {
		t.Errorf("got %v of %d bytes", got["output_bytes"], size)
	}
	tail := second.members(t, "get_execution", arguments{"execution_id": id, "cursor": size - 2})
	if tail["output"] != "xx\ndone\n" {
		t.Errorf("it ends with %q", tail["output"])
	}
	second.clear(t)
}

// Sandboxes that no record of a session claims are ended, and sessions whose
// sandbox is gone are told so; what another daemon has is not touched.
func TestKill_Orphans(t *testing.T) {
	other := durable(t).serve(t)
	other.run(t, "theirs", "x = 1")
	p := durable(t)
	first := p.serve(t)
	for _, name := range []string{"kept", "unclaimed", "bereaved"} {
		first.run(t, name, "x = 1")
	}
	lost := first.background(t, "bereaved", "echo some; sleep 100")
	eventually(t, "it says something", func() bool {
		return first.members(t, "get_execution", arguments{"execution_id": lost})["output"] == "some\n"
	})
	first.stop(t, syscall.SIGKILL)
	for _, record := range p.sessionRecords(t) {
		data, err := os.ReadFile(filepath.Join(record, "session.json"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), `"unclaimed"`) {
			if err := os.RemoveAll(record); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.killAgentOf(t, "bereaved")
	second := p.serve(t)
	eventually(t, "the session without a sandbox ends", func() bool { return slices.Equal(second.sessions(t), []string{"kept"}) })
	if n := len(p.inside(func(name string) bool { return name == "sandwarden-agent" })); n != 1 {
		t.Errorf("%d agents are left", n)
	}
	got := second.members(t, "get_execution", arguments{"execution_id": lost})
	if got["status"] != "lost" || got["cause"] != "agent_lost" || got["evidence"] == "" || got["output"] != "some\n" {
		t.Errorf("got %v", got)
	}
	if text := second.run(t, "kept", "x"); text != "1" {
		t.Errorf("got %q", text)
	}
	if text := other.run(t, "theirs", "x"); text != "1" {
		t.Errorf("the other daemon: %q", text)
	}
	second.clear(t)
	other.clear(t)
}

// sessionRecords returns the directories of the sessions that go on.
func (p *place) sessionRecords(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.state, "sessions", "live", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// killAgentOf kills the agent of a session while no daemon is there.
func (p *place) killAgentOf(t *testing.T, session string) {
	t.Helper()
	for _, record := range p.records() {
		data, err := os.ReadFile(record)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), fmt.Sprintf(`"session":%q`, session)) {
			continue
		}
		sandbox := strings.TrimSuffix(filepath.Base(record), ".json")
		for _, pid := range p.inside(func(name string) bool { return name == "sandwarden-agent" }) {
			groups, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
			if strings.Contains(string(groups), sandbox) {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Fifty readers whose connections are cut at random, while daemons are killed,
// put together the same bytes.
func TestReaders_RebuildTheSame(t *testing.T) {
	const readers, lines = 50, 4000
	p := durable(t)
	var now atomic.Pointer[server]
	now.Store(p.serve(t))
	now.Load().create(t, "a")
	code := fmt.Sprintf(`
import sys, time
for i in range(%d):
    sys.stdout.buffer.write(b"%%d \xff\xe2\x82\xac " %% i + bytes([i %% 251]) * (i %% 400) + b"\n")
    if i %% 7 == 0: sys.stderr.write("e%%d\n" %% i)
    if i %% 40 == 0:
        sys.stdout.flush()
        time.sleep(0.03)
`, lines)
	now.Load().text(t, "write_file", arguments{"session_id": "a", "path": "w.py", "content": code})
	exec := now.Load().background(t, "a", "python3 w.py")
	var want, wantErr bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&want, "%d \xff\xe2\x82\xac %s\n", i, bytes.Repeat([]byte{byte(i % 251)}, i%400))
		if i%7 == 0 {
			fmt.Fprintf(&wantErr, "e%d\n", i)
		}
	}
	var all sync.WaitGroup
	var cuts atomic.Int64
	for i := range readers {
		all.Go(func() {
			r := &rebuilder{exec: exec, random: rand.New(rand.NewPCG(7, uint64(i)))}
			if err := r.read(t.Context(), &now); err != nil {
				t.Errorf("reader %d: %v", i, err)
				return
			}
			cuts.Add(int64(r.cuts))
			if !bytes.Equal(r.stdout, want.Bytes()) || !bytes.Equal(r.stderr, wantErr.Bytes()) {
				t.Errorf("reader %d has %d and %d bytes, not %d and %d", i, len(r.stdout), len(r.stderr), want.Len(), wantErr.Len())
			}
		})
	}
	for range 3 {
		<-time.After(700 * time.Millisecond)
		now.Load().stop(t, syscall.SIGKILL)
		now.Store(p.serve(t))
	}
	all.Wait()
	t.Logf("%d readers were cut %d times", readers, cuts.Load())
	now.Load().clear(t)
}

// A rebuilder puts the output of one execution together.
type rebuilder struct {
	exec           string
	random         *rand.Rand
	last           uint64
	cuts           int
	stdout, stderr []byte
}

// read reads until the execution has ended, over as many connections as that
// takes.
func (r *rebuilder) read(ctx context.Context, now *atomic.Pointer[server]) error {
	for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); {
		over, err := r.connect(ctx, now.Load())
		if over || err != nil {
			return err
		}
		r.cuts++
	}
	return errors.New("it does not end")
}

// errTold says that something is wrong with what was read.
var errTold = errors.New("wrong")

// connect reads for a while. That a daemon goes away is no error.
func (r *rebuilder) connect(ctx context.Context, s *server) (over bool, err error) {
	ctx, cut := context.WithTimeout(ctx, time.Duration(10+r.random.IntN(600))*time.Millisecond)
	defer cut()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/sessions/a/events", http.NoBody)
	if err != nil {
		return false, err
	}
	request.Header.Set("Last-Event-ID", strconv.FormatUint(r.last, 10))
	response, err := s.client.Do(request)
	if err != nil {
		<-time.After(20 * time.Millisecond)
		return false, nil // it comes back
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		<-time.After(20 * time.Millisecond)
		return false, nil
	}
	from := &stream{body: response.Body, in: bufio.NewReader(response.Body)}
	for {
		e, err := from.next()
		if err != nil {
			return false, nil // it was cut
		}
		if e.Seq != r.last+1 || e.Type == "gap" {
			return false, fmt.Errorf("%w: %+v follows event %d", errTold, e, r.last)
		}
		r.last = e.Seq
		switch {
		case e.Exec != r.exec:
		case e.Type == "execution.finished":
			return true, nil
		case e.Stream == "stdout":
			r.stdout = append(r.stdout, e.bytes()...)
		case e.Stream == "stderr":
			r.stderr = append(r.stderr, e.bytes()...)
		}
	}
}

// A full disk refuses what is new and cuts output; what runs goes on, and all is
// well again when there is room.
func TestDisk_Full(t *testing.T) {
	p := durable(t)
	if err := os.MkdirAll(p.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", p.state, "tmpfs", 0, "size=24m,mode=0700"); err != nil {
		sandboxtest.Skip(t, "nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(p.state, 0); err != nil {
			t.Error(err)
		}
	})
	s := p.serve(t)
	s.run(t, "a", "x = 1")
	id := s.background(t, "a", "echo before; while [ ! -e /work/go ]; do sleep 0.05; done; for i in $(seq 1000); do echo line $i; done; echo after")
	filler := filepath.Join(p.state, "filler")
	fill(t, filler)
	eventually(t, "new work is refused", func() bool {
		got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "a", "code": "1"})
		return err == nil && got.Error != nil && strings.Contains(got.Error.Message, "No space")
	})
	if got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "fresh", "code": "1"}); err != nil || got.Error == nil {
		t.Errorf("a new session: %+v, %v", got, err)
	}
	s.text(t, "write_file", arguments{"session_id": "a", "path": "go", "content": ""})
	got := s.ended(t, id)
	if dropped, _ := got["dropped_bytes"].(float64); got["status"] != "finished" || dropped == 0 || got["output"] != "before\n" {
		t.Errorf("got %v", got)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it works again", func() bool {
		got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "a", "code": "x"})
		return err == nil && got.Error == nil && got.Result.Content[0].Text == "1"
	})
	s.stop(t, syscall.SIGKILL)
	next := p.serve(t)
	if text := next.run(t, "a", "x"); text != "1" {
		t.Errorf("got %q", text)
	}
	next.clear(t)
}

// fill writes a file until there is no room.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
