//go:build linux

package native_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// TestMain fails the package when a test left something on the host.
func TestMain(m *testing.M) {
	if err := native.AwaitIDs(os.Environ()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if native.NeedsUserNamespace() { // an ordinary user's run goes on inside, as the daemon does
		code, err := native.RunInUserNamespace(context.Background(), os.Args, os.Environ())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	before := sandboxtest.HostNow()
	code := m.Run()
	if left := sandboxtest.LeftSince(before); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "the tests left something behind:\n%s\n", strings.Join(left, "\n"))
		code = 1
	}
	os.Exit(code)
}

// agents lists the agents that this test started, by their process ids.
func agents(t *testing.T) []int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, name := range names {
		line, _ := os.ReadFile(name)
		status, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "status"))
		if string(line) == "sandwarden-agent\x00guest\x00" && strings.Contains(string(status), fmt.Sprintf("PPid:\t%d\n", os.Getpid())) {
			var pid int
			if _, err := fmt.Sscanf(name, "/proc/%d/", &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
