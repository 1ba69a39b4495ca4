package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/events"
	"github.com/sandwarden/sandwarden/transport/rest"
	"github.com/sandwarden/sandwarden/transport/sse"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

const asJSON, json1 = "Content-Type", "application/json"

// shape reads an answer.
func shape(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return m
}

// held runs until its end is told, after it has put something out.
func held(release <-chan struct{}) transporttest.Run {
	return func(ctx context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
		r.Follow(sandbox.Stdout, []byte("begun\n"))
		select {
		case <-release:
			r.Follow(sandbox.Stderr, []byte("done\n"))
			result.Stdout, result.Stderr = []byte("begun\n"), []byte("done\n")
		case <-ctx.Done():
			result.Exit = sandbox.Exit{Code: 130, Cause: sandbox.CauseKilled, Evidence: "interrupted"}
		}
		return nil
	}
}

func TestRun_WhatIsAskedFor(t *testing.T) {
	var got sandbox.ExecRequest
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		got = r
		return nil
	}}
	h := made(fake, rest.Options{})
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		want       func(r *sandbox.ExecRequest) string
		says       string
	}{
		"code": {
			"/v1/sessions/s/executions", `{"code":"1","timeout":2.5,"template":"node","flavor":"large","wait":9}`, nil,
			func(r *sandbox.ExecRequest) string {
				return fmt.Sprintln(r.Session, r.Code, r.Argv, r.Timeout, r.Template, r.Flavor, r.Stdin, r.Background)
			},
			"s 1 [] 2.5s node large false false\n",
		},
		"no code is code too": {
			"/v1/sessions/s/executions", `{"code":"","wait":9}`, nil, func(r *sandbox.ExecRequest) string { return r.Code }, "\n",
		},
		"a line": {
			"/v1/sessions/s/executions", `{"command":"ls | wc","env":{"B":"2","A":"1"},"working_directory":"/tmp","stdin":true,"background":true,"wait":9}`, nil,
			func(r *sandbox.ExecRequest) string { return fmt.Sprintln(r.Argv, r.Vars, r.Dir, r.Stdin, r.Background) },
			"[sh -c ls | wc] [A=1 B=2] /tmp true true\n",
		},
		"a program": {
			"/v1/executions", `{"command":"ls","args":["a b"],"wait":9,"idempotency_key":"k"}`, nil,
			func(r *sandbox.ExecRequest) string { return fmt.Sprintf("%q %s", r.Argv, r.Key) }, `["ls" "a b"] k`,
		},
		"a key in a header": {
			"/v1/executions", `{"command":"ls","wait":9}`,
			[]string{"Idempotency-Key", "h"},
			func(r *sandbox.ExecRequest) string { return r.Key }, `h`,
		},
	} {
		w := send(t, h, http.MethodPost, c.path, c.body, append(c.headers, asJSON, json1)...)
		if w.Code != 200 || c.want(&got) != c.says {
			t.Errorf("%s: %d %s: asked for %q, want %q", name, w.Code, w.Body, c.want(&got), c.says)
		}
	}
}

func TestRun_AtOnceAndWithPatience(t *testing.T) {
	release := make(chan struct{})
	h := made(&transporttest.Sessions{Run: held(release)}, rest.Options{})
	w := send(t, h, http.MethodPost, "/v1/sessions/s/executions", `{"code":"1"}`, asJSON, json1)
	x := shape(t, w)
	at := "/v1/executions/exec-1"
	if w.Code != 202 || x["status"] != "running" || x["session_created"] != true || w.Header().Get("Location") != at || x["stdout"] != nil {
		t.Errorf("at once: %d %v %s", w.Code, w.Header(), w.Body)
	}
	w = send(t, h, http.MethodPost, "/v1/sessions/s/executions", `{"code":"2","wait":0.01}`, asJSON, json1)
	if x := shape(t, w); w.Code != 202 || x["status"] != "running" || x["session_created"] != false {
		t.Errorf("with little patience: %d %s", w.Code, w.Body)
	}
	if w := send(t, h, http.MethodGet, at+"?wait=60&after=0", ""); shape(t, w)["status"] != "running" {
		t.Errorf("output ends the wait: %s", w.Body)
	}
	if w := send(t, h, http.MethodGet, at+"/result", ""); shape(t, w)["stdout"] != "begun\n" {
		t.Errorf("the result so far: %s", w.Body)
	}
	close(release)
	if x := shape(t, send(t, h, http.MethodGet, at+"?wait=60", "")); x["status"] != "finished" || x["exit_code"] != 0.0 {
		t.Errorf("waited for: %v", x)
	}
	if x := shape(t, send(t, h, http.MethodGet, at+"/result", "")); x["stdout"] != "begun\n" || x["stderr"] != "done\n" {
		t.Errorf("the result: %v", x)
	}
	var list struct{ Executions []map[string]any }
	w = send(t, h, http.MethodGet, "/v1/sessions/s/executions?status=finished&limit=1", "")
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Executions) != 1 {
		t.Errorf("the list: %d %s", w.Code, w.Body)
	}
}

