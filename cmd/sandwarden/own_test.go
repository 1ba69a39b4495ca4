package main

import (
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/config"
)

func TestOwnAddress(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		url, listens string
		want         bool
	}{
		{"http://127.0.0.1:5555", "127.0.0.1:5555", true},
		{"http://LOCALHOST:5555", "127.0.0.1:5555", true},
		{"http://127.0.0.1:5555", "localhost:5555", true},
		{"http://[::1]:5555", "localhost:5555", true},
		{"http://0.0.0.0:5555", "127.0.0.1:5555", true},
		{"http://127.0.0.1:5555", "0.0.0.0:5555", true},
		{"http://localhost:5555", "[::]:5555", true},
		{"http://10.1.2.3:5555", "10.1.2.3:5555", true},
		{"http://box:5555", "box:5555", true},
		{"http://" + name + ":5555", "0.0.0.0:5555", true},
		{"http://localhost", "localhost:80", true},
		{"https://localhost", "localhost:443", true},
		{"http://127.0.0.1:5556", "127.0.0.1:5555", false},
		{"http://10.1.2.3:5555", "127.0.0.1:5555", false},
		{"http://127.0.0.1:5555", "10.1.2.3:5555", false},
		{"http://192.0.2.1:5555", "0.0.0.0:5555", false}, // of documents alone
		{"http://box.example:5555", "127.0.0.1:5555", false},
		{"http://box.example:5555", "0.0.0.0:5555", false},
		{"http://127.0.0.1:5555", "", false},
		{"", "127.0.0.1:5555", false},
	} {
		if got := ownAddress(test.url, test.listens); got != test.want {
			t.Errorf("%s of who listens on %q: %v", test.url, test.listens, got)
		}
	}
}

func TestSettled(t *testing.T) {
	for name, test := range map[string]struct {
		c       config.Config
		backend string
	}{
		"native":          {config.Config{Backend: "native"}, "native"},
		"another machine": {config.Config{Backend: "microsandbox", ServerURL: "http://box:1", Host: "localhost", Port: 1}, "microsandbox"},
		"the main port":   {config.Config{Backend: "microsandbox", ServerURL: "http://localhost:1", Host: "localhost", Port: 1}, "native"},
		"its API":         {config.Config{Backend: "microsandbox", ServerURL: "http://localhost:2", Host: "localhost", Port: 1, MSBListen: "127.0.0.1:2"}, "native"},
		"no API":          {config.Config{Backend: "microsandbox", ServerURL: "http://" + config.UsualAPI, Host: "localhost", Port: 1}, "microsandbox"},
		"one client":      {config.Config{Backend: "microsandbox", ServerURL: "http://localhost:1", Host: "localhost", Port: 1, Transport: stdio}, "microsandbox"},
	} {
		t.Run(name, func(t *testing.T) {
			c, warning := settled(t.Context(), test.c)
			if c.Backend != test.backend || (warning != "") != (c.Backend != test.c.Backend) || (c.ServerURL == "") != (c.Backend == "native") {
				t.Errorf("%s at %q, warns %q; want %s", c.Backend, c.ServerURL, warning, test.backend)
			}
		})
	}
}

// When the usual address is taken, who left the choice to us is served without
// the API. A server there that was asked for is no reason to warn.
func TestListenAPI_Auto(t *testing.T) {
	l, err := net.Listen("tcp", config.UsualAPI)
	if err == nil { // else another program has it, which is as good
		defer l.Close()
	}
	for server, want := range map[string]string{
		"":                                "WARN",
		"http://box:5555":                 "WARN",
		"http://" + config.UsualAPI:       "INFO",
		"http://localhost:5555":           "INFO",
		"http://" + config.UsualAPI + "6": "WARN",
	} {
		var log strings.Builder
		listeners, c, err := listenAPI(t.Context(), config.Config{MSBListen: "auto", ServerURL: server, Connections: 1}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || len(listeners) > 0 || c.MSBListen != "" || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "level="+want) {
			t.Errorf("with the server %q: %d listeners at %q, %v, and the log %q", server, len(listeners), c.MSBListen, err, log.String())
		}
		settledTo, _ := settled(t.Context(), config.Config{Backend: "microsandbox", MSBListen: "auto", ServerURL: "http://" + config.UsualAPI, Host: "localhost", Port: 1, StateDir: t.TempDir()})
		if settledTo.Backend != "microsandbox" {
			t.Error("another program's server is taken for this daemon")
		}
	}
}

func TestListenAPI(t *testing.T) {
	for name, c := range map[string]config.Config{
		"off":        {},
		"one client": {MSBListen: "127.0.0.1:1", Transport: stdio},
	} {
		listeners, got, err := listenAPI(t.Context(), c, slog.New(slog.DiscardHandler))
		if len(listeners) > 0 || got.MSBListen != "" || err != nil {
			t.Errorf("%s: %v, %q, %v", name, listeners, got.MSBListen, err)
		}
	}
}
