package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A chain is two daemons: the sandboxes of the one in front are made by the one
// at the back, over the microsandbox API.
type chain struct {
	back, front *place
	api         string
}

func newChain(t *testing.T) *chain {
	t.Helper()
	api := fmt.Sprintf("127.0.0.1:%d", freePortNumber(t))
	return &chain{
		back:  newPlace(t, "SANDWARDEN_MSB_LISTEN="+api),
		front: newPlace(t, "MSB_SERVER_URL=http://"+api+"/"),
		api:   api,
	}
}

// serve starts both, or skips where the back can make no sandboxes.
func (c *chain) serve(t *testing.T) (back, front *server) {
	t.Helper()
	back = c.back.serve(t)
	if back.wayOut() == doctorTells {
		t.Skip("no sandbox can be made here")
	}
	return back, c.front.serve(t)
}

// running are the names of the sandboxes that run at the back.
func (c *chain) running(t *testing.T, at *server) []string {
	t.Helper()
	api := &server{place: at.place, client: at.client, url: "http://" + c.api}
	var got struct {
		Result struct {
			Sandboxes []struct {
				Namespace, Name string
				Running         bool
			}
		}
	}
	if err := api.post(t.Context(), "/api/v1/rpc", []byte(`{"jsonrpc":"2.0","id":1,"method":"sandbox.metrics.get","params":{"namespace":"*"}}`), &got); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, s := range got.Result.Sandboxes {
		if s.Running {
			names = append(names, s.Namespace+"/"+s.Name)
		}
	}
	return names
}

// isServed waits until a daemon can make sandboxes.
func (s *server) isServed(t *testing.T) {
	t.Helper()
	eventually(t, "it is ready", func() bool { status, _ := s.get(t, "/ready"); return status == http.StatusOK })
}

// All that clients do with a daemon they can do with the one in front.
func TestChain_Works(t *testing.T) {
	c := newChain(t)
	back, front := c.serve(t)
	front.isServed(t)
	front.run(t, "a", "x = 6")
	if got := front.run(t, "a", "print(x * 7)\nimport sys; print('aside', file=sys.stderr)"); !strings.Contains(got, "42") {
		t.Errorf("got %q", got)
	}
	if got := front.text(t, "execute_command", arguments{"session_id": "a", "command": "echo $((6 * 7)); pwd"}); got != "42\n/work" {
		t.Errorf("got %q", got)
	}
	if got := front.text(t, "execute_code", arguments{"session_id": "n", "template": "node", "code": "const y = 20; await new Promise(r => setTimeout(r, 50)); y + 1"}); got != "21" {
		t.Errorf("got %q", got)
	}
	if got := front.sessions(t); len(got) != 2 || !slices.Contains(got, "a") || !slices.Contains(got, "n") {
		t.Errorf("sessions %q", got)
	}
	if got := c.running(t, back); len(got) != 2 || !strings.HasPrefix(got[0], "default/sw-") {
		t.Errorf("sandboxes at the back: %q", got)
	}
	t.Run("output as it comes", func(t *testing.T) { c.streams(t, front) })
	t.Run("files", func(t *testing.T) { c.copies(t, front) })
	t.Run("a deadline", func(t *testing.T) {
		got, err := front.call(t.Context(), "execute_code", arguments{"session_id": "a", "code": "while True: pass", "timeout": 1})
		if err != nil || got.Result == nil && got.Error == nil || got.Result != nil && !got.Result.IsError && got.Result.CodeSuccess {
			t.Errorf("%+v, %v", got, err)
		}
	})
	front.text(t, "stop_session", arguments{"session_id": "a"})
	front.text(t, "stop_session", arguments{"session_id": "n"})
	eventually(t, "the back has none", func() bool { return len(c.running(t, back)) == 0 })
}

// streams runs a command whose output is to come before its end.
func (c *chain) streams(t *testing.T, front *server) {
	t.Helper()
	cmd := c.front.command("exec", "--url", front.url, "--session", "a", "--", "sh", "-c", "echo one; sleep 2; printf '\\377two' >&2; exit 7")
	var stdout, stderr watchedBuffer
	stdout.came = make(chan struct{})
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	select {
	case <-stdout.came:
	case <-ended:
		t.Error("no output came before the end")
	}
	<-ended
	if stdout.String() != "one\n" || stderr.String() != "\xfftwo" || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%q, %q, %v", stdout.String(), stderr.String(), cmd.ProcessState)
	}
}

