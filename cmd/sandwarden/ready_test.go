package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

func TestReadyText(t *testing.T) {
	unready := &sandbox.Error{Kind: sandbox.Unavailable, Detail: "no namespaces", Remedy: "run sandwarden doctor", Err: errors.New("EPERM")}
	for name, test := range map[string]struct {
		backend sandbox.Backend
		want    []string
		no      string
	}{
		"ready":   {&sandboxtest.Fake{}, []string{"sandwarden is ready on http://localhost:8775/mcp", "try: curl -s http://localhost:8775/mcp"}, "no sandbox"},
		"unready": {&sandboxtest.Fake{Unready: unready}, []string{"listening on http://localhost:8775/mcp", "no namespaces; run sandwarden doctor; (EPERM)"}, "curl"},
	} {
		t.Run(name, func(t *testing.T) {
			got := readyText("http://localhost:8775", test.backend, false)
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q lacks %q", got, want)
				}
			}
			if strings.Contains(got, test.no) {
				t.Errorf("%q has %q", got, test.no)
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	for host, want := range map[string]string{
		"localhost": "http://localhost:80", "0.0.0.0": "http://localhost:80", "::": "http://localhost:80", "::1": "http://[::1]:80", "127.0.0.1": "http://127.0.0.1:80",
	} {
		if got := baseURL(config.Config{Host: host, Port: 80}); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}
