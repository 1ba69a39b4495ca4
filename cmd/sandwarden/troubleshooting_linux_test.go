package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// A block is a fenced part of a text, and what is expected of it.
type block struct {
	line       int // in the text, of its first line
	kind, code string
	fails      bool
	want       string
}

var fence = regexp.MustCompile("(?s)\n( *)```([a-z]+)\n(.*?)\n *```\n( *<!-- (expect|fails): (.*?) -->)?")

// blocksOf returns the fenced blocks of a text.
func blocksOf(text string) []block {
	var all []block
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		part := func(i int) string {
			if at[2*i] < 0 {
				return ""
			}
			return text[at[2*i]:at[2*i+1]]
		}
		all = append(all, block{
			line: 2 + strings.Count(text[:at[6]], "\n") - 1, kind: part(2),
			code: strings.ReplaceAll("\n"+part(3), "\n"+part(1), "\n")[1:], fails: part(5) == "fails", want: part(6),
		})
	}
	return all
}

// An operator is a shell on a host where the daemon is installed and nothing
// else of its name runs.
type operator struct {
	*place
	port, second string // in place of 8775 and 8001
	path         string
}

var stands = regexp.MustCompile(`\b8775\b|\b8001\b|/var/log/mcp-server\b`)

// replace puts what is of this test in place of what stands in a guide.
func (o *operator) replace(text string) string {
	return stands.ReplaceAllStringFunc(text, func(s string) string {
		switch s {
		case "8775":
			return o.port
		case "8001":
			return o.second
		}
		return filepath.Join(o.home, "log")
	})
}

// newOperator installs the program under its names.
func newOperator(t *testing.T) *operator {
	t.Helper()
	wantCurl(t)
	p := newPlace(t, "SANDWARDEN_SHUTDOWN_SESSIONS=keep")
	for _, tool := range []string{"pgrep", "ps", "openssl", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			sandboxtest.Skip(t, "there is no %s", tool)
		}
	}
	bin := filepath.Join(p.home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(oldNames(), "sandwarden") {
		if err := os.Symlink(p.program, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	// On a host of ours alone pgrep finds this daemon and what it started; here
	// there may be others, of other tests, which must not be ended.
	if err := os.WriteFile(filepath.Join(bin, "pgrep"), []byte(onlyOurs), 0o755); err != nil {
		t.Fatal(err)
	}
	o := &operator{
		place: p, path: bin + ":/usr/sbin:/usr/bin:/sbin:/bin",
		port: strconv.Itoa(freePortNumber(t)), second: strconv.Itoa(freePortNumber(t)),
	}
	o.environ = append(o.environ, "MCP_SERVER_PORT="+o.port)
	t.Cleanup(func() {
		if pid := o.daemon(); pid > 0 { // the test failed
			_ = syscall.Kill(pid, syscall.SIGINT)
			eventually(t, "the daemon ends", func() bool { return o.daemon() == 0 })
		}
	})
	return o
}

const onlyOurs = `#!/bin/sh
count=
if [ "$1" = -c ]; then
	count=yes
	shift
fi
daemon=$(cat "$SANDWARDEN_RUNTIME_DIR/lock")
/usr/bin/pgrep "$@" | {
	n=0
	while read -r pid; do
		up=$pid
		while [ "${up:-0}" -gt 1 ]; do
			if [ "$up" = "$daemon" ]; then
				n=$((n + 1))
				[ -n "$count" ] || echo "$pid"
				break
			fi
			up=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$up/status" 2>/dev/null)
		done
	done
	[ -z "$count" ] || echo "$n"
}
`

// daemon is the process that runs in this place, or 0.
func (o *operator) daemon() int {
	text, err := os.ReadFile(filepath.Join(o.runtime, "lock"))
	pid, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || bad != nil || isGone(identity(strconv.Itoa(pid))) {
		return 0
	}
	program, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil || program != o.program {
		return 0
	}
	return pid
}

// shell runs lines as a script, as a person at a terminal would, and returns
// what they print.
func (o *operator) shell(t *testing.T, lines string) (string, error) {
	t.Helper()
	script := filepath.Join(o.home, "lines")
	if err := os.WriteFile(script, []byte(o.replace(lines)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := o.command()
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", script}
	cmd.SysProcAttr = nil
	cmd.Env = append(cmd.Env, "PATH="+o.path)
	stop := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	out, err := cmd.CombinedOutput()
	if pid := o.daemon(); pid > 0 {
		machine.agentsOf(pid) // are ours
	}
	return string(out), err
}

// judge looks for what a daemon must never say.
func (o *operator) judge(t *testing.T) {
	t.Helper()
	log, _ := os.ReadFile(filepath.Join(o.home, "log", "mcp-server.log"))
	if strings.Contains(string(log), "panicked") {
		t.Error("the daemon's log has a panic")
	}
	if t.Failed() {
		t.Logf("the daemon's log ends with:\n%s", log[max(0, len(log)-4000):])
	}
}

// What docs/troubleshooting.md tells people to do works, from top to bottom.
func TestTroubleshooting(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(machine.root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := blocksOf(string(text))
	if n := strings.Count(string(text), "```") / 2; n != len(blocks) || n == 0 {
		t.Fatalf("of %d blocks this test finds %d", n, len(blocks))
	}
	_, table, _ := strings.Cut(string(text), "\n## What no test runs\n")
	o := newOperator(t)
	for _, b := range blocks {
		switch b.kind {
		case "console":
			for _, word := range commandsOf(b.code) {
				if !strings.Contains(table, "`"+word) && !strings.Contains(table, "of "+word) {
					t.Errorf("line %d: the table of what no test runs has no %q", b.line, word)
				}
			}
			continue
		case "sh":
		default:
			t.Errorf("line %d: a block of %q is neither run nor listed", b.line, b.kind)
			continue
		}
		name, _, _ := strings.Cut(b.code, "\n")
		if !t.Run(fmt.Sprintf("line %d %.40s", b.line, name), func(t *testing.T) {
			out, err := o.shell(t, b.code)
			if (err != nil) != b.fails {
				t.Errorf("%s\nends with %v, and prints\n%s", b.code, err, out)
			}
			if b.want == "" {
				t.Fatal("nothing is expected of it")
			}
			if !regexp.MustCompile(o.replace(b.want)).MatchString(out) {
				t.Errorf("%s\nprints\n%s\nwant %s", b.code, out, b.want)
			}
		}) {
			break // the others build on it
		}
	}
	if !t.Failed() { // the last block ends it, which takes a moment
		await(t, func() bool { return o.daemon() <= 0 }, "the end of the daemon")
	}
	o.judge(t)
}

// commandsOf returns the first word of each line of shell.
func commandsOf(code string) []string {
	var words []string
	for line := range strings.SplitSeq(strings.ReplaceAll(code, "\\\n", " "), "\n") {
		line = strings.TrimPrefix(strings.TrimSpace(line), "sudo ")
		word, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(word, "*") {
			word = "cron"
		}
		if word != "" && word != "#" && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}
