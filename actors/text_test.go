package actors_test

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/actors"
)

func TestJoin(t *testing.T) {
	cases := map[string]struct{ in, want []string }{
		"ascii":                        {[]string{"ab", "c"}, []string{"ab", "c", ""}},
		"a character in two":           {[]string{"a\xc3", "\xa9b"}, []string{"a", "éb", ""}},
		"a character in four":          {[]string{"\xf0", "\x9f", "\x98", "\x80"}, []string{"", "", "", "😀", ""}},
		"the end is missing":           {[]string{"a\xe2\x82"}, []string{"a", "\xe2\x82"}},
		"bytes that are no characters": {[]string{"\xff\xfe", "\x80\x80"}, []string{"\xff\xfe", "\x80\x80", ""}},
		"another begins instead":       {[]string{"\xe2\x82", "a"}, []string{"", "\xe2\x82a", ""}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var in [][]byte
			for _, chunk := range tc.in {
				in = append(in, []byte(chunk))
			}
			var got []string
			for _, chunk := range actors.Join(in...) {
				got = append(got, string(chunk))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzJoin(f *testing.F) {
	f.Add([]byte("a€😀\xff\xe2"), uint8(1), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, a, b uint8) {
		first := min(int(a), len(text))
		second := min(first+int(b), len(text))
		chunks := actors.Join(text[:first], text[first:second], text[second:])
		if got := bytes.Join(chunks, nil); !bytes.Equal(got, text) {
			t.Fatalf("got %q, want %q", got, text)
		}
		if !utf8.Valid(text) {
			return
		}
		for _, chunk := range chunks {
			if !utf8.Valid(chunk) {
				t.Fatalf("chunk %q of %q splits a character", chunk, text)
			}
		}
	})
}
