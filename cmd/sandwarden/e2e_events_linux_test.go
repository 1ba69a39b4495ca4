package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// An event is one of a stream, with the bytes that it came as.
type event struct {
	raw     string
	Seq     uint64 `json:"seq"`
	Type    string `json:"type"`
	Session string `json:"session_id"`
	Exec    string `json:"execution_id"`
	Stream  string `json:"stream"`
	Text    string `json:"text"`
	Base64  string `json:"base64"`
	Code    *int   `json:"exit_code"`
	Cause   string `json:"cause"`
	Lost    bool   `json:"state_lost"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
}

// bytes returns the output in an event.
func (e *event) bytes() []byte {
	if e.Base64 == "" {
		return []byte(e.Text)
	}
	data, _ := base64.StdEncoding.DecodeString(e.Base64)
	return data
}

// A stream reads events as they come.
type stream struct {
	body io.Closer
	in   *bufio.Reader
}

// stream opens a stream of events, which the end of the test closes.
func (s *server) stream(t *testing.T, path, lastEventID string) *stream {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(stop)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if lastEventID != "" {
		request.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %s, %s", path, response.Status, response.Header.Get("Content-Type"))
	}
	return &stream{body: response.Body, in: bufio.NewReader(response.Body)}
}

// next returns the next event, comments left out.
func (r *stream) next() (event, error) {
	var block strings.Builder
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			return event{}, err
		}
		switch {
		case strings.HasPrefix(line, ":"), line == "\n" && block.Len() == 0:
		case line == "\n":
			return parseEvent(block.String())
		default:
			block.WriteString(line)
		}
	}
}

func parseEvent(block string) (event, error) {
	e := event{raw: block}
	var id uint64
	var kind, data string
	lines := strings.SplitN(strings.TrimSuffix(block, "\n"), "\n", 3)
	if len(lines) != 3 {
		return e, fmt.Errorf("an event of %d lines: %q", len(lines), block)
	}
	_, err := fmt.Sscanf(lines[0], "id: %d", &id)
	kind, okKind := strings.CutPrefix(lines[1], "event: ")
	data, okData := strings.CutPrefix(lines[2], "data: ")
	if err != nil || !okKind || !okData || strings.Contains(data, "\n") {
		return e, fmt.Errorf("not an event: %q", block)
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return e, fmt.Errorf("%w: %q", err, data)
	}
	if e.Seq != id || e.Type != kind {
		return e, fmt.Errorf("data and frame differ: %q", block)
	}
	return e, nil
}

// until reads events up to one that is wanted.
func (r *stream) until(t *testing.T, is func(event) bool) []event {
	t.Helper()
	var all []event
	for {
		e, err := r.next()
		if err != nil {
			t.Fatalf("%v, after %+v", err, all)
		}
		all = append(all, e)
		if is(e) {
			return all
		}
	}
}

// rest reads to the end of the stream.
func (r *stream) rest(t *testing.T) []event {
	t.Helper()
	var all []event
	for {
		e, err := r.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v, after %+v", err, all)
		}
		all = append(all, e)
	}
}

// create makes a session by REST.
func (s *server) create(t *testing.T, name string) {
	t.Helper()
	var made map[string]any
	if err := s.post(t.Context(), "/v1/sessions", fmt.Appendf(nil, `{"session_id":%q}`, name), &made); err != nil || made["session_id"] != name {
		t.Fatalf("create: %v, %v", made, err)
	}
}

// begin runs code while the test goes on. The channel gets what came of it.
func (s *server) begin(t *testing.T, session, code string) <-chan answer {
	t.Helper()
	done := make(chan answer, 1)
	ctx := t.Context()
	go func() { // ends with the call, and that with the test
		got, err := s.call(ctx, "execute_code", arguments{"session_id": session, "code": code})
		if err != nil {
			got.Error = &rpcError{Message: err.Error()}
		}
		done <- got
	}()
	return done
}

// awaiting is Python code that goes on when there is a file of that name.
func awaiting(name string) string {
	return "import os, time\nwhile not os.path.exists('/work/" + name + "'): time.sleep(0.005)\n"
}

// touch makes such a file.
func (s *server) touch(t *testing.T, session, name string) {
	t.Helper()
	s.text(t, "execute_command", arguments{"session_id": session, "command": "touch /work/" + name})
}

func isType(kind string) func(event) bool { return func(e event) bool { return e.Type == kind } }

func outputOf(all []event, exec string) string {
	var text strings.Builder
	for _, e := range all {
		if e.Type == "output" && (exec == "" || e.Exec == exec) {
			text.Write(e.bytes())
		}
	}
	return text.String()
}

func raw(all []event) string {
	var text strings.Builder
	for _, e := range all {
		text.WriteString(e.raw + "\n")
	}
	return text.String()
}

// The first output arrives while the code runs, which waits for the reader to
// have seen it; who comes back with a cursor gets the very same bytes.
func TestEvents_LiveAndAgain(t *testing.T) {
	s := serve(t)
	s.create(t, "live")
	live := s.stream(t, "/v1/sessions/live/events", "")
	head := live.until(t, isType("session.ready"))
	done := s.begin(t, "live", "print('begun', flush=True)\n"+awaiting("go")+"for i in range(300): print('line', i)\nprint('ended')")
	seen := append(head, live.until(t, isType("output"))...)
	if last := seen[len(seen)-1]; last.Text != "begun\n" || last.Stream != "stdout" {
		t.Errorf("got %+v", last)
	}
	exec := seen[len(seen)-1].Exec
	s.touch(t, "live", "go")
	seen = append(seen, live.until(t, func(e event) bool { return e.Type == "execution.finished" && e.Exec == exec })...)
	if last := seen[len(seen)-1]; last.Code == nil || *last.Code != 0 || last.Cause != "" {
		t.Errorf("got %+v", last)
	}
	got := <-done
	if got.Error != nil || got.Result.Content[0].Text+"\n" != outputOf(seen, exec) {
		t.Errorf("the call got %+v, the stream %q", got, outputOf(seen, exec))
	}
	for i := 1; i < len(seen); i++ {
		if seen[i].Seq != seen[i-1].Seq+1 {
			t.Errorf("event %d follows %d", seen[i].Seq, seen[i-1].Seq)
		}
	}
	last := seen[len(seen)-1].Seq
	for i, e := range seen[:len(seen)-1] {
		id := strconv.FormatUint(e.Seq, 10)
		path := "/v1/sessions/live/events"
		if i%2 == 1 { // the other way to say it
			path, id = path+"?after="+id, ""
		}
		again := s.stream(t, path, id)
		if got := raw(again.until(t, func(e event) bool { return e.Seq == last })); got != raw(seen[i+1:]) {
			t.Errorf("after %d: got\n%s\nwant\n%s", e.Seq, got, raw(seen[i+1:]))
		}
		again.body.Close()
	}
	s.text(t, "stop_session", arguments{"session_id": "live"})
	rest := live.rest(t)
	if end := rest[len(rest)-1]; end.Type != "session.stopped" || end.Cause != "killed_by_user" {
		t.Errorf("got %+v", end)
	}
	if status, _ := s.get(t, "/v1/sessions/live/events"); status != http.StatusNotFound {
		t.Errorf("a session that ended: status %d", status)
	}
}

// Text is never split inside a character; what is no text is exact too.
func TestEvents_TextAndBytes(t *testing.T) {
	s := serve(t)
	s.create(t, "b")
	reader := s.stream(t, "/v1/sessions/b/events", "")
	smile := "😀ä"
	done := s.begin(t, "b", "import os\nt = '"+smile+"'.encode()\nos.write(1, b'>' + t[:2])\n"+awaiting("go")+
		"os.write(1, t[2:5])\nos.write(1, t[5:] + b'<')\n"+awaiting("on")+"os.write(1, bytes(range(256)))\nn = os.write(2, b'e\\n')")
	first := reader.until(t, isType("output"))
	s.touch(t, "b", "go")
	first = append(first, reader.until(t, func(e event) bool { return strings.HasSuffix(e.Text, "<") })...)
	s.touch(t, "b", "on")
	if got := <-done; got.Error != nil {
		t.Fatalf("got %+v", got.Error)
	}
	s.text(t, "stop_session", arguments{"session_id": "b"})
	all := append(first, reader.rest(t)...)
	var stdout, stderr, text []byte
	var isBinary bool
	for _, e := range all {
		switch {
		case e.Stream == "stderr":
			stderr = append(stderr, e.bytes()...)
		case e.Base64 != "":
			isBinary = true
			stdout = append(stdout, e.bytes()...)
		case e.Type == "output":
			text = append(text, e.bytes()...)
			stdout = append(stdout, e.bytes()...)
		}
	}
	want := []byte(">" + smile + "<")
	for i := range 256 {
		want = append(want, byte(i))
	}
	if !bytes.Equal(stdout, want) || string(stderr) != "e\n" {
		t.Errorf("got %q and %q", stdout, stderr)
	}
	if !isBinary || !bytes.HasPrefix(text, []byte(">"+smile)) {
		t.Errorf("as text came %q, bytes %v", text, isBinary)
	}
}

// Who comes too late for what is kept is told how much that was.
func TestEvents_Gap(t *testing.T) {
	s := serve(t, "SANDWARDEN_HISTORY_SESSION_BYTES=1MiB", "SANDWARDEN_HISTORY_EXECUTIONS=1")
	for range 8 {
		s.run(t, "g", "for i in range(300): print('x' * 1023)")
	}
	s.run(t, "g", "print('last')")
	late := s.stream(t, "/v1/sessions/g/events", "1").until(t, func(e event) bool { return e.Type == "output" && e.Text == "last\n" })
	gap := late[0]
	if gap.Type != "gap" || gap.From != 2 || gap.To < gap.From || gap.Seq != gap.To || late[1].Seq != gap.To+1 {
		t.Errorf("got %+v, then event %d", gap, late[1].Seq)
	}
	if kept := len(outputOf(late, "")); kept < 128<<10 || kept > 2<<20 {
		t.Errorf("%d bytes were kept", kept)
	}
}

// Twenty readers, of which one never reads: the others miss nothing, and the
// code is not held up.
func TestEvents_ManyReaders(t *testing.T) {
	s := serve(t, "SANDWARDEN_LIMITS_OUTPUT_BYTES=32MiB")
	s.create(t, "many")
	stuck(t, s, "/v1/sessions/many/events")
	const readers, rounds, lines = 19, 8, 512 // of 1 KiB: less than the ring keeps, all of them more than sockets hold
	var wait [rounds]sync.WaitGroup
	for i := range wait {
		wait[i].Add(readers)
	}
	faults := make(chan error, readers)
	for range readers {
		r := s.stream(t, "/v1/sessions/many/events", "")
		go func() { faults <- r.countRounds(wait[:], lines) }() // ends with the stream
	}
	code := "import os, time\n" +
		fmt.Sprintf("for i in range(%d):\n    for j in range(%d): print('x' * 1023)\n    print('round', i, flush=True)\n", rounds, lines) +
		"    while not os.path.exists(f'/work/{i}'): time.sleep(0.005)\n"
	done := s.begin(t, "many", code)
	for i := range rounds {
		all := make(chan struct{})
		go func() { wait[i].Wait(); close(all) }()
		select {
		case <-all:
		case err := <-faults:
			t.Fatal(err)
		case got := <-done:
			t.Fatalf("the code ended early: %+v", got)
		}
		s.touch(t, "many", strconv.Itoa(i))
	}
	if got := <-done; got.Error != nil || !got.Result.CodeSuccess {
		t.Errorf("got %+v", got)
	}
	s.text(t, "stop_session", arguments{"session_id": "many"})
	for range readers {
		if err := <-faults; err != nil {
			t.Error(err)
		}
	}
}

// countRounds reads rounds of so many lines of output and says that each is
// over.
func (r *stream) countRounds(wait []sync.WaitGroup, lines int) error {
	var text []byte
	for i := 0; ; {
		e, err := r.next()
		switch {
		case errors.Is(err, io.EOF) && i == len(wait):
			return nil
		case err != nil:
			return fmt.Errorf("in round %d: %w", i, err)
		case e.Type == "gap":
			return fmt.Errorf("in round %d: %+v", i, e)
		}
		text = append(text, e.bytes()...)
		if mark := fmt.Appendf(nil, "round %d\n", i); i < len(wait) && bytes.HasSuffix(text, mark) {
			if len(text) != lines<<10+len(mark) {
				return fmt.Errorf("round %d has %d bytes", i, len(text))
			}
			text = text[:0]
			wait[i].Done()
			i++
		}
	}
}

// stuck opens a stream and never reads from it.
func stuck(t *testing.T, s *server, path string) {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// The daemon's own stream has the events of all sessions under its own numbers.
func TestEvents_OfAllSessions(t *testing.T) {
	s := serve(t)
	all := s.stream(t, "/v1/events", "")
	for _, name := range []string{"a", "b"} {
		s.run(t, name, "print('"+name+"')")
	}
	for _, name := range []string{"b", "a"} {
		s.text(t, "stop_session", arguments{"session_id": name})
	}
	got := all.until(t, func(e event) bool { return e.Type == "session.stopped" && e.Session == "a" })
	seen := map[string]int{}
	for i, e := range got {
		seen[e.Session+" "+e.Type]++
		if e.Seq != got[0].Seq+uint64(i) {
			t.Errorf("event %d is numbered %d, the first %d", i+1, e.Seq, got[0].Seq)
		}
	}
	for _, name := range []string{"a", "b"} {
		for _, kind := range []string{"session.ready", "execution.started", "output", "execution.finished", "session.stopped"} {
			if seen[name+" "+kind] != 1 {
				t.Errorf("%d events %s of %s", seen[name+" "+kind], kind, name)
			}
		}
	}
}
