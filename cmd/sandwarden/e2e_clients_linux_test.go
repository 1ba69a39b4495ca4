package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// A seen is one line of what the TypeScript client saw.
type seen struct {
	Step       string         `json:"step"`
	Server     string         `json:"server"`
	Session    bool           `json:"session"`
	Names      []string       `json:"names"`
	IsError    bool           `json:"isError"`
	Text       string         `json:"text"`
	Structured map[string]any `json:"structured"`
	Valid      bool           `json:"valid"`
	Rising     bool           `json:"rising"`
	Count      int            `json:"count"`
	Reason     string         `json:"reason"`
}

// progressText is what the code that waits for its reader puts out.
func progressText() string {
	var b strings.Builder
	b.WriteString("begun ä\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	b.WriteString("ended 😀\n")
	return b.String()
}

func TestTypeScriptClient(t *testing.T) {
	folder := nodeModules(t)
	s := serve(t)
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(folder, "client.mjs"), s.url+"/mcp")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	saw := map[string]seen{}
	for line := range bytes.Lines(out) {
		var one seen
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		saw[one.Step] = one
	}
	if one := saw["connect"]; one.Server != "sandwarden" || !one.Session {
		t.Errorf("connect: %+v", one)
	}
	if one := saw["tools"]; !slices.Contains(one.Names, "execute_code") || len(one.Names) < 5 {
		t.Errorf("tools: %+v", one)
	}
	for step, want := range map[string]struct {
		text    string
		isError bool
		member  string
		value   any
	}{
		"python":       {text: "set\n42", member: "result", value: "42"},
		"python state": {text: "43", member: "session_created", value: false},
		"node":         {text: "42", member: "template", value: "node"},
		"node state":   {text: "43", member: "result", value: "43"},
		"bash":         {text: "", member: "session_created", value: true},
		"bash state":   {text: "42 in /tmp", member: "exit_code", value: 0.0},
		"command":      {text: "a b $x", member: "stdout", value: "a b $x\n"},
		"shell":        {text: "out\nerr", isError: true, member: "exit_code", value: 3.0},
		"progress":     {text: strings.TrimSpace(progressText()), member: "stdout", value: progressText()},
		"after abort":  {text: "42", member: "result", value: "42"},
		"failure":      {text: "ZeroDivisionError: division by zero", member: "success", value: false},
		"timeout":      {text: "Code execution timed out", isError: true, member: "cause", value: "wall_timeout"},
		"bad name":     {text: "session", isError: true, member: "kind", value: "invalid"},
		"bad template": {text: "template", isError: true, member: "kind", value: "invalid"},
		"bad type":     {text: "Parameter 'code' must be a string", isError: true, member: "kind", value: "invalid"},
		"stop":         {text: "Session py stopped successfully", member: "success", value: true},
		"stop again":   {text: "Session py not found", member: "success", value: false},
		"stop js":      {text: "Session js stopped successfully", member: "success", value: true},
		"stop sh":      {text: "Session sh stopped successfully", member: "success", value: true},
		"sessions":     {text: `"session_id": "py"`},
		"volumes":      {text: "[]"},
	} {
		got, ok := saw[step]
		switch {
		case !ok:
			t.Errorf("%s: nothing", step)
		case !strings.Contains(got.Text, want.text), got.IsError != want.isError, !got.Valid:
			t.Errorf("%s: %.500v", step, got)
		case want.member != "" && got.Structured[want.member] != want.value:
			t.Errorf("%s: %s is %v, want %v", step, want.member, got.Structured[want.member], want.value)
		}
	}
	if one := saw["progress seen"]; one.Text != progressText() || !one.Rising || one.Count < 2 {
		t.Errorf("progress: %d notifications, rising %v, %d bytes of %d", one.Count, one.Rising, len(one.Text), len(progressText()))
	}
	if one := saw["abort"]; !strings.Contains(one.Reason, "enough") {
		t.Errorf("abort: %+v", one)
	}
	if got := s.sessions(t); len(got) != 0 {
		t.Errorf("sessions are left: %q", got)
	}
}

