//go:build linux

package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
)

// The pages of a file that work has read are given back. What the processes
// themselves hold is not, for there is no swap for it.
func TestReclaim_GivesBackPagesOfFiles(t *testing.T) {
	h := host(t, 0)
	if h.memory == nil {
		t.Skip("memory is not counted here")
	}
	const size = 32 << 20
	name := filepath.Join("/var/tmp", filepath.Base(t.TempDir())+instance(t)) // on a disk: pages of memory have no other place
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); os.Remove(name) })
	if err := f.Chown(tenant, tenant); err != nil {
		t.Fatal(err)
	}
	s := session(t, h, Limits{MemoryBytes: 256 << 20, Pids: 32})
	script := "dd if=/dev/zero of=" + name + " bs=1M count=32 conv=fsync 2>/dev/null && echo ready; sleep 60"
	start(t, inside(t, s, "/bin/sh", "-c", script))
	freed, err := s.Reclaim()
	if sandbox.KindOf(err) == sandbox.Unsupported {
		t.Skip("this kernel reclaims nothing on request")
	}
	if err != nil || freed < size/2 {
		t.Errorf("%d bytes were freed, %v", freed, err)
	}
}

// Version 2 is asked for no more than there is, and a kernel that knows no such
// request is told apart from a session that is gone.
func TestReclaim_V2(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "s", "work"), map[string]string{"memory.current": "5000000", "memory.reclaim": ""})
	tr, err := openTree(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.close() })
	s := &Session{host: newV2(tr, []string{memory}, Options{}.withDefaults()), name: "s"}
	if _, err := s.Reclaim(); err != nil {
		t.Fatal(err)
	}
	asked, err := os.ReadFile(filepath.Join(dir, "s", "work", "memory.reclaim"))
	if err != nil || strings.TrimSpace(string(asked)) != "5000000" {
		t.Errorf("it was asked for %q, %v", asked, err)
	}
	if err := os.Remove(filepath.Join(dir, "s", "work", "memory.reclaim")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reclaim(); sandbox.KindOf(err) != sandbox.Unsupported {
		t.Errorf("an older kernel: %v", err)
	}
	s.name = "gone"
	if _, err := s.Reclaim(); sandbox.KindOf(err) != sandbox.NotFound {
		t.Errorf("no session: %v", err)
	}
}
