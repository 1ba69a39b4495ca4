package transport_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// A tally is a Meter that counts by what it was told.
type tally struct {
	mu   sync.Mutex
	told map[string]int
}

func (m *tally) add(what string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told == nil {
		m.told = map[string]int{}
	}
	m.told[what] += n
}

func (m *tally) RequestAnswered(face string, status int, took time.Duration) {
	if took < 0 {
		face += " stream"
	}
	m.add(fmt.Sprintf("%s %d", face, status), 1)
}
func (m *tally) RequestRefused(reason string) { m.add("refused "+reason, 1) }
func (m *tally) StreamsChanged(by int)        { m.add("streams", by) }

func (m *tally) all() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.told)
}

type keeper map[string]sandbox.Principal

func (k keeper) Principal(token string) (sandbox.Principal, bool) {
	p, ok := k[token]
	return p, ok
}

func TestMeter_IsToldOfEachRequest(t *testing.T) {
	meter := &tally{}
	url := serve(t, &transporttest.Sessions{}, transport.Options{
		Meter: meter, Policy: transport.Policy{Keeper: keeper{"good": "p"}}, MaxStreams: 1,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "counted") }),
	})
	const auth, token, list = "Authorization", "Bearer good", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	request(t, "POST", url+"/mcp", list, auth, token)
	request(t, "POST", url+"/", list, auth, token)
	request(t, "GET", url+"/", "")
	request(t, "GET", url+"/health", "")
	request(t, "GET", url+"/v1/sessions", "", auth, token)
	request(t, "GET", url+"/v1/sessions/none", "", auth, token)
	request(t, "GET", url+"/v1/executions/none/events", "", auth, token)
	request(t, "GET", url+"/v1/executions/none", "", auth, token)
	request(t, "GET", url+"/nowhere/of/ours", "", auth, token)
	if _, body := request(t, "GET", url+"/metrics", "", auth, token); body != "counted" {
		t.Errorf("GET /metrics: %q", body)
	}
	request(t, "GET", url+"/metrics", "")
	request(t, "GET", url+"/", "", "Host", "evil.example")
	request(t, "GET", url+"/", "", "Origin", "http://evil.example")
	open := func(ctx context.Context) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(auth, token)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream := open(ctx)
	defer stream.Body.Close()
	if n := meter.all()["streams"]; n != 1 {
		t.Errorf("%d streams are open, want 1", n)
	}
	open(t.Context()).Body.Close() // one too many
	cancel()
	for meter.all()["streams"] != 0 {
		time.Sleep(time.Millisecond)
	}
	want := map[string]int{
		"mcp 200": 2, "status 200": 2, "rest 200": 1, "rest 404": 2, "events 404": 1, "other 404": 1, "metrics 200": 1, "metrics 401": 1, "status 403": 2,
		"refused auth": 1, "refused host": 1, "refused origin": 1, "refused busy": 1, "events 503": 1, "streams": 0,
	}
	got := meter.all()
	delete(got, "events stream 200") // told a moment after the stream ended
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestMetrics_AreNotThereUnlessGiven(t *testing.T) {
	if a, _ := request(t, "GET", serve(t, &transporttest.Sessions{}, transport.Options{})+"/metrics", ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("status %d, want 404", a.StatusCode)
	}
}

func newRequest(t *testing.T, path string) (*httptest.ResponseRecorder, *http.Request) {
	t.Helper()
	return httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
}

// silent is a supervisor that does not answer.
type silent struct{ *transporttest.Sessions }

func (silent) Overview(ctx context.Context) (sandbox.Overview, error) {
	<-ctx.Done()
	return sandbox.Overview{}, ctx.Err()
}

func TestReady(t *testing.T) {
	broken := sandbox.Overview{Ready: &sandbox.Error{
		Kind: sandbox.Unavailable, Detail: "no namespaces", Remedy: "run doctor", Err: errors.New("/secret/path"),
	}}
	for name, test := range map[string]struct {
		sessions transport.Sessions
		drain    bool
		status   int
		body     string
	}{
		"ready":                {&transporttest.Sessions{}, false, 200, `{"status":"ready"}`},
		"draining":             {&transporttest.Sessions{}, true, 503, `{"status":"draining","reason":"The daemon is shutting down",`},
		"no backend":           {&transporttest.Sessions{Overall: broken}, false, 503, `{"status":"unavailable","reason":"no namespaces","remedy":"run doctor"}`},
		"supervisor is silent": {silent{}, false, 503, `{"status":"unavailable","reason":"The sessions did not answer in time",`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := transport.New(test.sessions, transport.Options{Policy: transport.Policy{Keeper: keeper{}}}) // open to all, as health checks have no token
				if test.drain {
					h.Drain()
				}
				w, r := newRequest(t, "/ready")
				h.ServeHTTP(w, r)
				if got := w.Body.String(); w.Code != test.status || !strings.HasPrefix(got, test.body) {
					t.Errorf("%d %s, want %d %s", w.Code, got, test.status, test.body)
				}
				w, r = newRequest(t, "/")
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					t.Errorf("GET /: %d, want 200 whatever happens", w.Code)
				}
			})
		})
	}
}