// nodeModules returns the folder of the clients, with what they need in it.
func nodeModules(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			sandboxtest.Skip(t, "there is no %s", program)
		}
	}
	folder := filepath.Join(machine.root, "cmd", "sandwarden", "testdata", "clients")
	lock, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(folder, "node_modules")
	if have, err := os.ReadFile(filepath.Join(modules, "lock")); err == nil && bytes.Equal(have, lock) {
		return folder
	}
	// Beside it first: a half-done installation must not be taken for a whole one.
	fresh, err := os.MkdirTemp(folder, "node_modules") //nolint:usetesting // a rename stays on one file system
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		if err := os.Link(filepath.Join(folder, name), filepath.Join(fresh, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		sandboxtest.Skip(t, "npm cannot install the client: %v\n%s", err, out)
	}
	made := filepath.Join(fresh, "node_modules")
	if err := os.WriteFile(filepath.Join(made, "lock"), lock, 0o600); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(modules)
	if err := os.Rename(made, modules); err != nil {
		t.Fatal(err)
	}
	return folder
}

// The same with the client of mcp-go, in short.
func TestGoClient(t *testing.T) {
	s := serve(t)
	c, err := client.NewStreamableHttpClient(s.url + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var initialize mcp.InitializeRequest
	initialize.Params.ProtocolVersion = "2025-06-18"
	initialize.Params.ClientInfo = mcp.Implementation{Name: "sandwarden-test", Version: "1"}
	if got, err := c.Initialize(t.Context(), initialize); err != nil || got.ServerInfo.Name != "sandwarden" {
		t.Fatalf("initialize: %+v, %v", got, err)
	}
	if got, err := c.ListTools(t.Context(), mcp.ListToolsRequest{}); err != nil || len(got.Tools) < 5 {
		t.Fatalf("list: %+v, %v", got, err)
	}
	call := func(tool string, a arguments, meta *mcp.Meta) (*mcp.CallToolResult, string) {
		t.Helper()
		var request mcp.CallToolRequest
		request.Params.Name, request.Params.Arguments, request.Params.Meta = tool, map[string]any(a), meta
		got, err := c.CallTool(t.Context(), request)
		if err != nil {
			t.Fatalf("%s %v: %v", tool, a, err)
		}
		return got, got.Content[0].(mcp.TextContent).Text
	}
	var mu sync.Mutex
	var progress strings.Builder
	first := make(chan struct{})
	c.OnNotification(func(n mcp.JSONRPCNotification) {
		mu.Lock()
		defer mu.Unlock()
		if n.Method == "notifications/progress" {
			if progress.Len() == 0 {
				close(first)
			}
			progress.WriteString(n.Params.AdditionalFields["message"].(string))
		}
	})
	touched := make(chan struct{})
	go func() { // ends with the test at the latest
		defer close(touched)
		select {
		case <-first:
			s.text(t, "execute_command", arguments{"session_id": "go", "command": "touch /work/go"})
		case <-t.Context().Done():
		}
	}()
	waiting := "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists('/work/go'): time.sleep(0.005)\nprint('ended')\nx = 1"
	if got, text := call("execute_code", arguments{"session_id": "go", "code": waiting}, &mcp.Meta{ProgressToken: "p"}); got.IsError || text != "begun\nended" {
		t.Errorf("got %q", text)
	}
	<-touched
	mu.Lock()
	if progress.String() != "begun\nended\n" {
		t.Errorf("progress was %q", progress.String())
	}
	mu.Unlock()
	if got, text := call("execute_code", arguments{"session_id": "go", "code": "x + 1"}, nil); got.IsError || text != "2" {
		t.Errorf("got %q", text)
	}
	if got, text := call("execute_command", arguments{"session_id": "go", "command": "exit 4"}, nil); !got.IsError {
		t.Errorf("got %q", text)
	}
	if got, text := call("execute_code", arguments{"session_id": "a/b", "code": "1"}, nil); !got.IsError || !strings.Contains(text, "session") {
		t.Errorf("got %q", text)
	}
	if got, text := call("stop_session", arguments{"session_id": "go"}, nil); got.IsError || text != "Session go stopped successfully" {
		t.Errorf("got %q", text)
	}
}
