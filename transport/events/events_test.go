package events_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/events"
	"github.com/sandwarden/sandwarden/transport/sse"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// serve starts a server of one session's events, and those of all under /all.
func serve(t *testing.T, sessions events.Sessions, options events.Options) (url string, streams *sse.Streams) {
	t.Helper()
	streams = sse.NewStreams(8)
	h := events.New(sessions, streams, options)
	mux := http.NewServeMux()
	mux.HandleFunc("/all", h.All)
	mux.HandleFunc("/{name}", func(w http.ResponseWriter, r *http.Request) { h.One(w, r, r.PathValue("name")) })
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		streams.Close()
		server.Close()
	})
	return server.URL, streams
}

// A reader reads a stream event by event.
type reader struct {
	t     *testing.T
	lines *bufio.Scanner
}

// An answer is what is left of a response once its body is read.
type answer struct {
	StatusCode int
	Header     http.Header
}

func get(t *testing.T, url string, headers ...string) (*answer, *reader) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	return &answer{response.StatusCode, response.Header}, &reader{t, lines}
}

// next returns the next event or comment, its lines joined by "|"; "" at the end.
func (r *reader) next() string {
	r.t.Helper()
	var got []string
	for r.lines.Scan() {
		if r.lines.Text() == "" {
			return strings.Join(got, "|")
		}
		got = append(got, r.lines.Text())
	}
	return strings.Join(got, "|")
}

func (r *reader) expect(want string) {
	r.t.Helper()
	if got := r.next(); got != want {
		r.t.Errorf("got  %s\nwant %s", got, want)
	}
}

const at = `"time":"2026-01-31T15:36:30Z","type":`

func TestStream(t *testing.T) {
	fake := &transporttest.Sessions{}
	if _, _, err := fake.Create(t.Context(), sandbox.SessionRequest{Session: "s"}); err != nil {
		t.Fatal(err)
	}
	url, _ := serve(t, fake, events.Options{})
	answer, r := get(t, url+"/s")
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" || answer.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("%d %v", answer.StatusCode, answer.Header)
	}
	r.expect(": stream open")
	r.expect(`id: 1|event: session.ready|data: {"seq":1,` + at + `"session.ready","session_id":"s"}`)
	fake.Publish("s", sandbox.Event{Type: sandbox.Output, Exec: "x", Stream: sandbox.Stdout, Data: []byte("<é>\n")})
	r.expect(`id: 2|event: output|data: {"seq":2,` + at + `"output","session_id":"s","execution_id":"x","stream":"stdout","text":"<é>\n"}`)
	fake.Publish("s", sandbox.Event{Type: sandbox.Output, Exec: "x", Stream: sandbox.Display, MIME: "image/png", Data: []byte{0x89, 'P'}})
	r.expect(`id: 3|event: output|data: {"seq":3,` + at + `"output","session_id":"s","execution_id":"x","stream":"display","mime":"image/png","base64":"iVA="}`)
	fake.Publish("s", sandbox.Event{Type: sandbox.ExecutionFinished, Exec: "x", Exit: &sandbox.Exit{
		Code: 1, Cause: sandbox.CauseOOM, Evidence: "oom_kill 1", StateLost: true, Result: "7", Dropped: 2,
		Failure: &sandbox.Failure{Name: "E", Message: "m"}, Duration: time.Second, CPU: time.Millisecond, PeakBytes: 9,
	}})
	r.expect(`id: 4|event: execution.finished|data: {"seq":4,` + at + `"execution.finished","session_id":"s","execution_id":"x","exit_code":1,"cause":"oom","evidence":"oom_kill 1","state_lost":true,"result":"7","failure":{"name":"E","message":"m"},"dropped_bytes":2,"duration_ms":1000,"cpu_ms":1,"peak_bytes":9}`)
	fake.Publish("s", sandbox.Event{Type: sandbox.SessionRestarted, Cause: sandbox.CauseOOM, StateLost: true, FilesLost: true})
	r.expect(`id: 5|event: session.restarted|data: {"seq":5,` + at + `"session.restarted","session_id":"s","cause":"oom","state_lost":true,"files_lost":true}`)
	if err := fake.Stop(t.Context(), sandbox.Ref{Name: "s"}); err != nil {
		t.Fatal(err)
	}
	r.expect(`id: 6|event: session.stopped|data: {"seq":6,` + at + `"session.stopped","session_id":"s","cause":"killed_by_user"}`)
	r.expect(": end of events")
	r.expect("") // the stream ends with the log
}

// filled is a session with events 1 to n, of which the log keeps the newest.
func filled(t *testing.T, n, kept int) *transporttest.Sessions {
	t.Helper()
	fake := &transporttest.Sessions{LogLimit: kept}
	if _, _, err := fake.Create(t.Context(), sandbox.SessionRequest{Session: "s"}); err != nil {
		t.Fatal(err)
	}
	for i := 2; i <= n; i++ {
		fake.Publish("s", sandbox.Event{Type: sandbox.Output, Stream: sandbox.Stdout, Data: fmt.Appendf(nil, "%d", i)})
	}
	return fake
}