// A watchedBuffer tells when something has come.
type watchedBuffer struct {
	text bytes.Buffer
	came chan struct{}
}

// String returns all that came.
func (b *watchedBuffer) String() string { return b.text.String() }

// Write implements [io.Writer].
func (b *watchedBuffer) Write(p []byte) (int, error) {
	if b.came != nil && b.text.Len() == 0 {
		close(b.came)
	}
	return b.text.Write(p)
}

// copies takes a file in and out again.
func (c *chain) copies(t *testing.T, front *server) {
	t.Helper()
	whole := bytes.Repeat([]byte("\x00\xff\r\nbytes"), 1<<15)
	here, there := filepath.Join(c.front.home, "file"), filepath.Join(c.front.home, "back")
	if err := os.WriteFile(here, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{here, "a:/work/file"}, {"a:/work/file", there}} {
		if out, err := c.front.command(append([]string{"cp", "--url", front.url}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("cp %q: %v, %s", args, err, out)
		}
	}
	if got, err := os.ReadFile(there); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

// The back dies and comes again: the front says so meanwhile, and goes on.
func TestChain_BackIsKilled(t *testing.T) {
	c := newChain(t)
	back, front := c.serve(t)
	front.isServed(t)
	front.run(t, "a", "x = 41")
	back.kill(t)
	eventually(t, "the front notices", func() bool { status, _ := front.get(t, "/ready"); return status == http.StatusServiceUnavailable })
	for _, path := range []string{"/", "/health"} {
		status, body := front.get(t, path)
		part, _ := body["backend"].(map[string]any)
		if status != http.StatusOK || part["ready"] != false || part["name"] != "microsandbox" || part["reason"] != "the microsandbox server cannot be reached" {
			t.Errorf("%s: %d, %v", path, status, body)
		}
	}
	if _, body := front.get(t, "/health"); body["server_started"] != false {
		t.Errorf("/health: %v", body)
	}
	began := time.Now()
	got, err := front.call(t.Context(), "execute_code", arguments{"session_id": "b", "code": "1"})
	if told := fmt.Sprintf("%+v %+v", got.Result, got.Error); err != nil || !strings.Contains(told, "the microsandbox server cannot be reached") || time.Since(began) > patience/2 {
		t.Errorf("after %s: %s, %v", time.Since(began), told, err)
	}
	again := c.back.serve(t)
	front.isServed(t)
	if got := front.run(t, "a", "print(x + 1)"); got != "42" {
		t.Errorf("got %q", got)
	}
	if got := front.run(t, "b", "2"); got != "2" {
		t.Errorf("got %q", got)
	}
	front.stop(t, syscall.SIGINT)
	eventually(t, "the back has none", func() bool { return len(c.running(t, again)) == 0 })
}

// A front that is there first waits for its server, and says so.
func TestChain_FrontIsFirst(t *testing.T) {
	c := newChain(t)
	front := c.front.serve(t)
	if !strings.Contains(front.log.String(), "the microsandbox server cannot be reached") {
		t.Errorf("the log does not say what is wrong:\n%s", front.log)
	}
	for path, want := range map[string]int{"/": http.StatusOK, "/health": http.StatusOK, "/ready": http.StatusServiceUnavailable} {
		if status, body := front.get(t, path); status != want {
			t.Errorf("%s: %d, %v", path, status, body)
		}
	}
	if back := c.back.serve(t); back.wayOut() == doctorTells {
		t.Skip("no sandbox can be made here")
	}
	front.isServed(t)
	if got := front.run(t, "a", "6 * 7"); got != "42" {
		t.Errorf("got %q", got)
	}
	front.stop(t, syscall.SIGTERM) // while the back is there
}

// Who interrupts the front is done, and nothing of it stays at the back; what
// others have there does.
func TestChain_FrontIsInterrupted(t *testing.T) {
	c := newChain(t)
	back, front := c.serve(t)
	front.isServed(t)
	other := newPlace(t, c.front.environ...).serve(t)
	other.isServed(t)
	for _, name := range []string{"a", "b"} {
		front.run(t, name, "1")
	}
	other.run(t, "a", "x = 5")
	front.stop(t, syscall.SIGINT)
	if got := c.running(t, back); len(got) != 1 {
		t.Errorf("left at the back: %q", got)
	}
	if got := other.run(t, "a", "x"); got != "5" {
		t.Errorf("got %q", got)
	}
}

// The next front goes on with what a dead one left, or ends it when it is told
// to.
func TestChain_FrontIsKilled(t *testing.T) {
	c := newChain(t)
	back, first := c.serve(t)
	first.isServed(t)
	first.run(t, "a", "x = 41")
	id := first.background(t, "a", "sleep 1; echo late; sleep 1; echo later")
	first.stop(t, syscall.SIGKILL)
	second := c.front.serve(t)
	if got := second.run(t, "a", "print(x + 1)"); got != "42" {
		t.Errorf("got %q", got)
	}
	if got := second.ended(t, id); got["status"] != "finished" {
		t.Errorf("what ran then: %v", got)
	}
	if got := second.members(t, "get_execution", arguments{"execution_id": id}); got["output"] != "late\nlater\n" {
		t.Errorf("its output: %q", got["output"])
	}
	second.stop(t, syscall.SIGKILL)
	if got := c.running(t, back); len(got) != 1 {
		t.Errorf("at the back: %q", got)
	}
	if out, err := c.front.command("doctor").CombinedOutput(); err != nil || !strings.Contains(string(out), "1 sandboxes run in our namespace, 1 of them ours") {
		t.Errorf("%v, %s", err, out)
	}
	if out, err := c.front.command("purge").CombinedOutput(); err != nil || string(out) != "ended 1 sandboxes\n" {
		t.Errorf("%v, %s", err, out)
	}
	if got := c.running(t, back); len(got) != 0 {
		t.Errorf("at the back after the purge: %q", got)
	}
}

// A back that wants keys lets in a front that has one for its namespace. Another
// one says what is missing.
func TestChain_Keys(t *testing.T) {
	c := newChain(t)
	c.back.environ = append(c.back.environ, "SANDWARDEN_MSB_DEV=off")
	out, err := c.back.command("keygen", "--namespace", "default", "--expire", "1h").Output()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimPrefix(strings.SplitN(string(out), "\n", 2)[0], "Token: ")
	_, without := c.serve(t)
	if _, body := without.get(t, "/ready"); body["reason"] != "the microsandbox server does not take our key" {
		t.Errorf("without a key: %v", body)
	}
	without.stop(t, syscall.SIGTERM)
	c.front.environ = append(c.front.environ, "MSB_API_KEY="+key)
	front := c.front.serve(t)
	front.isServed(t)
	if got := front.run(t, "a", "6 * 7"); got != "42" {
		t.Errorf("got %q", got)
	}
	front.stop(t, syscall.SIGTERM)
	if strings.Contains(front.log.String(), key) {
		t.Error("the key is in the log")
	}
}

// A daemon of one client ends what it made at its server with it.
func TestChain_OneClient(t *testing.T) {
	c := newChain(t)
	back := c.back.serve(t)
	if back.wayOut() == doctorTells {
		t.Skip("no sandbox can be made here")
	}
	cmd := c.front.command("serve", "--transport", "stdio")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, toolCall("execute_code", map[string]any{"session_id": "a", "code": "print(6 * 7)"}))
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, `"text":"42`) {
		t.Errorf("%v, %s", err, line)
	}
	if got := c.running(t, back); len(got) != 1 {
		t.Errorf("at the back: %q", got)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got := c.running(t, back); len(got) != 0 {
		t.Errorf("left at the back: %q", got)
	}
}

// Two daemons that would each make their sandboxes at the other make none.
func TestChain_LoopIsRefused(t *testing.T) {
	one, other := fmt.Sprintf("127.0.0.1:%d", freePortNumber(t)), fmt.Sprintf("127.0.0.1:%d", freePortNumber(t))
	first := newPlace(t, "SANDWARDEN_MSB_LISTEN="+one, "MSB_SERVER_URL=http://"+other).serve(t)
	second := newPlace(t, "SANDWARDEN_MSB_LISTEN="+other, "MSB_SERVER_URL=http://"+one).serve(t)
	eventually(t, "the one that began sees it", func() bool {
		_, body := first.get(t, "/ready")
		return body["reason"] == "the microsandbox server at MSB_SERVER_URL leads back to this daemon"
	})
	eventually(t, "its log says so", func() bool {
		return strings.Contains(first.log.String(), "leads back to this daemon")
	})
	for _, s := range []*server{first, second} {
		got, err := s.call(t.Context(), "execute_code", arguments{"session_id": "a", "code": "1"})
		if err != nil || got.Error == nil && !got.Result.IsError {
			t.Errorf("%+v, %v", got, err)
		}
	}
}
