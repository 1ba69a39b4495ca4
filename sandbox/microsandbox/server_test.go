package microsandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandwarden/sandwarden/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves a handler, and returns a client of it.
func serve(t *testing.T, o Options, h http.HandlerFunc) *server {
	t.Helper()
	web := httptest.NewServer(h)
	o.URL = web.URL
	o = o.withDefaults()
	s := newServer(&o)
	t.Cleanup(web.Close)
	t.Cleanup(s.close)
	return s
}

func TestServer_SendsWhatTheServerKnows(t *testing.T) {
	var got string
	s := serve(t, Options{Key: "msb_k"}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + r.Header.Get("Content-Type") + " " + string(body)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","result":{"command":"ls","args":[],"exit_code":0,"success":true,"output":[]},"id":1}`)
	})
	if _, err := s.command(t.Context(), "a", time.Second, "ls"); err != nil {
		t.Fatal(err)
	}
	want := `POST /api/v1/rpc Bearer msb_k application/json {"jsonrpc":"2.0","method":"sandbox.command.run","params":{"args":[],"command":"ls","namespace":"default","sandbox":"a","timeout":31},"id":1}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestServer_TriesAgain(t *testing.T) {
	var calls atomic.Int32
	s := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusBadGateway)
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			_, _ = io.WriteString(w, `{"result":"Sandbox a stopped successfully"}`)
		}
	})
	if err := s.stop(t.Context(), "a"); err != nil || calls.Load() != 3 {
		t.Errorf("got %v after %d calls, want success at the third", err, calls.Load())
	}
}

func TestServer_DoesNotTryRefusalsAgain(t *testing.T) {
	var calls atomic.Int32
	s := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"error":"Internal server error","code":5002}`)
	})
	if err := s.stop(t.Context(), "a"); err == nil || calls.Load() != 1 {
		t.Errorf("got %v after %d calls, want the refusal of the first", err, calls.Load())
	}
}

func TestServer_GivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	o := Options{URL: "http://user:secret@" + address}.withDefaults()
	s := newServer(&o)
	defer s.close()
	told, ok := errors.AsType[*sandbox.Error](fault("stop", "x", s.stop(t.Context(), "a")))
	if !ok || told.Kind != sandbox.Unavailable || !strings.Contains(told.Remedy, "MSB_SERVER_URL") {
		t.Errorf("got %+v", told)
	}
	if strings.Contains(told.Error(), "secret") {
		t.Errorf("the address is told: %v", told)
	}
}

func TestServer_KeepsTheKeyFromOthers(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other server was asked") }))
	defer other.Close()
	s := serve(t, Options{Key: "msb_k"}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if err := s.stop(t.Context(), "a"); err == nil {
		t.Error("a redirect is no refusal")
	}
}

func TestServer_BoundsAnswers(t *testing.T) {
	s := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"result":"`)
		for range 1 + maxAnswer>>16 {
			_, _ = io.WriteString(w, strings.Repeat("a", 1<<16))
		}
	})
	if err := s.stop(t.Context(), "a"); !errors.Is(err, errGarbled) {
		t.Errorf("got %v", err)
	}
}

func TestServer_CallerGivesUp(t *testing.T) {
	s := serve(t, Options{}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else nobody sees that the caller has gone
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := s.stop(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestServer_StartThatIsNotSure(t *testing.T) {
	for text, want := range map[string]bool{
		"Sandbox a started successfully": true,
		"Sandbox a was started, but timed out waiting for it to be fully running. It may still be initializing.": false,
		"Sandbox a was started, but couldn't verify it's running: no metrics":                                    false,
	} {
		s := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "result": text})
		})
		if ready, err := s.start(t.Context(), "a", nil, 0); err != nil || ready != want {
			t.Errorf("%q: got %v, %v", text, ready, err)
		}
	}
}

// health serves a server that is well, of an instance.
func healthy(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, body)
			return
		}
		_, _ = io.WriteString(w, `{"result":{"sandboxes":[]}}`)
	}
}

const instance = "0123456789abcdef"

func TestBackend_Health(t *testing.T) {
	for name, test := range map[string]struct {
		body, why string
		isolation string
		behind    int
	}{
		"original":          {body: `{"message":"Service is healthy"}`, isolation: "microvm"},
		"sandwarden":        {body: `{"message":"Service is healthy","instance":"other"}`, isolation: "remote", behind: 1},
		"two of them":       {body: `{"message":"Service is healthy","instance":"other","behind":["third"]}`, isolation: "remote", behind: 2},
		"ourselves":         {body: `{"message":"Service is healthy","instance":"` + instance + `"}`, why: "leads back", isolation: "microvm"},
		"ourselves, behind": {body: `{"message":"Service is healthy","instance":"other","behind":["` + instance + `"]}`, why: "leads back", isolation: "microvm"},
		"something else":    {body: `hello`, why: "not a microsandbox server", isolation: "microvm"},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(healthy(test.body))
			defer web.Close()
			b, err := New(t.Context(), Options{URL: web.URL, Instance: instance})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close(t.Context())
			err = b.Ready()
			if (err == nil) != (test.why == "") || err != nil && !strings.Contains(err.Error(), test.why) {
				t.Errorf("Ready: %v, want %q", err, test.why)
			}
			if got := b.Capabilities().Isolation; got != test.isolation || len(b.Behind()) != test.behind {
				t.Errorf("isolation %s, behind %v", got, b.Behind())
			}
		})
	}
}

// TestBackend_ComesBack has a server that is not there, then there, then gone.
func TestBackend_ComesBack(t *testing.T) {
	var up atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			panic(http.ErrAbortHandler)
		}
		healthy(`{"message":"Service is healthy"}`)(w, r)
	}))
	defer web.Close()
	b, err := New(t.Context(), Options{URL: web.URL, Instance: instance, WatchInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(t.Context())
	if _, err := b.Create(t.Context(), "sb-1", sandbox.Spec{Template: sandbox.Templates()[0]}); sandbox.KindOf(err) != sandbox.Unavailable {
		t.Errorf("Create without a server: %v", err)
	}
	for _, want := range []bool{true, false, true} {
		up.Store(want)
		for (b.Ready() == nil) != want {
			<-time.After(time.Millisecond)
		}
	}
}

func TestBackend_Options(t *testing.T) {
	if _, err := New(t.Context(), Options{URL: "http://127.0.0.1:1", Instance: "short"}); sandbox.KindOf(err) != sandbox.Invalid {
		t.Errorf("without an id: %v", err)
	}
	readOnly := []sandbox.Volume{{HostPath: "/a", Path: "/b", Access: sandbox.ReadOnly}}
	if _, err := New(t.Context(), Options{URL: "http://127.0.0.1:1", Instance: instance, Volumes: readOnly}); sandbox.KindOf(err) != sandbox.Invalid {
		t.Errorf("a read-only volume: %v", err)
	}
}
