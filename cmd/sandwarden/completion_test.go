package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// inBash returns what bash offers for the last of some words.
func inBash(t *testing.T, words ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		sandboxtest.Skip(t, "there is no bash: %v", err)
	}
	name := filepath.Join(t.TempDir(), "sandwarden")
	if err := os.WriteFile(name, []byte(bashCompletion()), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `set -u; source "$1"; shift; COMP_CWORD=$1; shift; COMP_WORDS=("$@")
complete -p "${COMP_WORDS[0]##*/}" | grep -q _sandwarden || exit
_sandwarden; printf '%s\n' "${COMPREPLY[@]}"`
	args := append([]string{"--norc", "-c", script, "bash", name, strconv.Itoa(len(words) - 1)}, words...)
	out, err := exec.CommandContext(t.Context(), "bash", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

func TestCompletion_Bash(t *testing.T) {
	for line, want := range map[string][]string{
		"sandwarden serv":                      {"serve"},
		"sandwarden se":                        {"serve", "sessions"},
		"sandwarden co":                        {"config", "completion"},
		"sandwarden sessions s":                {"show", "stop"},
		"sandwarden exec --sess":               {"--session"},
		"sandwarden logs --url ":               nil,
		"sandwarden --ver":                     {"--version"},
		"sandwarden --po":                      nil,
		"sandwarden serve --por":               {"--port"},
		"sandwarden serve --check":             {"--check-config"},
		"sandwarden config --check":            {"--check"},
		"sandwarden config --port 1 --he":      {"--help"},
		"sandwarden serve --config ":           nil, // files
		"sandwarden serve --enable-cors --ho":  {"--host"},
		"sandwarden bench w":                   {"warm"},
		"sandwarden bench warm --cl":           {"--clients"},
		"sandwarden bench warm --url http":     nil,
		"sandwarden bench com":                 {"compare"},
		"sandwarden bench compare --thr":       {"--threshold"},
		"sandwarden bench compare --thr 5 --f": {"--fail-on-regression"},
		"sandwarden bench export --c":          {"--clients", "--computesdk"},
		"sandwarden bench all --html ":         nil, // files
		"sandwarden completion ":               {"bash", "zsh", "fish", "--help"},
		"sandwarden nonsense --":               nil,
		"/usr/local/bin/mcp_server --po":       {"--port"},
		"mcp-server --port 1 --enab":           {"--enable-cors"},
		"mcp-server config --ch":               {"--check"},
		"mcp-server pu":                        {"purge"},
		"mcp_server --log-level DEBUG --allow": {"--allow-unenforced-limits"},
	} {
		if got := inBash(t, strings.Split(line, " ")...); !slices.Equal(got, want) {
			t.Errorf("%q is completed to %q, want %q", line, got, want)
		}
	}
}

// What the table has, every shell is told.
func TestCompletion_HasTheTable(t *testing.T) {
	for shell, text := range map[string]string{"bash": bashCompletion(), "zsh": zshCompletion(), "fish": fishCompletion()} {
		for _, s := range subcommands() {
			if !strings.Contains(text, s.name) {
				t.Errorf("%s is not told of %s", shell, s.name)
			}
			s.eachFlag(func(f *pflag.Flag) {
				if !strings.Contains(text, "--"+f.Name) && !strings.Contains(text, "-l "+f.Name+" ") {
					t.Errorf("%s is not told of %s --%s", shell, s.name, f.Name)
				}
			})
		}
	}
}

// Where another shell is installed, it must at least understand the text.
func TestCompletion_OtherShells(t *testing.T) {
	for shell, text := range map[string]string{"zsh": zshCompletion(), "fish": fishCompletion()} {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("there is no %s", shell)
			continue
		}
		name := filepath.Join(t.TempDir(), shell)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), shell, "-n", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	if _, err := exec.LookPath("fish"); err != nil {
		return
	}
	name := filepath.Join(t.TempDir(), "sandwarden.fish")
	if err := os.WriteFile(name, []byte(fishCompletion()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "fish", "-N", "-c", "source "+name+"; complete -C 'sandwarden serve --por'").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "--port\t") {
		t.Errorf("fish offers %q, %v", out, err)
	}
}

// The image's entrypoint knows the subcommands, and takes nothing else for one.
func TestEntrypoint_KnowsTheTable(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "docker", "entrypoint.sh"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "serve) shift ;;\n")
	line, _, _ := strings.Cut(rest, ")")
	known := strings.Split(strings.TrimSpace(line), " | ")
	for _, s := range subcommands() {
		if s.name != "serve" && !slices.Contains(known, s.name) {
			t.Errorf("it takes %s for a program", s.name)
		}
	}
}
