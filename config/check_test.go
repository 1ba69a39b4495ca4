package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoad_Backend(t *testing.T) {
	for name, test := range map[string]struct {
		file         string
		environ      []string
		backend, url string
		warnings     []string
	}{
		"nothing":       {backend: "native"},
		"a server":      {environ: []string{"MSB_SERVER_URL=http://box:5555/"}, backend: "microsandbox", url: "http://box:5555"},
		"the usual one": {environ: []string{"SANDWARDEN_BACKEND=microsandbox"}, backend: "microsandbox", url: "http://127.0.0.1:5555"},
		"both":          {file: "backend: microsandbox\nserver_url: https://box", backend: "microsandbox", url: "https://box"},
		"native":        {file: "backend: native", backend: "native"},
		"native all the same": {
			file: "backend: native", environ: []string{"MSB_SERVER_URL=http://box:5555"}, backend: "native",
			warnings: []string{"MSB_SERVER_URL has no effect, as the backend is native"},
		},
		"empty is unset": {environ: []string{"MSB_SERVER_URL=", "SANDWARDEN_BACKEND="}, backend: "native"},
	} {
		t.Run(name, func(t *testing.T) {
			c, report, err := load(t, test.file, test.environ)
			if err != nil {
				t.Fatal(err)
			}
			if c.Backend != test.backend || c.ServerURL != test.url {
				t.Errorf("%s at %q, want %s at %q", c.Backend, c.ServerURL, test.backend, test.url)
			}
			if diff := cmp.Diff(test.warnings, report.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad_API(t *testing.T) {
	for name, test := range map[string]struct {
		environ     []string
		args        []string
		listen, key string
		dev         bool
		fault       string
	}{
		"off":                   {listen: "", dev: true},
		"off in a word":         {args: []string{"--msb-listen", "OFF"}, dev: true},
		"auto":                  {args: []string{"--msb-listen", "auto"}, listen: "auto", dev: true},
		"here":                  {args: []string{"--msb-listen", "localhost:5556"}, listen: "localhost:5556", dev: true},
		"here, with tokens":     {environ: []string{"SANDWARDEN_TOKENS_FILE=/t"}, args: []string{"--msb-listen", "auto"}, listen: "auto"},
		"tokens, and dev":       {environ: []string{"SANDWARDEN_TOKENS_FILE=/t"}, args: []string{"--msb-listen", "auto", "--msb-dev"}, listen: "auto", dev: true},
		"here, with keys":       {environ: []string{"SANDWARDEN_MSB_DEV=off"}, args: []string{"--msb-listen", "[::1]:1"}, listen: "[::1]:1"},
		"beyond here":           {environ: []string{"SANDWARDEN_MSB_LISTEN=0.0.0.0:5555"}, listen: "0.0.0.0:5555"},
		"beyond here, and dev":  {environ: []string{"SANDWARDEN_MSB_LISTEN=0.0.0.0:5555", "SANDWARDEN_MSB_DEV=1"}, fault: "other machines could reach 0.0.0.0:5555, and in development mode whoever does would run code here: turn SANDWARDEN_MSB_DEV off, and give out keys that sandwarden keygen makes (SANDWARDEN_MSB_LISTEN in the environment)"},
		"a name is not here":    {environ: []string{"SANDWARDEN_MSB_LISTEN=box:5555"}, listen: "box:5555"},
		"a key file":            {args: []string{"--msb-key-file", "/k"}, key: "/k", dev: true},
		"one beside the state":  {args: []string{"--state-dir", "/s"}, key: "/s/server.key", dev: true},
		"no port":               {environ: []string{"SANDWARDEN_MSB_LISTEN=127.0.0.1"}, fault: "SANDWARDEN_MSB_LISTEN must be off, auto or HOST:PORT, as 127.0.0.1:5555, got '127.0.0.1'"},
		"port 0":                {environ: []string{"SANDWARDEN_MSB_LISTEN=127.0.0.1:0"}, fault: "SANDWARDEN_MSB_LISTEN must be off, auto or HOST:PORT, as 127.0.0.1:5555, got '127.0.0.1:0'"},
		"no host":               {environ: []string{"SANDWARDEN_MSB_LISTEN=:5555"}, fault: "SANDWARDEN_MSB_LISTEN must be off, auto or HOST:PORT, as 127.0.0.1:5555, got ':5555'"},
		"dev is no such word":   {environ: []string{"SANDWARDEN_MSB_DEV=maybe"}, fault: "SANDWARDEN_MSB_DEV must be a valid boolean value (true/false, 1/0, yes/no, on/off, enabled/disabled), got 'maybe'"},
		"an image with a space": {environ: []string{"SANDWARDEN_TEMPLATE_NODE_IMAGE=a b"}, fault: "SANDWARDEN_TEMPLATE_NODE_IMAGE must be the name of an image, as microsandbox/python, got 'a b'"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := load(t, "", test.environ, test.args...)
			if test.fault != "" {
				if err == nil || strings.TrimPrefix(err.Error(), "Configuration error: ") != test.fault {
					t.Errorf("%v, want %q", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.key == "" {
				test.key = "/var/lib/sandwarden/server.key"
			}
			if c.MSBListen != test.listen || c.MSBDev != test.dev || c.MSBKeyFile != test.key {
				t.Errorf("at %q, dev %v, key %q; want %q, %v, %q", c.MSBListen, c.MSBDev, c.MSBKeyFile, test.listen, test.dev, test.key)
			}
		})
	}
}

func TestLoad_Profiles(t *testing.T) {
	for text, want := range map[string]string{"": "", "off": "", "127.0.0.1:6060": "127.0.0.1:6060", "localhost:1": "localhost:1", "[::1]:6060": "[::1]:6060"} {
		c, _, err := load(t, "", []string{"SANDWARDEN_PPROF_LISTEN=" + text})
		if err != nil || c.PprofListen != want || c.PprofContention {
			t.Errorf("%q: at %q, contention %v, %v", text, c.PprofListen, c.PprofContention, err)
		}
	}
	for _, text := range []string{"0.0.0.0:6060", ":6060", "6060", "box:6060", "[::]:6060", "127.0.0.1", "127.0.0.1:0", "192.0.2.1:6060"} {
		_, _, err := load(t, "", nil, "--pprof", text)
		if want := "--pprof must be off or HOST:PORT of this machine, as 127.0.0.1:6060, got '" + text + "'"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
