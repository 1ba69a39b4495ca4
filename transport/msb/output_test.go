package msb

import (
	"slices"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
)

func TestLines(t *testing.T) {
	l := newLines(1000)
	for _, piece := range []struct {
		stream sandbox.Stream
		text   string
	}{{sandbox.Stdout, "a"}, {sandbox.Stderr, "x\ny"}, {sandbox.Stdout, "b\r\n\nc"}, {sandbox.Display, "no"}} {
		l.follow(piece.stream, []byte(piece.text))
	}
	want := []line{{"stderr", "x"}, {"stdout", "ab"}, {"stdout", ""}, {"stdout", "c"}, {"stderr", "y"}}
	if got := l.close(); !slices.Equal(got, want) || l.truncated {
		t.Errorf("got %q, truncated %v", got, l.truncated)
	}
}

// TestLines_AreBounded: neither a long line nor many empty ones go beyond.
func TestLines_AreBounded(t *testing.T) {
	for name, piece := range map[string]string{"long": "0123456789", "empty": "\n\n\n\n\n\n\n\n\n\n"} {
		l := newLines(100)
		size := 0
		for range 100 {
			l.follow(sandbox.Stdout, []byte(piece))
		}
		for _, one := range l.close() {
			size += len(one.Text) + lineCost
		}
		if !l.truncated || size > 100+lineCost {
			t.Errorf("%s: %d bytes, truncated %v", name, size, l.truncated)
		}
	}
}
