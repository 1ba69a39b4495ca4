package files_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/files"
)

// A transfer is one whose sandbox tells what it is given.
type transfer struct {
	io.Reader
	written strings.Builder
	closed  bool
}

func telling(s string) *transfer { return &transfer{Reader: strings.NewReader(s)} }

func (t *transfer) Write(p []byte) (int, error) { return t.written.Write(p) }
func (t *transfer) CloseWrite() error           { t.closed = true; return nil }
func (*transfer) Close() error                  { return nil }

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		most int64
		want string
		more bool
		text bool
	}{
		"all":                  {"abc", 3, "abc", false, true},
		"a part":               {"abcd", 3, "abc", true, true},
		"nothing":              {"", 3, "", false, true},
		"a character cut":      {"a€b", 3, "a", true, true},
		"no text":              {"a\xffb", 10, "a\xffb", false, false},
		"no text, and a part":  {"a\xffbcd", 3, "a\xffb", true, false},
		"cut at its very end":  {"a\xe2\x82", 10, "a\xe2\x82", false, false},
		"less than its letter": {"€€", 1, "\xe2", true, false},
	} {
		part, err := files.Read(telling(c.file), c.most)
		text := part.Text()
		if err != nil || string(part.Data) != c.want || part.More != c.more || text != c.text {
			t.Errorf("%s: %+q, more %t, text %t, %v", name, part.Data, part.More, text, err)
		}
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		file              string
		first, last, most int64
		want              string
		more              bool
		skip              int64
	}{
		"one":              {"a\nb\nc\n", 2, 2, 100, "b\n", true, 2},
		"to the end":       {"a\nb\nc", 2, 0, 100, "b\nc", false, 2},
		"more than all":    {"a\nb", 1, 9, 100, "a\nb", false, 0},
		"behind the end":   {"a\n", 5, 9, 100, "", false, 2},
		"more than fits":   {"a\nbcd\n", 2, 2, 2, "bc", true, 2},
		"behind long ones": {long + "\nb\n", 2, 2, 100, "b\n", false, 100_001},
		"a long one":       {"a\n" + long + "\n", 2, 2, 200_000, long + "\n", false, 2},
	} {
		part, err := files.Lines(telling(c.file), c.first, c.last, c.most)
		if err != nil || string(part.Data) != c.want || part.More != c.more || part.Skip != c.skip {
			t.Errorf("%s: %d bytes, more %t, skip %d, %v", name, len(part.Data), part.More, part.Skip, err)
		}
	}
}

func TestWrite(t *testing.T) {
	to := telling(`{"path":"/work/a","type":"file","size":3,"mode":420}`)
	info, err := files.Write(to, []byte("abc"))
	if err != nil || to.written.String() != "abc" || !to.closed || info.Size != 3 || info.Mode != 0o644 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestList(t *testing.T) {
	const line = `{"path":"/work/a","type":"file"}` + "\n"
	for name, c := range map[string]struct {
		told string
		most int
		want int
		more bool
	}{
		"none":              {"", 3, 0, false},
		"all":               {line + line, 3, 2, false},
		"more than allowed": {line + line + line, 2, 2, true},
		"more, as it says":  {line + `{"path":"b","more":true}` + "\n", 5, 2, true},
		"without newline":   {strings.TrimSpace(line), 3, 1, false},
		"without end":       {strings.Repeat(line, 1<<18), 1 << 20, 1 << 22 / len(line), true},
	} {
		list, more, err := files.List(telling(c.told), c.most)
		if err != nil || len(list) != c.want || more != c.more {
			t.Errorf("%s: %d files, more %t, %v; want %d, %t", name, len(list), more, err, c.want, c.more)
		}
	}
}

// What a sandbox tells may be anything.
func TestNonsenseIsTheSandboxsFault(t *testing.T) {
	for name, told := range map[string]string{
		"no JSON": "x\n", "another type": `{"path":7}` + "\n", "an endless line": strings.Repeat("x", 1<<17),
	} {
		if _, _, err := files.List(telling(told), 10); sandbox.KindOf(err) != sandbox.Invalid {
			t.Errorf("%s: List: %v", name, err)
		}
		if _, err := files.Write(telling(told), nil); sandbox.KindOf(err) != sandbox.Invalid {
			t.Errorf("%s: Write: %v", name, err)
		}
	}
	list, _, err := files.List(telling(`{"path":"p","type":"door","size":-5,"mode":4294967295}`), 1)
	if err != nil || list[0].Type != sandbox.OtherFile || list[0].Size != 0 || list[0].Mode != 0o7777 {
		t.Errorf("%+v, %v", list, err)
	}
	gone := &transfer{Reader: io.MultiReader(strings.NewReader("a\n"), broken{})}
	if _, err := files.Lines(gone, 2, 3, 10); !errors.Is(err, errGone) {
		t.Error(err)
	}
}

var errGone = errors.New("gone")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errGone }
