//go:build linux

package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeV2 is a plain directory with the files that opening looks at: the kernel
// would make them in new groups, and here nobody does.
func fakeV2(t *testing.T, controllers string, groups ...string) []mount {
	t.Helper()
	dir := t.TempDir()
	for _, group := range append(groups, "") {
		write(t, filepath.Join(dir, group), map[string]string{"cgroup.controllers": controllers, "cgroup.subtree_control": "", "cgroup.procs": ""})
	}
	return []mount{{point: dir, own: "system.slice/mcp-server.service", v2: true}}
}

// The daemon is in a service, the sandboxes beside it in a slice: what limits
// the service does not limit them.
func TestV2_ChosenParent(t *testing.T) {
	const group = "sandwarden.slice/sandwarden/i"
	mounts := fakeV2(t, "cpuset cpu io memory pids", "sandwarden.slice", "sandwarden.slice/sandwarden", group, "system.slice/mcp-server.service")
	h, err := openV2(mounts, Options{Instance: "i", Parent: "/sandwarden.slice"}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if want := filepath.Join(mounts[0].point, group); h.memory.dir != want {
		t.Errorf("sessions are made in %s, want %s", h.memory.dir, want)
	}
	for _, dir := range []string{"sandwarden.slice", "sandwarden.slice/sandwarden", group} {
		got, err := os.ReadFile(filepath.Join(mounts[0].point, dir, "cgroup.subtree_control"))
		if err != nil || string(got) != "+cpu +memory +pids" {
			t.Errorf("%s hands on %q, %v", dir, got, err)
		}
	}
	for _, dir := range []string{"", "system.slice/mcp-server.service"} {
		if got, _ := os.ReadFile(filepath.Join(mounts[0].point, dir, "cgroup.subtree_control")); len(got) > 0 && string(got) != "\n" {
			t.Errorf("%q was told %q, and all was there", dir, got)
		}
	}
}

// A chosen place that cannot be had is an error: another would be a surprise.
func TestV2_ChosenParentThatCannotBe(t *testing.T) {
	mounts := fakeV2(t, "hugetlb", "a")
	if h, err := openV2(mounts, Options{Instance: "i", Parent: "a/b"}.withDefaults()); err == nil {
		t.Errorf("opened %s", h.memory.dir)
	}
	if _, err := os.Stat(filepath.Join(mounts[0].point, "a/b")); !os.IsNotExist(err) {
		t.Errorf("it was made: %v", err)
	}
}

func TestV1_ChosenParent(t *testing.T) {
	h := mount{point: t.TempDir(), own: "system.slice/mcp-server.service", controllers: []string{memory}}
	tree, err := v1Parent(h, Options{Instance: "i", Parent: "/sandwarden.slice"}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.close()
	if want := filepath.Join(h.point, "sandwarden.slice/sandwarden/i"); tree.dir != want {
		t.Errorf("sessions are made in %s, want %s", tree.dir, want)
	}
	tree, err = v1Parent(h, Options{Instance: "i"}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.close()
	if want := filepath.Join(h.point, "sandwarden/i"); tree.dir != want {
		t.Errorf("by default sessions are made in %s, want %s, outside of the service", tree.dir, want)
	}
}

// On the host itself, whichever version it has.
func TestOpen_ChosenParent(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes control groups")
	}
	const slice = "sandwarden-test.slice"
	h, err := Open(t.Context(), Options{Instance: instance(t), Parent: slice})
	if err != nil {
		t.Skipf("this host has no control groups for us: %v", err)
	}
	places := map[string]bool{}
	for _, tree := range h.trees {
		place := filepath.Dir(filepath.Dir(tree.dir))
		if filepath.Base(place) != slice {
			t.Errorf("%s is not in %s", tree.dir, slice)
		}
		places[place] = true
	}
	t.Cleanup(func() { // after the session's
		gone(t, h)
		for place := range places {
			if err := os.Remove(place); err != nil {
				t.Error(err)
			}
		}
	})
	killing(t, session(t, h, Limits{UID: tenant}), false)
}

func TestOpen_BadParents(t *testing.T) {
	for _, name := range []string{"..", "/a/../b", "a/./b", "a\nb", strings.Repeat("x", 2000)} {
		if h, err := Open(t.Context(), Options{Instance: "i", Parent: name}); err == nil {
			h.Close()
			t.Errorf("opened in %q", name)
		}
	}
}
