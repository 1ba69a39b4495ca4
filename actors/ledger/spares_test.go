package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// waiting lists the directories that wait for their sessions.
func waiting(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "spare"))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// A session that begins in a directory that was made ahead is, to a later daemon, as
// any other, whether it has said something or not.
func TestSpares(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, ledger.Options{})
	for _, id := range []string{"a", "b", "c"} {
		if _, err := first.Create(ledger.Info{ID: id, Session: id, Created: time.Now()}); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); len(waiting(t, dir)) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("nothing is made ahead")
			}
		}
	}
	first.Close()
	before := len(waiting(t, dir))
	second := open(t, dir, ledger.Options{})
	left, err := second.Left()
	if err != nil || len(left) != 3 {
		t.Fatalf("%d sessions are left: %v", len(left), err)
	}
	said := []ledger.Entry{{Event: sandbox.Event{Type: sandbox.SessionReady, Time: time.Now()}, Box: "sb-1"}}
	if err := left[1].Append(said); err != nil {
		t.Fatal(err)
	}
	second.Close() // so that none is made while they are counted
	l, err := second.Create(ledger.Info{ID: "d", Session: "d", Created: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(waiting(t, dir)); n != before-1 {
		t.Errorf("%d wait, of %d that an earlier daemon made", n, before)
	}
	if err := l.Append(said); err != nil {
		t.Fatal(err)
	}
	third, err := open(t, dir, ledger.Options{}).Left()
	if err != nil || len(third) != 4 || third[1].Standing().Box != "sb-1" || third[3].Standing().Box != "sb-1" {
		t.Errorf("%d sessions are left: %v", len(third), err)
	}
}

// Who has removed one by hand costs nobody a session.
func TestSpares_Gone(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "spare", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	store := open(t, dir, ledger.Options{})
	if err := os.Remove(filepath.Join(dir, "spare", "x")); err != nil {
		t.Fatal(err)
	}
	create(t, store)
	if left, err := open(t, dir, ledger.Options{}).Left(); err != nil || len(left) != 1 {
		t.Errorf("%d sessions are left: %v", len(left), err)
	}
}

// What a daemon had begun to use when it was killed is not used again.
func TestSpares_Begun(t *testing.T) {
	dir := t.TempDir()
	begun := filepath.Join(dir, "spare", "x")
	if err := errors.Join(os.MkdirAll(begun, 0o700), os.WriteFile(filepath.Join(begun, "session.json"), make([]byte, 4096), 0o600)); err != nil {
		t.Fatal(err)
	}
	store := open(t, dir, ledger.Options{})
	if _, err := os.Stat(begun); !os.IsNotExist(err) {
		t.Errorf("it still waits: %v", err)
	}
	create(t, store)
	if left, err := open(t, dir, ledger.Options{}).Left(); err != nil || len(left) != 1 {
		t.Errorf("%d sessions are left: %v", len(left), err)
	}
}

// A part of a directory is as good as all of it: who made it was ended.
func TestSpares_Part(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "spare", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	store := open(t, dir, ledger.Options{})
	l := create(t, store)
	if err := l.Append([]ledger.Entry{{Event: sandbox.Event{Type: sandbox.SessionReady, Time: time.Now()}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "spare", "x")); !os.IsNotExist(err) {
		t.Errorf("it still waits: %v", err)
	}
	if left, err := open(t, dir, ledger.Options{}).Left(); err != nil || len(left) != 1 {
		t.Errorf("%d sessions are left: %v", len(left), err)
	}
}
