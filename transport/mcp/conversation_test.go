package mcp_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

var update = flag.Bool("update", false, "rewrite the conversations in testdata")

// minted is what differs from run to run.
var (
	minted = regexp.MustCompile(`[0-9a-f]{32}`)
	aging  = regexp.MustCompile(`(age|idle|running)(_ms\\?":)\d+`)
)

// A conversation is a txtar file of requests, each followed by what the server
// answers. A request has a line of method and headers, an empty line, and a
// body; $session in a header is the session that was minted last.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { converse(t, file) })
	}
}

// scripted is what runs do in conversations: they echo, but for the code "slow"
// and the command "cat", which go on until they are ended.
func scripted(ctx context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
	what := r.Code + strings.Join(r.Argv, " ")
	result.Exit.Duration = 2 * time.Millisecond
	result.Stdout = []byte(what + "\n")
	r.Follow(sandbox.Stdout, result.Stdout)
	if what != "slow" && what != "sh -c cat" {
		return nil
	}
	<-ctx.Done()
	result.Stderr = []byte("KeyboardInterrupt\n")
	r.Follow(sandbox.Stderr, result.Stderr)
	result.Exit.Code, result.Exit.Cause = 130, sandbox.CauseKilled
	return nil
}

func converse(t *testing.T, file string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, &transporttest.Sessions{Run: scripted}, mcp.Options{SoftLimit: 50 * time.Millisecond})
	session := ""
	for i := 0; i+1 < len(archive.Files); i += 2 {
		head, body, _ := strings.Cut(strings.TrimSpace(string(archive.Files[i].Data)), "\n\n")
		lines := strings.Split(head, "\n")
		var headers []string
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			headers = append(headers, name, strings.ReplaceAll(value, "$session", session))
		}
		answer, text := request(t, lines[0], url, body, headers...)
		if id := answer.Header.Get("Mcp-Session-Id"); id != "" {
			session = id
		}
		var out strings.Builder
		fmt.Fprintf(&out, "%d %s\n", answer.StatusCode, http.StatusText(answer.StatusCode))
		for _, name := range []string{"Content-Type", "Allow", "Mcp-Session-Id"} {
			if value := answer.Header.Get(name); value != "" {
				fmt.Fprintf(&out, "%s: %s\n", name, value)
			}
		}
		fmt.Fprintf(&out, "\n%s\n", text)
		got := minted.ReplaceAllString(out.String(), "(32 hex digits)")
		got = aging.ReplaceAllString(got, `${1}${2}0`)
		if *update {
			archive.Files[i+1].Data = []byte(got)
			continue
		}
		if want := string(archive.Files[i+1].Data); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", archive.Files[i].Name, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
