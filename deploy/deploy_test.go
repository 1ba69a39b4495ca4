// Package deploy_test checks that what is shipped for deployment says what the
// program understands.
package deploy_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/sandwarden/sandwarden/config"
)

// read returns a file of this folder.
func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// documents parses the parts of a YAML file.
func documents(t *testing.T, name string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for text := range strings.SplitSeq(read(t, name), "\n---\n") {
		one, err := yaml.Parser().Unmarshal([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		all = append(all, one)
	}
	return all
}

// at follows keys and indexes down into what YAML has.
func at(t *testing.T, of any, path ...any) any {
	t.Helper()
	for i, step := range path {
		switch step := step.(type) {
		case string:
			m, ok := of.(map[string]any)
			if !ok {
				t.Fatalf("%v: no map", path[:i])
			}
			of = m[step]
		case int:
			list, ok := of.([]any)
			if !ok || step >= len(list) {
				t.Fatalf("%v: no list of %d", path[:i], step+1)
			}
			of = list[step]
		}
	}
	return of
}

// settle loads the configuration of an environment as the daemon would, and
// fails for names that it does not know.
func settle(t *testing.T, environ []string) config.Config {
	t.Helper()
	c, report, err := config.Load(config.Sources{Environ: append(environ, "SANDWARDEN_INSECURE_LISTEN=1"), UID: 0})
	if err != nil {
		t.Fatalf("%q: %v", environ, err)
	}
	for _, warning := range report.Warnings {
		if strings.Contains(warning, "no such setting") {
			t.Error(warning)
		}
	}
	return c
}

func TestCompose(t *testing.T) {
	service := at(t, documents(t, "docker/compose.yaml")[0], "services", "mcp-server")
	if name := at(t, service, "container_name"); name != "mcp-server" {
		t.Errorf("the container is named %v", name)
	}
	var environ []string
	for name, value := range at(t, service, "environment").(map[string]any) {
		environ = append(environ, name+"="+value.(string))
	}
	c := settle(t, environ)
	if got, want := at(t, service, "ports", 0), "127.0.0.1:8775:8775"; got != want || c.Port != 8775 {
		t.Errorf("it publishes %v, want %s; the daemon listens on %d", got, want, c.Port)
	}
	if config.IsLoopback(c.Host) {
		t.Errorf("nobody reaches %s from outside of the container", c.Host)
	}
	capabilities(t, at(t, service, "cap_add"))
	if got := at(t, service, "healthcheck", "test", 3); got != "http://localhost:8775/" {
		t.Errorf("the health check asks %v", got)
	}
}

// capabilities checks that what is added covers what Docker does not give.
func capabilities(t *testing.T, added any) {
	t.Helper()
	for _, name := range []string{"NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"} {
		if !slices.Contains(added.([]any), any(name)) {
			t.Errorf("%s is not added", name)
		}
	}
}

func TestKubernetes(t *testing.T) {
	kinds := map[string]map[string]any{}
	for _, d := range documents(t, "kubernetes/mcp-server.yaml") {
		kinds[d["kind"].(string)] = d
	}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, []string{"ConfigMap", "Deployment", "Secret", "Service"}) {
		t.Fatalf("it has %q", got)
	}
	var environ []string
	for name, value := range at(t, kinds["ConfigMap"], "data").(map[string]any) {
		environ = append(environ, name+"="+value.(string))
	}
	c := settle(t, environ)
	pod := at(t, kinds["Deployment"], "spec", "template", "spec")
	if at(t, pod, "enableServiceLinks") != false {
		t.Error("a Service of this name would set MCP_SERVER_PORT to a URL")
	}
	one := at(t, pod, "containers", 0)
	if got := at(t, one, "ports", 0, "containerPort"); got != c.Port {
		t.Errorf("the container has port %v, the daemon %d", got, c.Port)
	}
	for probe, path := range map[string]string{"livenessProbe": "/", "readinessProbe": "/ready"} {
		if got := at(t, one, probe, "httpGet", "path"); got != path {
			t.Errorf("%s asks %v, want %s", probe, got, path)
		}
	}
	capabilities(t, at(t, one, "securityContext", "capabilities", "add"))
	if got := at(t, kinds["Service"], "metadata", "name"); got != "mcp-server" {
		t.Errorf("the service is named %v", got)
	}
	if at(t, kinds["Service"], "spec", "ports", 0, "port") != 8775 {
		t.Error("the service has another port")
	}
	// What is selected is what is labelled; what is mounted is there.
	app := at(t, pod, "volumes").([]any)
	for _, mount := range at(t, one, "volumeMounts").([]any) {
		if name := at(t, mount, "name"); !slices.ContainsFunc(app, func(v any) bool { return at(t, v, "name") == name }) {
			t.Errorf("there is no volume %v", name)
		}
	}
	label := at(t, kinds["Deployment"], "spec", "template", "metadata", "labels", "app")
	if at(t, kinds["Service"], "spec", "selector", "app") != label || at(t, kinds["Deployment"], "spec", "selector", "matchLabels", "app") != label {
		t.Error("the selectors do not select the pod")
	}
	if !strings.HasPrefix(at(t, kinds["ConfigMap"], "data", "SANDWARDEN_TOKENS_FILE").(string), at(t, one, "volumeMounts", 0, "mountPath").(string)+"/") {
		t.Error("the tokens are not where they are mounted")
	}
}

// unit returns the values of a key of the service, in order.
func unit(t *testing.T, key string) []string {
	t.Helper()
	var values []string
	for _, m := range regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(read(t, "systemd/mcp-server.service"), -1) {
		values = append(values, m[1])
	}
	return values
}

func TestUnit(t *testing.T) {
	for key, want := range map[string]string{
		"Type": "notify", "KillMode": "process", "Delegate": "yes", "Restart": "always", "RestartSec": "10", "Alias": "sandwarden.service",
		"ExecReload": "/bin/kill -HUP $MAINPID", "EnvironmentFile": "-/etc/mcp-server/environment", "SyslogIdentifier": "mcp-server",
		"ExecStart": "/usr/local/bin/mcp_server", "LogsDirectory": "mcp-server", "StateDirectory": "sandwarden", "RuntimeDirectory": "sandwarden",
		"RuntimeDirectoryPreserve": "yes", // sandboxes that outlive a restart have their sockets in it
	} {
		if got := unit(t, key); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	environ := unit(t, "Environment")
	c := settle(t, environ)
	if c.StateDir != "/var/lib/sandwarden" || c.RuntimeDir != "/run/sandwarden" {
		t.Errorf("systemd makes other directories than the daemon uses: %s, %s", c.StateDir, c.RuntimeDir)
	}
	// The slice is the one that is shipped, and the daemon is told of it.
	slice := unit(t, "Slice")
	if len(slice) != 1 || !slices.Contains(environ, "SANDWARDEN_CGROUP_PARENT=/"+slice[0]) {
		t.Errorf("slice %q, environment %q", slice, environ)
	}
	read(t, "systemd/"+slice[0])
	for _, key := range []string{"SystemCallFilter", "RestrictNamespaces", "PrivateDevices", "ProtectControlGroups", "PrivateUsers", "MemoryDenyWriteExecute"} {
		if got := unit(t, key); len(got) > 0 {
			t.Errorf("%s=%s keeps sandboxes from being made", key, got)
		}
	}
}

// The examples in the environment file are settings, with values that are valid.
func TestEnvironment(t *testing.T) {
	text := read(t, "environment")
	var environ []string
	for _, m := range regexp.MustCompile(`(?m)^#([A-Z_]+=.*)$`).FindAllStringSubmatch(text, -1) {
		environ = append(environ, m[1])
	}
	if len(environ) < 5 {
		t.Errorf("it shows only %q", environ)
	}
	settle(t, environ)
	if live := regexp.MustCompile(`(?m)^[^#\n].*$`).FindString(text); live != "" {
		t.Errorf("a fresh installation would have %q", live)
	}
}

func TestDockerfile(t *testing.T) {
	text := read(t, "docker/Dockerfile")
	for _, want := range []string{
		"\nEXPOSE 8775\n", "\nSTOPSIGNAL SIGTERM\n", "\nENV MCP_SERVER_HOST=0.0.0.0\n",
		"HEALTHCHECK --interval=30s --timeout=10s --start-period=5s --retries=3", "/usr/local/bin/mcp_server", "/usr/local/bin/mcp-server",
		" bind9-dnsutils ", " curl ", " ca-certificates ", " python3 ", " nodejs ",
	} {
		if !strings.Contains(text, want) && !strings.Contains(text, strings.TrimSpace(want)+" ") {
			t.Errorf("%q is not in it", want)
		}
	}
	// The toolchain is one that go.mod accepts.
	minor := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	if minor == nil || !strings.Contains(text, "FROM golang:"+minor[1]+"-") {
		t.Errorf("it does not build with Go %q", minor)
	}
}
