//go:build linux

package native_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// helpers lists the processes of agents of this test that do operations on
// files, by their folders in /proc.
func helpers(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range names {
		line, _ := os.ReadFile(name)
		status, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "status"))
		if !strings.HasPrefix(string(line), "sandwarden-agent\x00files\x00") {
			continue
		}
		for _, pid := range agents(t) {
			if strings.Contains(string(status), fmt.Sprintf("PPid:\t%d\n", pid)) {
				all = append(all, filepath.Dir(name))
			}
		}
	}
	return all
}

// What does an operation has the tenant's rights and is paid for by the tenant.
func TestTransfer_HelperIsTheTenants(t *testing.T) {
	x := small(t, sandbox.Templates()[2])
	w, err := x.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileWrite, Path: "held"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	all := helpers(t)
	if len(all) != 1 {
		t.Fatalf("helpers: %v", all)
	}
	status, err := os.ReadFile(filepath.Join(all[0], "status"))
	if err != nil || !strings.Contains(string(status), "CapEff:\t0000000000000000") || !strings.Contains(string(status), "Seccomp:\t2") {
		t.Errorf("its rights: %v\n%s", err, status)
	}
	if cgroups, err := os.ReadFile(filepath.Join(all[0], "cgroup")); !ordinary() && (err != nil || !strings.Contains(string(cgroups), "/work/")) {
		t.Errorf("it is in\n%s, %v", cgroups, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if all := helpers(t); len(all) > 0 {
		t.Errorf("after Close: %v", all)
	}
}

// A tenant can kill the helper, and harms its own operation alone.
func TestTransfer_HelperKilled(t *testing.T) {
	x := small(t, sandbox.Templates()[2])
	w, err := x.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileWrite, Path: "held"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	x.Shell(t, "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q '^sandwarden-agent files' && kill -9 ${p#/proc/}; done")
	_, err = w.Write([]byte("x"))
	if err == nil {
		err = w.CloseWrite()
	}
	if err == nil {
		_, err = w.Read(make([]byte, 1))
	}
	if e, ok := errors.AsType[*sandbox.Error](err); !ok || e.Kind != sandbox.Stopped || e.Cause != sandbox.CauseCrashed {
		t.Errorf("got %v, want stopped and crashed", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	x.Put(t, "after", "alive")
	if got := x.Get(t, "after"); got != "alive" {
		t.Errorf("got %q", got)
	}
}

// A sandbox that has all its tasks has none for a helper, and says so.
func TestTransfer_NoTask(t *testing.T) {
	if ordinary() {
		t.Skip("nobody counts tasks")
	}
	x := small(t, sandbox.Templates()[2])
	id := x.Begin(t, sandbox.Exec{Argv: []string{"/usr/bin/python3", "-c", `
import os, time
while True: # also after a failure, for which a helper may have been the reason that ends
    try:
        if os.fork() == 0: time.sleep(600)
    except OSError:
        time.sleep(0.01)`}})
	var err error
	for deadline := time.Now().Add(time.Minute); err == nil && time.Now().Before(deadline); {
		_, err = x.Files(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "/work"}, nil)
	}
	if e, ok := errors.AsType[*sandbox.Error](err); !ok || e.Kind != sandbox.Exhausted || e.Limit == nil || e.Limit.Resource != "tasks" {
		t.Errorf("got %v, want the tasks exhausted", err)
	}
	if err := x.Signal(t.Context(), id, sandbox.Kill); err != nil {
		t.Fatal(err)
	}
	x.Await(t, id)
	x.Put(t, "after", "alive")
}
