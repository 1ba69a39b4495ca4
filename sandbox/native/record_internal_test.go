//go:build linux

package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A record is read as it was last written, whether it became longer or shorter, or
// too long to be written in one step where it is.
func TestRecords_Replaced(t *testing.T) {
	r := openRecords(t.TempDir())
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{10, 300, 0, 3000, 20, 50_000, 7, 4000} {
		want := strings.Repeat("x", size)
		if err := r.write(record{ID: "sb-1", State: "ready", Env: []string{want}}); err != nil {
			t.Fatal(err)
		}
		if got, err := r.read("sb-1"); err != nil || got.Env[0] != want {
			t.Errorf("of %d bytes %d are read: %v", size, len(got.Env[0]), err)
		}
		if all, err := r.list(); err != nil || len(all) != 1 {
			t.Errorf("%d are listed: %v", len(all), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*.new")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// A sandbox that was ready takes its record along. A daemon that was killed in
// between has one all the same.
func TestRecords_Rebound(t *testing.T) {
	r := openRecords(t.TempDir())
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, rec := range []record{{ID: "pool-a", State: "pooled"}, {ID: "pool-b", State: "pooled"}} {
		if err := r.write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.rebind(record{ID: "sb-a", Slot: "pool-a", State: "ready"}, "pool-a"); err != nil {
		t.Fatal(err)
	}
	if err := r.writeAt(record{ID: "sb-b", Slot: "pool-b", State: "ready"}, "pool-b"); err != nil { // and is killed
		t.Fatal(err)
	}
	all, err := r.list()
	if err != nil || len(all) != 2 {
		t.Fatalf("%d are listed: %v", len(all), err)
	}
	for _, rec := range all {
		if rec.State != "ready" {
			t.Errorf("%+v", rec)
		}
		if err := r.remove(rec); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(r.dir); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// Of a daemon that was killed before it wrote nothing is set aside for a person, and
// the next start removes it.
func TestRecords_NotWrittenYet(t *testing.T) {
	r := openRecords(t.TempDir())
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sb-empty.json", "sb-large.json.new"} {
		if err := os.WriteFile(filepath.Join(r.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.write(record{ID: "sb-1"}); err != nil {
		t.Fatal(err)
	}
	if all, err := r.list(); err != nil || len(all) != 1 || all[0].ID != sandbox.ID("sb-1") {
		t.Errorf("listed: %+v, %v", all, err)
	}
	if err := r.tidy(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(r.dir); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
}

// The file of a record that is removed is the next one's, unless it may hold secrets of
// its session's.
func TestRecords_UsedAgain(t *testing.T) {
	r := openRecords(t.TempDir())
	if err := errors.Join(os.Mkdir(r.dir, 0o700), r.old.open()); err != nil {
		t.Fatal(err)
	}
	first, second, secret := record{ID: "sb-1", Session: strings.Repeat("long", 100)}, record{ID: "sb-2"}, record{ID: "sb-3", Env: []string{"KEY=1"}}
	file := func(id sandbox.ID) os.FileInfo {
		t.Helper()
		info, err := os.Stat(r.path(id))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if err := r.begin(first); err != nil {
		t.Fatal(err)
	}
	was := file(first.ID)
	if err := errors.Join(r.remove(first), r.remove(first), r.begin(second)); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(was, file(second.ID)) {
		t.Error("it has another file")
	}
	if err := r.begin(secret); err != nil {
		t.Fatal(err)
	}
	if all, err := r.list(); err != nil || len(all) != 2 || all[0].ID != "sb-2" || all[0].Session != "" {
		t.Errorf("listed: %+v, %v", all, err)
	}
	if err := r.remove(secret); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.old.dir); err != nil || len(left) > 0 {
		t.Errorf("kept: %v, %v", left, err)
	}
	for i := range 2 * mostUsed {
		if err := r.begin(record{ID: sandbox.ID(fmt.Sprint("many-", i))}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * mostUsed {
		if err := r.remove(record{ID: sandbox.ID(fmt.Sprint("many-", i))}); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(r.old.dir); err != nil || len(left) != mostUsed {
		t.Errorf("%d are kept: %v", len(left), err)
	}
	if err := r.old.close(); err != nil {
		t.Error(err)
	}
}