func TestRun_Result(t *testing.T) {
	fake := &transporttest.Sessions{Run: func(_ context.Context, _ sandbox.ExecRequest, result *sandbox.ExecResult) error {
		result.Stdout, result.Stderr = []byte("a\xff"), []byte("é")
		result.Rich = []sandbox.Rich{{MIME: "image/png", Data: []byte{1, 2}}}
		result.Exit = sandbox.Exit{
			Code: 1, Cause: sandbox.CauseOOM, Evidence: "oom_kill 1", StateLost: true, Result: "7", Dropped: 3, Duration: time.Second,
			Failure: &sandbox.Failure{Name: "MemoryError", Message: "no"},
		}
		result.Hint = "use less"
		return nil
	}}
	h := made(fake, rest.Options{})
	w := send(t, h, http.MethodPost, "/v1/executions", `{"code":"1","wait":60}`, asJSON, json1)
	for _, want := range []string{
		`"status":"failed"`, `"exit_code":1`, `"cause":"oom"`, `"evidence":"oom_kill 1"`, `"state_lost":true`, `"result":"7"`,
		`"failure":{"name":"MemoryError","message":"no"}`, `"dropped_bytes":3`, `"duration_ms":1000`, `"kind":"stopped","detail":"Code execution failed`,
		`"stdout":"a` + "\ufffd" + `","stderr":"é","stdout_base64":"Yf8="`, `"rich":[{"mime":"image/png","base64":"AQI="}]`, `"truncated":true`, `"hint":"use less"`,
	} {
		if !strings.Contains(w.Body.String(), strings.ReplaceAll(want, "\ufffd", `\ufffd`)) {
			t.Errorf("%d %s\nlacks %s", w.Code, w.Body, want)
		}
	}
}

func TestRun_Refusals(t *testing.T) {
	h := made(&transporttest.Sessions{}, rest.Options{MaxCode: 10, MaxBody: 1 << 10, MaxTimeout: time.Minute})
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"nothing to run":       {"POST", "/v1/executions", ``, 400, "exactly one of code and command"},
		"both":                 {"POST", "/v1/executions", `{"code":"1","command":"ls"}`, 400, "exactly one of code and command"},
		"args of code":         {"POST", "/v1/executions", `{"code":"1","args":["a"]}`, 400, "args are for a command"},
		"env of code":          {"POST", "/v1/executions", `{"code":"1","env":{"A":"b"}}`, 400, "are for a command"},
		"an empty command":     {"POST", "/v1/executions", `{"command":""}`, 400, "must not be empty"},
		"much code":            {"POST", "/v1/executions", `{"code":"12345678901"}`, 400, "longer than 10 bytes"},
		"many args":            {"POST", "/v1/executions", `{"command":"123456","args":["78901"]}`, 400, "longer than 10 bytes"},
		"a large body":         {"POST", "/v1/executions", `{"code":"` + strings.Repeat("1", 2<<10) + `"}`, 413, "larger than 1 KiB"},
		"a long timeout":       {"POST", "/v1/executions", `{"code":"1","timeout":61}`, 400, "at most 60 seconds"},
		"a negative wait":      {"POST", "/v1/executions", `{"code":"1","wait":-1}`, 400, "body.wait: expected number"},
		"a wrong type":         {"POST", "/v1/executions", `{"code":1}`, 400, "body.code: expected string"},
		"null":                 {"POST", "/v1/executions", `{"code":null}`, 400, "exactly one of code and command"},
		"a list":               {"POST", "/v1/executions", `[]`, 400, "expected object"},
		"unknown":              {"POST", "/v1/executions", `{"code":"1","session_id":"s"}`, 400, `unknown field \"session_id\"`},
		"no execution":         {"GET", "/v1/executions/none", ``, 404, "Execution not found: none"},
		"no result":            {"GET", "/v1/executions/none/result", ``, 404, "Execution not found: none"},
		"no output":            {"GET", "/v1/executions/none/output", ``, 404, "Execution not found: none"},
		"no events":            {"GET", "/v1/executions/none/events", ``, 404, "Execution not found: none"},
		"input without offset": {"PUT", "/v1/executions/none/stdin", `x`, 400, "offset"},
		"no input":             {"PUT", "/v1/executions/none/stdin?offset=0", `x`, 404, "Execution not found: none"},
		"none to cancel":       {"DELETE", "/v1/executions/none", ``, 404, "Execution not found: none"},
		"no such signal":       {"POST", "/v1/executions/none/signal", `{"signal":"hup"}`, 400, "body.signal"},
		"no session":           {"GET", "/v1/sessions/none/executions", ``, 404, "Session not found: none"},
		"an unknown query":     {"GET", "/v1/executions/none?wiat=1", ``, 400, "query.wiat"},
		"an unknown status":    {"GET", "/v1/sessions/none/executions?status=odd", ``, 400, "query.status"},
		"from and tail":        {"GET", "/v1/executions/none/output?from=1&tail=1", ``, 400, "exclude each other"},
		"nothing there":        {"GET", "/v1/nothing", ``, 404, "There is nothing at /v1/nothing"},
		"nothing below":        {"GET", "/v1/executions/none/odd", ``, 404, "There is nothing at"},
		"a wrong method":       {"PATCH", "/v1/executions/none", ``, 405, "This path takes DELETE, GET"},
		"a path that climbs":   {"GET", "/v1/../etc", ``, 404, "There is nothing at"},
	} {
		w := send(t, h, c.method, c.path, c.body, asJSON, json1, "Accept", "a;,b") // which the library falls over
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || w.Header().Get("Content-Type") != "application/problem+json" || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, c.status, c.want)
		}
	}
	w := send(t, h, http.MethodPost, "/v1/executions", `{"code":"1","idempotency_key":"a"}`, asJSON, json1, "Idempotency-Key", "b")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "differ") {
		t.Errorf("two keys: %d %s", w.Code, w.Body)
	}
}

