//go:build linux

package native_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox/native"
)

func TestSubordinate(t *testing.T) {
	uid := strconv.Itoa(os.Getuid())
	for text, want := range map[string][2]int{
		"":                                   {},
		"somebody:100000:65536\n":            {},
		"x:1:2\n" + uid + ":200000:65536\n":  {200000, 65536},
		uid + ":many:65536\n":                {},
		uid + ":1:2:3\n" + uid + ":7:9\n":    {7, 9},
		"# " + uid + "\n" + uid + ":300:4\n": {300, 4},
	} {
		file := filepath.Join(t.TempDir(), "subuid")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if start, size := native.Subordinate(file); [2]int{start, size} != want {
			t.Errorf("%q: got %d, %d, want %v", text, start, size, want)
		}
	}
}
