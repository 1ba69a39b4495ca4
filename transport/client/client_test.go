package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/client"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// serve returns a client of a handler. It gives up soon.
func serve(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := client.New(client.Options{URL: server.URL + "/", Attempts: 4, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A sink keeps what it is given.
type sink struct {
	got     strings.Builder
	missing int64
}

func (s *sink) Output(stream string, data []byte) error {
	fmt.Fprintf(&s.got, "%s:%s ", stream, data)
	return nil
}
func (s *sink) Missing(bytes int64) { s.missing += bytes }

func TestNew_Addresses(t *testing.T) {
	for address, good := range map[string]bool{
		"http://localhost:8775": true, "https://box.example/": true, "localhost:8775": false, "": false, "ftp://x": false, "http://": false, "http://a b": false,
	} {
		if _, err := client.New(client.Options{URL: address}); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestJSON_Errors(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"a problem":         {404, `{"status":404,"kind":"not_found","detail":"There is none","remedy":"Look"}`, "There is none. Look"},
		"of a proxy":        {502, `<html>bad gateway</html>`, "the answer is 502 Bad Gateway, and says no more"},
		"of another server": {200, `<html>`, "does not answer as a daemon does"},
	} {
		asked := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		var out any
		if err := asked.JSON(t.Context(), http.MethodGet, "/", nil, nil, &out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is not kept any more is told of, and what does not come right is given up
// after some attempts.
func TestFollow(t *testing.T) {
	var failing, left atomic.Bool
	var asked atomic.Int64
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch {
		case failing.Load():
			w.WriteHeader(http.StatusBadGateway)
		case !left.Swap(true): // the daemon goes, and the next one knows the execution
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"status":409,"kind":"stopped","detail":"the daemon is shutting down","cause":"shutdown"}`)
		case strings.HasSuffix(r.URL.Path, "/output") && r.URL.Query().Get("from") == "0":
			fmt.Fprint(w, `{"chunks":[{"stream":"stdout","text":"a"},{"stream":"stderr","base64":"/w=="}],"from":5,"next":7,"end":false,"missing":5}`)
		case strings.HasSuffix(r.URL.Path, "/output"):
			fmt.Fprint(w, `{"chunks":[],"from":7,"next":7,"end":false,"missing":0}`)
		default: // lost, and so without an end
			fmt.Fprint(w, `{"execution_id":"x","status":"lost","output":{"total":7}}`)
		}
	}))
	s := &sink{}
	x, err := c.Follow(t.Context(), "x", s)
	if err != nil || x.Status != "lost" || s.got.String() != "stdout:a stderr:\xff " || s.missing != 5 {
		t.Errorf("%v, %v, %q, missing %d", x, err, s.got.String(), s.missing)
	}
	failing.Store(true)
	asked.Store(0)
	if _, err := c.Follow(t.Context(), "x", s); err == nil || asked.Load() != 4 {
		t.Errorf("%v after %d attempts", err, asked.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Follow(ctx, "x", s); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// A stream that breaks off is gone on with where it was, to the end of its
// session.
func TestEvents(t *testing.T) {
	fake := &transporttest.Sessions{}
	h := transport.New(fake, transport.Options{})
	var streams atomic.Int64
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if streams.Add(1) == 1 {
			ctx, cancel := context.WithCancel(r.Context())
			r = r.WithContext(ctx)
			w = &cutting{ResponseWriter: w, left: 2, cut: cancel}
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { _ = h.Shutdown(context.WithoutCancel(t.Context())) })
	if _, err := fake.Execute(t.Context(), sandbox.ExecRequest{SessionRequest: sandbox.SessionRequest{Session: "s"}, Code: "1"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := c.Events(t.Context(), "s", func(e *client.Event) error {
		got = append(got, fmt.Sprintf("%d %s %s", e.Seq, e.Type, e.Data()))
		switch e.Seq {
		case 4:
			fake.Publish("s", sandbox.Event{Type: sandbox.Output, Stream: sandbox.Stdout, Data: []byte("late")})
		case 5:
			return fake.Stop(t.Context(), sandbox.Ref{Name: "s"})
		}
		return nil
	})
	want := "[1 session.ready  2 execution.started  3 output 1\n 4 execution.finished  5 output late 6 session.stopped ]"
	if err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, got %v, want %s", err, got, want)
	}
	if streams.Load() < 2 {
		t.Error("it did not break")
	}
	if err := c.Events(t.Context(), "s", nil); !client.IsNotFound(err) {
		t.Errorf("of none: %v", err)
	}
}

// cutting ends the request after some writes.
type cutting struct {
	http.ResponseWriter

	left int
	cut  context.CancelFunc
}

func (c *cutting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cutting) Write(p []byte) (int, error) {
	if c.left--; c.left == 0 {
		c.cut()
	}
	return c.ResponseWriter.Write(p)
}
