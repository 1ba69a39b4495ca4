package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/sandwarden/sandwarden/config"
)

// free is an address that nobody listened on a moment ago.
func free(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestProfile(t *testing.T) {
	c := config.Config{PprofListen: free(t)}
	end, err := profile(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	get := func(path string, change func(*http.Request)) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.PprofListen+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if n, err := io.Copy(io.Discard, response.Body); err != nil || n == 0 {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
		return response.StatusCode
	}
	same := func(*http.Request) {}
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/profile?seconds=1": 200,
		"/debug/pprof/cmdline": 404, "/": 404, "/mcp": 404,
	} {
		if got := get(path, same); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if got := get("/debug/pprof/heap", func(r *http.Request) { r.Host = "evil.example" }); got != http.StatusForbidden {
		t.Errorf("by another name: %d", got)
	}
	if got := get("/debug/pprof/heap", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }); got != http.StatusForbidden {
		t.Errorf("from a page: %d", got)
	}
	end()
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", c.PprofListen); err == nil {
		_ = conn.Close()
		t.Error("it is served after its end")
	}
}

func TestProfile_Off(t *testing.T) {
	end, err := profile(t.Context(), config.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	end()
}

// The place that is taken ends the start, with words.
func TestProfile_Taken(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := profile(t.Context(), config.Config{PprofListen: l.Addr().String()}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two listen at one place")
	}
}