func TestRun_WhatNeverRan(t *testing.T) {
	h := made(&transporttest.Sessions{Run: func(context.Context, sandbox.ExecRequest, *sandbox.ExecResult) error {
		return &sandbox.Error{Kind: sandbox.Exhausted, Err: errors.New("open /secret")}
	}}, rest.Options{})
	w := send(t, h, http.MethodPost, "/v1/executions", `{"code":"1","wait":60}`, asJSON, json1)
	if x := shape(t, w); w.Code != 200 || x["status"] != "failed" || x["error"].(map[string]any)["kind"] != "exhausted" || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSignal(t *testing.T) {
	h := made(&transporttest.Sessions{Run: held(nil)}, rest.Options{})
	for name, c := range map[string]struct{ method, below, body string }{
		"a signal": {"POST", "/signal", `{"signal":"terminate"}`},
		"a cancel": {"DELETE", "", ""},
	} {
		at := send(t, h, http.MethodPost, "/v1/executions", `{"code":"1"}`, asJSON, json1).Header().Get("Location")
		if w := send(t, h, c.method, at+c.below, c.body, asJSON, json1); w.Code != 204 || w.Body.Len() != 0 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if x := shape(t, send(t, h, http.MethodGet, at+"?wait=60", "")); x["status"] != "cancelled" || x["cause"] != "killed_by_user" {
			t.Errorf("%s: %v", name, x)
		}
	}
}

func TestOutput(t *testing.T) {
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		r.Follow(sandbox.Stdout, []byte("<b>one</b>\n"))
		r.Follow(sandbox.Stderr, []byte("two\xff\n"))
		r.Follow(sandbox.Stdout, []byte("three\n"))
		return nil
	}}
	h := made(fake, rest.Options{})
	at := send(t, h, http.MethodPost, "/v1/executions", `{"code":"1","wait":60}`, asJSON, json1).Header().Get("Location") + "/output"
	for query, want := range map[string]string{
		"":                         `{"chunks":[{"stream":"stdout","text":"<b>one</b>\n"},{"stream":"stderr","base64":"dHdv/wo="},{"stream":"stdout","text":"three\n"}],"from":0,"next":22,"end":true,"missing":0}`,
		"?from=11&max=4":           `{"chunks":[{"stream":"stderr","base64":"dHdv/w=="}],"from":11,"next":15,"end":false,"missing":0}`,
		"?stream=stdout&tail=6":    `{"chunks":[{"stream":"stdout","text":"three\n"}],"from":11,"next":17,"end":true,"missing":0}`,
		"?stream=stderr&from=1000": `{"chunks":[],"from":5,"next":5,"end":true,"missing":0}`,
	} {
		if w := send(t, h, http.MethodGet, at+query, "", "Accept", "application/json, text/plain"); w.Code != 200 || strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%s: %d %s, want %s", query, w.Code, w.Body, want)
		}
	}
	for accept, kind := range map[string]string{"text/plain": "text/plain; charset=utf-8", "application/octet-stream;q=1": "application/octet-stream"} {
		w := send(t, h, http.MethodGet, at+"?max=12", "", "Accept", accept)
		header := w.Header()
		if w.Code != 200 || w.Body.String() != "<b>one</b>\nt" || header.Get("Content-Type") != kind || header.Get("Output-From") != "0" ||
			header.Get("Output-Next") != "12" || header.Get("Output-End") != "false" || header.Get("Output-Missing") != "0" ||
			header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d %v %q", accept, w.Code, header, w.Body)
		}
	}
	if w := send(t, h, http.MethodGet, at, "", "Accept", "text/html"); w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("as a page: %v", w.Header())
	}
}

