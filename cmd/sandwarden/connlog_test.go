package main

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestConnLog_NamesWhatNetHTTPSays(t *testing.T) {
	for line, want := range map[string]string{
		"http: TLS handshake error from 192.0.2.1:55: EOF":                    `INFO     | sandwarden   | Connection failed: TLS handshake | {"addr":"192.0.2.1:55","error":"EOF"}`,
		"http: TLS handshake error from [::1]:55: tls: x: y":                  `INFO     | sandwarden   | Connection failed: TLS handshake | {"addr":"[::1]:55","error":"tls: x: y"}`,
		"http: Accept error: accept: too many open files; retrying in 5ms":    `WARNING  | sandwarden   | Connection failed: not accepted | {"error":"accept: too many open files; retrying in 5ms"}`,
		"http: panic serving 192.0.2.1:55: boom\ngoroutine 1":                 `ERROR    | sandwarden   | Connection failed: panic | {"addr":"192.0.2.1:55","error":"boom\ngoroutine 1"}`,
		"http: superfluous response.WriteHeader call from main.main (a.go:1)": `DEBUG    | sandwarden   | Connection trouble | {"error":"superfluous response.WriteHeader call from main.main (a.go:1)"}`,
	} {
		var b bytes.Buffer
		l := &connLog{logger: slog.New(newLineHandler(&b, slog.LevelDebug, false))}
		slog.NewLogLogger(l, slog.LevelInfo).Print(line)
		if got := b.String(); !strings.HasSuffix(got, "| "+want+"\n") {
			t.Errorf("line %q, want %q at its end", got, want)
		}
	}
}

func TestConnLog_CountsConnections(t *testing.T) {
	var b bytes.Buffer
	l := &connLog{logger: slog.New(newLineHandler(&b, slog.LevelDebug, false)), most: 2}
	c, other := net.Pipe()
	defer c.Close()
	defer other.Close()
	for _, state := range []http.ConnState{
		http.StateNew, http.StateActive, http.StateNew, http.StateNew, http.StateClosed, http.StateClosed, http.StateHijacked, http.StateNew, http.StateNew,
	} {
		l.state(c, state)
	}
	got := b.String()
	for what, want := range map[string]int{
		`| Connection opened | {"addr":"pipe"}`: 5, `| Connection closed | {"addr":"pipe"}`: 3, `WARNING  | sandwarden   | Connection limit reached`: 2,
	} {
		if n := strings.Count(got, what); n != want {
			t.Errorf("%q comes %d times, want %d, in\n%s", what, n, want, got)
		}
	}
}
