package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// knock sends one request of a principal, and returns status and body.
func (s *server) knock(t *testing.T, method, path, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// newToken makes a token by the command.
func (p *place) newToken(t *testing.T, name string) string {
	t.Helper()
	out, err := p.command("token", "new", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func toolCall(name string, arguments map[string]any) string {
	body, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": name, "arguments": arguments},
	})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// Two principals on one daemon, with the same names for their sessions: each
// tries to reach the other's by every face, from outside and from inside.
func TestDoor_TwoPrincipalsAttack(t *testing.T) {
	p := newPlace(t)
	p.environ = append(p.environ, "SANDWARDEN_TOKENS_FILE="+filepath.Join(p.home, "tokens"))
	tokens := map[string]string{"alice": p.newToken(t, "alice"), "bob": p.newToken(t, "bob")}
	s := p.serve(t)
	if s.wayOut() == doctorTells {
		t.Skip("no sandbox can be made here")
	}
	for who, token := range tokens {
		status, body := s.knock(t, "POST", "/mcp", token, toolCall("execute_code", map[string]any{
			"session_id": "same", "code": fmt.Sprintf("secret = 'of %s'\nopen('/work/f', 'w').write(secret)\nopen('/tmp/f', 'w').write(secret)", who),
		}))
		if status != http.StatusOK || !strings.Contains(body, `"session_created":true`) {
			t.Fatalf("%s: %d %s", who, status, body)
		}
	}
	if status, body := s.knock(t, "POST", "/mcp", tokens["alice"], toolCall("execute_code", map[string]any{"session_id": "hers", "code": "1"})); status != 200 {
		t.Fatal(status, body)
	}
	for who, other := range map[string]string{"alice": "bob", "bob": "alice"} {
		_, body := s.knock(t, "POST", "/mcp", tokens[who], toolCall("execute_code", map[string]any{
			"session_id": "same", "code": "import glob\nprint(secret, open('/work/f').read(), open('/tmp/f').read(), glob.glob('/proc/[0-9]*/cwd/../**/f'))",
		}))
		if !strings.Contains(body, "of "+who) || strings.Contains(body, "of "+other) {
			t.Errorf("%s reads %s", who, body)
		}
	}
	bob := tokens["bob"]
	for name, got := range map[string]string{
		"get_sessions":        second(s.knock(t, "POST", "/mcp", bob, toolCall("get_sessions", nil))),
		"get_sessions of one": second(s.knock(t, "POST", "/mcp", bob, toolCall("get_sessions", map[string]any{"session_id": "hers"}))),
		"the list":            second(s.knock(t, "GET", "/v1/sessions", bob, "")),
		"one":                 second(s.knock(t, "GET", "/v1/sessions/hers", bob, "")),
		"its end":             second(s.knock(t, "DELETE", "/v1/sessions/hers", bob, "")),
		"its stream":          second(s.knock(t, "GET", "/v1/sessions/hers/events", bob, "")),
		"status":              second(s.knock(t, "GET", "/", "", "")),
		"health":              second(s.knock(t, "GET", "/health", "", "")),
	} {
		if strings.Contains(strings.ReplaceAll(got, "no such session: hers", ""), `"session_id":"hers","sandbox_name"`) || strings.Contains(got, "of alice") {
			t.Errorf("%s tells bob: %s", name, got)
		}
	}
	if _, body := s.knock(t, "POST", "/mcp", bob, toolCall("stop_session", map[string]any{"session_id": "hers"})); !strings.Contains(body, `"success":false`) {
		t.Errorf("bob stops hers: %s", body)
	}
	if _, body := s.knock(t, "GET", "/v1/sessions/hers", tokens["alice"], ""); !strings.Contains(body, `"session_id":"hers"`) {
		t.Errorf("hers is gone: %s", body)
	}
	if status, body := s.knock(t, "GET", "/metrics", "", ""); status != http.StatusUnauthorized {
		t.Errorf("the metrics are told to anybody: %d %s", status, body)
	}
	if _, body := s.knock(t, "GET", "/metrics", bob, ""); strings.Contains(body, "alice") || strings.Contains(body, "hers") {
		t.Error("the metrics name principals or sessions")
	}
}

func second(_ int, body string) string { return body }

// TLS by files, which may be replaced while the daemon runs; and what is not
// TLS is told so.
func TestDoor_TLS(t *testing.T) {
	p := newPlace(t)
	first := writeCertificate(t, p.home, "first")
	p.environ = append(p.environ, "SANDWARDEN_TLS_CERT_FILE="+filepath.Join(p.home, "cert.pem"), "SANDWARDEN_TLS_KEY_FILE="+filepath.Join(p.home, "key.pem"))
	port := freePortNumber(t)
	cmd := p.command("serve", "--port", strconv.Itoa(port))
	log, err := os.Create(filepath.Join(p.home, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	url := "https://localhost:" + strconv.Itoa(port)
	ask := func(root []byte) (string, error) {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(root)
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		}}
		response, err := client.Get(url + "/")
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		return response.Proto + " " + response.TLS.PeerCertificates[0].Subject.CommonName, nil
	}
	await(t, func() bool { got, _ := ask(first); return got == "HTTP/2.0 first" }, "the first certificate")
	other := writeCertificate(t, p.home, "second")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { got, _ := ask(other); return got == "HTTP/2.0 second" }, "the second certificate")
	if response, err := http.Get("http://localhost:" + strconv.Itoa(port) + "/"); err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %v, %v", response, err)
	} else {
		response.Body.Close()
	}
	if text, _ := os.ReadFile(log.Name()); !strings.Contains(string(text), "ready on https://localhost:") {
		t.Errorf("the log says\n%s", text)
	}
}

// await waits for what must come.
func await(t *testing.T, come func() bool, what string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if come() {
			return
		}
	}
	t.Fatalf("%s did not come", what)
}

// A client that starts the daemon for itself gets protocol and nothing else, and
// leaves nothing behind when it hangs up.
func TestStdio(t *testing.T) {
	p := newPlace(t)
	cmd := p.command("serve", "--transport", "stdio")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`, toolCall("execute_code", map[string]any{"code": "print('x' * 3)\n40 + 2"}),
	} {
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !json.Valid([]byte(lines[0])) || !json.Valid([]byte(lines[1])) {
		t.Fatalf("it wrote\n%s\nand logged\n%s", out.String(), log.String())
	}
	if !strings.Contains(lines[1], `xxx\n42`) && !strings.Contains(lines[1], "no sandbox") && !strings.Contains(lines[1], "Sandbox creation failed") {
		t.Error(lines[1])
	}
	if left, _ := filepath.Glob(filepath.Join(p.home, "*", "stdio-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