func TestStream_Resumes(t *testing.T) {
	url, _ := serve(t, filled(t, 10, 4), events.Options{})
	for name, c := range map[string]struct {
		query   string
		headers []string
		want    []string
	}{
		"by header":              {"", []string{"Last-Event-ID", "8"}, []string{"9", "10"}},
		"by query":               {"?after=9", nil, []string{"10"}},
		"the header wins":        {"?after=7", []string{"Last-Event-ID", "9"}, []string{"10"}},
		"from the oldest":        {"", nil, []string{"gap 1-6", "7", "8", "9", "10"}},
		"what is no longer kept": {"?after=3", nil, []string{"gap 4-6", "7", "8", "9", "10"}},
	} {
		_, r := get(t, url+"/s"+c.query, c.headers...)
		r.expect(": stream open")
		for _, want := range c.want {
			event := r.next()
			if from, ok := strings.CutPrefix(want, "gap "); ok {
				first, last, _ := strings.Cut(from, "-")
				if !strings.HasPrefix(event, "id: "+last+"|event: gap|") || !strings.Contains(event, `"from":`+first+`,"to":`+last+"}") {
					t.Errorf("%s: got %s, want gap %s", name, event, from)
				}
			} else if !strings.HasPrefix(event, "id: "+want+"|event: output|") {
				t.Errorf("%s: got %s, want %s", name, event, want)
			}
		}
	}
}

func TestStream_Refusals(t *testing.T) {
	url, streams := serve(t, filled(t, 1, 0), events.Options{})
	for name, c := range map[string]struct {
		path   string
		header string
		status int
		want   string
	}{
		"unknown session":  {"/nobody", "", 404, `"detail":"Session not found: nobody","kind":"not_found"`},
		"a bad cursor":     {"/s?after=x", "", 400, `"detail":"Invalid parameters: after must be the number of an event","kind":"invalid","remedy":`},
		"a negative one":   {"/all?after=-1", "", 400, `"kind":"invalid"`},
		"a bad last event": {"/s", "1-2", 400, `Last-Event-ID must be the number`},
	} {
		answer, r := get(t, url+c.path, "Last-Event-ID", c.header)
		got := r.next()
		if answer.StatusCode != c.status || !strings.Contains(got, c.want) || !json.Valid([]byte(got)) ||
			answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, answer.StatusCode, got)
		}
	}
	for range 8 {
		_, leave, ok := streams.Enter(t.Context())
		if !ok {
			t.Fatal("too few streams")
		}
		defer leave()
	}
	if answer, r := get(t, url+"/s"); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("too many: %d %s", answer.StatusCode, r.next())
	}
}

func TestStream_All(t *testing.T) {
	fake := filled(t, 2, 0)
	url, _ := serve(t, fake, events.Options{})
	_, r := get(t, url+"/all?after=1")
	r.expect(": stream open")
	if got := r.next(); !strings.HasPrefix(got, "id: 2|event: output|") {
		t.Errorf("got %s", got)
	}
	if _, _, err := fake.Create(t.Context(), sandbox.SessionRequest{Session: "other"}); err != nil {
		t.Fatal(err)
	}
	r.expect(`id: 3|event: session.ready|data: {"seq":3,` + at + `"session.ready","session_id":"other"}`)
}

func TestStream_Heartbeats(t *testing.T) {
	url, _ := serve(t, &transporttest.Sessions{}, events.Options{Heartbeat: 5 * time.Millisecond})
	_, r := get(t, url+"/all")
	r.expect(": stream open")
	r.expect(": heartbeat")
	r.expect(": heartbeat")
}

// A reader that reads nothing is dropped, and hinders nobody meanwhile.
func TestStream_StuckReader(t *testing.T) {
	fake := filled(t, 1, 64)
	url, streams := serve(t, fake, events.Options{WriteTimeout: 200 * time.Millisecond})
	stuck, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	fmt.Fprintf(stuck, "GET /s HTTP/1.1\r\nHost: localhost\r\n\r\n")
	_, r := get(t, url+"/s")
	r.expect(": stream open")
	r.next() // session.ready
	chunk := []byte(strings.Repeat("x", 60<<10))
	for i := range 200 { // 12 MB: more than sockets take
		fake.Publish("s", sandbox.Event{Type: sandbox.Output, Stream: sandbox.Stdout, Data: chunk})
		if got := r.next(); !strings.HasPrefix(got, fmt.Sprintf("id: %d|event: output|", i+2)) {
			t.Fatalf("event %d is %.60s", i+2, got)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for open(t, streams) > 1 {
		if time.Now().After(deadline) {
			t.Fatal("the stuck reader is still served")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// open counts the open streams, by how many more there may be.
func open(t *testing.T, streams *sse.Streams) int {
	t.Helper()
	var free int
	for {
		_, leave, ok := streams.Enter(context.WithoutCancel(t.Context()))
		if !ok {
			return 8 - free
		}
		free++
		defer leave()
	}
}

// The stream of an execution has its own events alone, under the numbers that
// they have in its session, and ends with it.
func TestStream_OfAnExecution(t *testing.T) {
	fake := &transporttest.Sessions{}
	x, err := fake.Execute(t.Context(), sandbox.ExecRequest{SessionRequest: sandbox.SessionRequest{Session: "s"}, Code: "1"})
	if err != nil {
		t.Fatal(err)
	}
	streams := sse.NewStreams(1)
	h := events.New(fake, streams, events.Options{})
	ask := func(id sandbox.ExecID, after string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?after="+after, nil)
		h.Execution(w, r, id)
		return w.Code, w.Body.String()
	}
	status, all := ask(x.Exec, "")
	if status != 200 || strings.Contains(all, "session.ready") || !strings.HasSuffix(all, ": end of events\n\n") {
		t.Errorf("%d %s", status, all)
	}
	for _, want := range []string{"id: 2\nevent: execution.started\n", "id: 3\nevent: output\n", "id: 4\nevent: execution.finished\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s lacks %s", all, want)
		}
	}
	if _, rest := ask(x.Exec, "3"); strings.Contains(rest, "event: output") || !strings.Contains(rest, "id: 4\n") {
		t.Errorf("after 3: %s", rest)
	}
	if status, body := ask("none", ""); status != 404 || !strings.Contains(body, "Execution not found: none") {
		t.Errorf("none: %d %s", status, body)
	}
}
