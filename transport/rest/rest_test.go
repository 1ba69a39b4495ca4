package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/events"
	"github.com/sandwarden/sandwarden/transport/rest"
	"github.com/sandwarden/sandwarden/transport/sse"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// made returns a handler with streams of its own.
func made(sessions transport.Sessions, options rest.Options) *rest.Handler {
	streams := sse.NewStreams(8)
	return rest.New(sessions, streams, events.New(sessions, streams, events.Options{}), options)
}

// ask sends one request to a handler: for a session when the name is not empty.
func ask(t *testing.T, h *rest.Handler, method, name, body string) *httptest.ResponseRecorder {
	t.Helper()
	path := "/v1/sessions"
	if name != "" {
		path += "/" + name
	}
	return send(t, h, method, path, body, "Content-Type", "application/json; charset=utf-8")
}

// send sends one request to a path.
func send(t *testing.T, h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestSessions(t *testing.T) {
	h := made(&transporttest.Sessions{}, rest.Options{})
	first := ask(t, h, http.MethodPost, "", `{"session_id":"s","template":"node","flavor":"medium"}`)
	if first.Code != 201 || first.Header().Get("Location") != "/v1/sessions/s" {
		t.Fatalf("%d %s", first.Code, first.Body)
	}
	for _, want := range []string{
		`"session_id":"s","sandbox_name":"sb-1","template":"node","flavor":"medium"`,
		`"limits":{"cpus":2,"memory_mb":2048,"pids":512,"disk_mb":1024,"inodes":131072}`, `"status":"ready"`, `"events":"/v1/sessions/s/events"`,
	} {
		if !strings.Contains(first.Body.String(), want) {
			t.Errorf("%s\nlacks %s", first.Body, want)
		}
	}
	if again := ask(t, h, http.MethodPost, "", `{"session_id":"s"}`); again.Code != 200 || again.Body.String() != first.Body.String() {
		t.Errorf("again: %d %s", again.Code, again.Body)
	}
	if got := ask(t, h, http.MethodGet, "s", ""); got.Code != 200 || got.Body.String() != first.Body.String() {
		t.Errorf("one: %d %s", got.Code, got.Body)
	}
	if got := ask(t, h, http.MethodPost, "", ""); got.Code != 201 { // all defaults
		t.Errorf("empty body: %d %s", got.Code, got.Body)
	}
	var list struct{ Sessions []map[string]any }
	if got := ask(t, h, http.MethodGet, "", ""); json.Unmarshal(got.Body.Bytes(), &list) != nil || len(list.Sessions) != 2 || list.Sessions[0]["session_id"] != "s" {
		t.Errorf("list: %s", got.Body)
	}
	if got := ask(t, h, http.MethodDelete, "s", ""); got.Code != 204 || got.Body.Len() != 0 {
		t.Errorf("delete: %d %s", got.Code, got.Body)
	}
	if got := ask(t, h, http.MethodDelete, "s", ""); got.Code != 404 || !strings.Contains(got.Body.String(), `"kind":"not_found"`) {
		t.Errorf("delete again: %d %s", got.Code, got.Body)
	}
}

func TestSessions_Environment(t *testing.T) {
	var got []string
	h := made(&watched{env: &got}, rest.Options{})
	if w := ask(t, h, http.MethodPost, "", `{"env":{"B":"2","A":"1=x"}}`); w.Code != 201 || !slices.Equal(got, []string{"A=1=x", "B=2"}) {
		t.Errorf("%d %s: env %q", w.Code, w.Body, got)
	}
}

// watched remembers the environment that is asked for.
type watched struct {
	transporttest.Sessions
	env *[]string
}

func (w *watched) Create(ctx context.Context, r sandbox.SessionRequest) (sandbox.Session, bool, error) {
	*w.env = r.Env
	return w.Sessions.Create(ctx, r)
}

func TestSessions_Refusals(t *testing.T) {
	h := made(&transporttest.Sessions{}, rest.Options{})
	for name, c := range map[string]struct {
		method, name, body string
		status             int
		want               string
	}{
		"not JSON":         {"POST", "", `{`, 400, `"kind":"invalid"`},
		"an unknown field": {"POST", "", `{"session":"s"}`, 400, `unknown field \"session\"`},
		"a wrong type":     {"POST", "", `{"session_id":7}`, 400, `session_id`},
		"two values":       {"POST", "", `{}{}`, 400, `more than one`},
		"a bad name":       {"POST", "", `{"session_id":"a b"}`, 400, `the session name has a space`},
		"a bad variable":   {"POST", "", `{"env":{"A=B":"x"}}`, 400, `env has a name`},
		"too much":         {"POST", "", `{"session_id":"` + strings.Repeat("x", 300<<10) + `"}`, 413, `256 KiB`},
		"nobody":           {"GET", "x", "", 404, `"title":"Not Found","status":404,"detail":"Session not found: x"`},
		"a wrong method":   {"PUT", "", "", 405, `"status":405`},
		"another":          {"POST", "x", "", 405, `"status":405`},
	} {
		w := ask(t, h, c.method, c.name, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || w.Header().Get("Content-Type") != "application/problem+json" || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, c.status, c.want)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/sessions", strings.NewReader(`{}`))
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 415 {
		t.Errorf("no content type: %d %s", w.Code, w.Body)
	}
}

func TestSessions_Errors(t *testing.T) {
	hidden := errors.New("open /var/lib/secret")
	for name, c := range map[string]struct {
		err    error
		status int
		want   string
	}{
		"full":        {&sandbox.Error{Kind: sandbox.Exhausted, Limit: &sandbox.Limit{Resource: "sessions", Current: 2, Max: 2}, Err: hidden}, 429, `"error_code":"RESOURCE_LIMIT_ERROR"`},
		"unavailable": {&sandbox.Error{Kind: sandbox.Unavailable, Detail: "no namespaces", Remedy: "run doctor", Err: hidden}, 503, `"remedy":"run doctor"`},
		"stopped":     {&sandbox.Error{Kind: sandbox.Stopped, Cause: sandbox.CauseShutdown, Err: hidden}, 409, `the server is shutting down`},
		"ours":        {hidden, 500, `"detail":"Internal server error","kind":"other"`},
	} {
		h := made(&transporttest.Sessions{Reject: c.err}, rest.Options{})
		for _, method := range []string{"GET", "POST"} {
			w := ask(t, h, method, "", "")
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s, %s: %d %s", name, method, w.Code, w.Body)
			}
		}
	}
}
