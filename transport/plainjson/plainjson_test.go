package plainjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/transport/plainjson"
)

func TestAppendString(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":           {"", `""`},
		"HTML stays":      {"<a href='x'>&</a>", `"<a href='x'>&</a>"`},
		"quotes":          {`a"b\c`, `"a\"b\\c"`},
		"controls":        {"\n\r\t\b\f\x00\x1b[0m", `"\n\r\t\b\f\u0000\u001b[0m"`},
		"beyond ASCII":    {"né 漢 😀\u2028", "\"né 漢 😀\u2028\""},
		"not UTF-8":       {"a\xffb\xe2\x82", "\"a\uFFFDb\uFFFD\uFFFD\""},
		"delete stays":    {"\x7f", "\"\x7f\""},
		"replacement too": {"\uFFFD", "\"\uFFFD\""},
	} {
		if got := string(plainjson.AppendString(nil, c.in)); got != c.want {
			t.Errorf("%s: AppendString(%q) = %s, want %s", name, c.in, got, c.want)
		}
		if got := string(plainjson.AppendString(nil, []byte(c.in))); got != c.want {
			t.Errorf("%s: AppendString([]byte(%q)) = %s, want %s", name, c.in, got, c.want)
		}
	}
}

func TestAppendASCII(t *testing.T) {
	got := string(plainjson.AppendASCII(nil, "aé漢😀\"\n"))
	if want := `"a\u00e9\u6f22\ud83d\ude00\"\n"`; got != want {
		t.Errorf("AppendASCII = %s, want %s", got, want)
	}
}

func TestMembers(t *testing.T) {
	b := []byte("{")
	b = plainjson.StringMember(b, "a", "x")
	b = plainjson.IntMember(b, "b", -1)
	b = plainjson.UintMember(b, "c", 2)
	b = plainjson.BoolMember(b, "d", true)
	b = plainjson.AppendStrings(plainjson.AppendName(b, "e"), []string{"y", "z"})
	b = append(b, '}')
	if want := `{"a":"x","b":-1,"c":2,"d":true,"e":["y","z"]}`; string(b) != want {
		t.Errorf("members = %s, want %s", b, want)
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\"\\", "\xff\xfe", "é😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, b := range [][]byte{plainjson.AppendString(nil, s), plainjson.AppendASCII(nil, s)} {
			var got string
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("%q became %s: %v", s, b, err)
			}
			if want := string([]rune(s)); got != want && got != strings.ToValidUTF8(s, "\uFFFD") {
				t.Errorf("%q came back as %q", s, got)
			}
		}
	})
}