// slow takes input in pieces, and at times none.
type slow struct {
	transporttest.Sessions

	turn int
	got  []byte
	end  bool
}

func (*slow) Execution(context.Context, sandbox.Principal, sandbox.ExecID) (sandbox.Execution, error) {
	return sandbox.Execution{}, nil
}

func (s *slow) WriteStdin(_ context.Context, _ sandbox.Principal, _ sandbox.ExecID, offset uint64, data []byte) (int, error) {
	if data == nil {
		s.end = true
		return 0, nil
	}
	s.turn++
	if s.turn%2 == 0 || int(offset) != len(s.got) {
		return 0, nil
	}
	n := min(3, len(data))
	s.got = append(s.got, data[:n]...)
	return n, nil
}

func TestStdin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &slow{}
		h := made(fake, rest.Options{})
		w := send(t, h, http.MethodPut, "/v1/executions/x/stdin?offset=0", "12345678")
		if want := `{"taken":8,"offset":8,"whole":true,"closed":false}`; strings.TrimSpace(w.Body.String()) != want || string(fake.got) != "12345678" {
			t.Errorf("%d %s, %q", w.Code, w.Body, fake.got)
		}
		w = send(t, h, http.MethodPost, "/v1/executions/x/stdin?offset=8&close=true", "9")
		if want := `{"taken":1,"offset":9,"whole":true,"closed":true}`; strings.TrimSpace(w.Body.String()) != want || !fake.end {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		w = send(t, h, http.MethodPut, "/v1/executions/x/stdin?offset=5000&close=true", "no one reads") // a hole, which is never taken here
		if want := `{"taken":0,"offset":5000,"whole":false,"closed":false}`; strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// Requests that wait are bounded in their number, and end with the server.
func TestWait_IsAStream(t *testing.T) {
	fake := &transporttest.Sessions{Run: held(nil)}
	streams := sse.NewStreams(1)
	h := rest.New(fake, streams, events.New(fake, streams, events.Options{}), rest.Options{})
	at := send(t, h, http.MethodPost, "/v1/sessions/s/executions", `{"code":"1"}`, asJSON, json1).Header().Get("Location")
	_, leave, _ := streams.Enter(t.Context())
	w := send(t, h, http.MethodGet, at+"?wait=60", "")
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("one too many: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := send(t, h, http.MethodPost, "/v1/sessions/other/executions", `{"code":"1","wait":1}`, asJSON, json1); w.Code != 503 {
		t.Errorf("one too many runs: %d", w.Code)
	}
	if w := send(t, h, http.MethodGet, "/v1/sessions/other", ""); w.Code != 404 {
		t.Errorf("it made its session: %d", w.Code)
	}
	leave()
	answered := make(chan *httptest.ResponseRecorder)
	go func() { answered <- send(t, h, http.MethodGet, at+"?wait=60", "") }()
	for streamsAreFree(t, streams) {
		time.Sleep(time.Millisecond)
	}
	streams.Close()
	if w := <-answered; w.Code != 200 || shape(t, w)["status"] != "running" {
		t.Errorf("at the end of the server: %d %s", w.Code, w.Body)
	}
	send(t, h, http.MethodDelete, at, "")
}

func streamsAreFree(t *testing.T, streams *sse.Streams) bool {
	t.Helper()
	_, leave, ok := streams.Enter(t.Context())
	if ok {
		leave()
	}
	return ok
}
