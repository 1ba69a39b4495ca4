package token_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/token"
)

var day = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func add(t *testing.T, path string, p sandbox.Principal) string {
	t.Helper()
	text, err := token.Add(path, p, day)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A token opens the door for its principal, and is nowhere in the file.
func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	alice, again, bob := add(t, path, "alice"), add(t, path, "alice"), add(t, path, "bob@example.org")
	s, err := token.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]sandbox.Principal{alice: "alice", again: "alice", bob: "bob@example.org"} {
		if got, ok := s.Principal(text); !ok || got != want {
			t.Errorf("%q, %v; want %q", got, ok, want)
		}
	}
	data, _ := os.ReadFile(path)
	stat, _ := os.Stat(path)
	if strings.Contains(string(data), alice[20:]) || stat.Mode().Perm() != 0o600 {
		t.Errorf("the file has a token, or is open to others (%v):\n%s", stat.Mode(), data)
	}
	for _, wrong := range []string{
		"", "swt_", alice[:len(alice)-1], alice + "x", strings.ToUpper(alice), " " + alice, alice[:16] + "_" + bob[17:],
		"swt_000000000000_" + alice[17:], strings.Repeat("swt_", 1<<16),
	} {
		if p, ok := s.Principal(wrong); ok {
			t.Errorf("%.40q is taken for a token of %q", wrong, p)
		}
	}
}

// A revoked token is refused once the file is read again, and a file that
// cannot be read changes nothing.
func TestStore_Reload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	alice, bob := add(t, path, "alice"), add(t, path, "bob")
	s, err := token.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := token.Revoke(path, "alice"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Principal(alice); ok {
		t.Error("a revoked token is taken")
	}
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); sandbox.KindOf(err) != sandbox.Invalid || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
	if _, ok := s.Principal(bob); !ok {
		t.Error("a bad file took the tokens away")
	}
	if n, err := token.Revoke(path, "nobody"); n != 0 || err == nil {
		t.Error(n, err)
	}
}

func TestRead_Refuses(t *testing.T) {
	sum := strings.Repeat("0", 64)
	for name, text := range map[string]string{
		"fields":    "alice 001122334455 sha256:" + sum,
		"principal": "-x 001122334455 sha256:" + sum + " 2026-01-31",
		"reserved":  "msb:default 001122334455 sha256:" + sum + " 2026-01-31",
		"id":        "alice 0011223344 sha256:" + sum + " 2026-01-31",
		"hash":      "alice 001122334455 md5:" + sum + " 2026-01-31",
		"day":       "alice 001122334455 sha256:" + sum + " today",
		"twice":     strings.Repeat("alice 001122334455 sha256:"+sum+" 2026-01-31\n", 2),
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte("# a comment\n\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := token.Read(path); sandbox.KindOf(err) != sandbox.Invalid || strings.Contains(err.Error(), sum) {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if _, err := token.Open(path); !errors.Is(err, fs.ErrNotExist) && sandbox.KindOf(err) != sandbox.Invalid {
		t.Error(err)
	}
	add(t, path, "alice")
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := token.Open(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token.Open("/dev/null"); sandbox.KindOf(err) != sandbox.Invalid { // a pipe would be waited for, for ever
		t.Error(err)
	}
	for name, want := range map[sandbox.Principal]string{"a b": "cannot name", "msb:default": "kept for a namespace of the microsandbox API", "msb:": "kept for"} {
		if _, err := token.Add(path, name, day); sandbox.KindOf(err) != sandbox.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []sandbox.Principal{"msb", "msb-default", "x:msb:y"} {
		if _, err := token.Add(path, name, day); err != nil {
			t.Error(err)
		}
	}
}

// Many that add at once lose nothing.
func TestAdd_AtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := token.Add(path, "alice", day); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if entries, err := token.Read(path); len(entries) != 20 || err != nil {
		t.Error(len(entries), err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("alice 001122334455 sha256:" + strings.Repeat("0", 64) + " 2026-01-31\n")
	f.Add("# x\n\n \n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := token.Read(path)
		if err == nil && len(all) > strings.Count(text, "\n")+1 {
			t.Errorf("%d tokens in %q", len(all), text)
		}
	})
}
