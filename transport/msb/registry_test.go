package msb

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// most is how many bytes the registries of these tests hold.
const most = 1 << 20

// TestRegistry_IsBounded: in number, in bytes, and in its file.
func TestRegistry_IsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "msb.json")
	r, err := openRegistry(path, 10, most)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if err := r.put(place{"s", fmt.Sprintf("n%d", i%20)}, config{Image: "i"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.in("s"); len(got) != 10 || r.lines > 2000 {
		t.Errorf("it knows %q, in %d lines", got, r.lines)
	}
	big := config{Scripts: map[string]string{"x": strings.Repeat("x", most/10)}}
	for i := range 15 {
		if err := r.put(place{"big", strconv.Itoa(i)}, big); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.in("big"); len(got) != 9 || r.bytes > most {
		t.Errorf("it knows %q, of %d bytes", got, r.bytes)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // in "s" may be sandboxes still
		if got := r.spaces(); len(r.in("s")) > 0 || !slices.Equal(got, []string{"big", "s"}) {
			t.Errorf("it knows the namespaces %q", got)
		}
		if r, err = openRegistry(path, 10, most); err != nil {
			t.Fatal(err)
		}
		defer r.close()
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", s, err)
	}
}

// TestRegistry_Torn: a line that a crash has cut costs nothing else.
func TestRegistry_Torn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "msb.json")
	whole := string(lineOf(place{"s", "a"}, config{Image: "i"}))
	if err := os.WriteFile(path, []byte(whole+whole[:len(whole)/2]), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openRegistry(path, 10, most)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if c, ok := r.get(place{"s", "a"}); !ok || c.Image != "i" || len(r.in("s")) != 1 {
		t.Errorf("got %+v, %v", c, ok)
	}
}
