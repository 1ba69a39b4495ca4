package tail_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/tail"
)

// An output is what an execution has put out, of which the first bytes are not
// kept, in pages of at most so many bytes.
type output struct {
	text  string
	first int64
	page  int
	over  bool
}

func (o *output) read(ctx context.Context, q sandbox.OutputQuery) (sandbox.OutputPage, error) {
	if ctx.Err() != nil {
		return sandbox.OutputPage{}, ctx.Err()
	}
	p := sandbox.OutputPage{From: max(q.From, o.first)}
	p.Missing = p.From - q.From
	p.Next = min(p.From+int64(min(q.Max, o.page)), int64(len(o.text)))
	if p.Next > p.From {
		p.Chunks = []sandbox.OutputChunk{{Stream: sandbox.Stdout, Data: []byte(o.text[p.From:p.Next])}}
	}
	p.End = o.over && p.Next == int64(len(o.text))
	return p, nil
}

func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		output output
		from   int64
		budget int
		want   string
	}{
		"all of it":                    {output{text: "abcdef"}, 0, 6, `"abcdef" "" from 0 next 6 omitted 0 missing 0`},
		"from a cursor":                {output{text: "abcdef"}, 4, 6, `"ef" "" from 4 next 6 omitted 0 missing 0`},
		"from the end":                 {output{text: "abcdef"}, -2, 6, `"ef" "" from 4 next 6 omitted 0 missing 0`},
		"from before the begin":        {output{text: "abcdef"}, -20, 6, `"abcdef" "" from 0 next 6 omitted 0 missing 0`},
		"from behind the end":          {output{text: "abcdef"}, 9, 6, `"" "" from 6 next 6 omitted 0 missing 0`},
		"its ends":                     {output{text: "abcdefghij"}, 0, 4, `"ab" "ij" from 0 next 10 omitted 6 missing 0`},
		"characters are whole":         {output{text: "a€€€€€b"}, 0, 8, `"a€" "€b" from 0 next 17 omitted 9 missing 0`},
		"one that is not written yet":  {output{text: "ab\xe2\x82"}, 0, 8, `"ab" "" from 0 next 2 omitted 0 missing 0`},
		"one that will never be whole": {output{text: "ab\xe2\x82", over: true}, 0, 8, `"ab\xe2\x82" "" from 0 next 4 omitted 0 missing 0`},
		"not text at all":              {output{text: strings.Repeat("\x80", 12)}, 0, 8, `"\x80\x80\x80\x80" "\x80\x80\x80\x80" from 0 next 12 omitted 4 missing 0`},
		"what is not kept":             {output{text: "abcdefghij", first: 4}, 1, 20, `"efghij" "" from 4 next 10 omitted 0 missing 3`},
		"nothing":                      {output{}, 0, 20, `"" "" from 0 next 0 omitted 0 missing 0`},
	} {
		for _, page := range []int{1, 2, 100} {
			c.output.page = page
			v, err := tail.Ends(t.Context(), c.output.read, c.from, int64(len(c.output.text)), c.budget)
			got := fmt.Sprintf("%+q %+q from %d next %d omitted %d missing %d", v.Head, v.Tail, v.From, v.Next, v.Omitted, v.Missing)
			if want := strings.ReplaceAll(c.want, "€", `\u20ac`); err != nil || got != want {
				t.Errorf("%s, pages of %d: %s (%v)\nwant %s", name, page, got, err, want)
			}
		}
	}
}

func TestLast(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		lines  int64
		budget int
		want   string
	}{
		"the last":          {"a\nbc\nd\n", 1, 100, `"d\n" from 5 cut false`},
		"one not ended":     {"a\nbc\nd", 2, 100, `"bc\nd" from 2 cut false`},
		"more than all":     {"a\nbc\n", 5, 100, `"a\nbc\n" from 0 cut false`},
		"as many as fit":    {"aaaa\nbbbb\ncccc\n", 3, 8, `"bb\ncccc\n" from 7 cut true`},
		"empty lines count": {"a\n\n\n", 2, 100, `"\n\n" from 2 cut false`},
		"nothing":           {"", 2, 100, `"" from 0 cut false`},
	} {
		o := output{text: c.text, page: 3}
		v, err := tail.Last(t.Context(), o.read, 0, int64(len(c.text)), c.lines, c.budget)
		if got := fmt.Sprintf("%+q from %d cut %t", v.Head, v.From, v.Cut); err != nil || got != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, c.want)
		}
	}
}

func TestGrep(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, c := range map[string]struct {
		output  output
		from    int64
		pattern string
		budget  int
		want    string
	}{
		"lines":                {output{text: "one\ntwo\nthree\n"}, 0, "^t", 1000, `2@4 "two", 3@8 "three", next 14`},
		"from a cursor":        {output{text: "one\ntwo\nthree\n"}, 8, "t", 1000, `1@8 "three", next 14`},
		"one not ended":        {output{text: "one\nsure? "}, 0, "sure", 1000, `2@4 "sure? ", next 10`},
		"one not ended, other": {output{text: "one\nsur"}, 0, "sure", 1000, `next 4`},
		"the end, no newline":  {output{text: "one\nsur", over: true}, 0, "one", 1000, `1@0 "one", next 7`},
		"more than fits":       {output{text: "aa\naa\naa\n"}, 0, "a", 30, `1@0 "aa", next 3 more`},
		"at least one":         {output{text: "aaaaaaaaaa\n"}, 0, "a", 1, `1@0 "aaaaaaaaaa", next 11`},
		"what is not kept":     {output{text: "one\ntwo\n", first: 4}, 0, "o", 1000, `missing 4: 1@4 "two", next 8`},
		"a long line":          {output{text: long + "y\nz\n"}, 0, "y|z", 10000, `1@4096 "` + long[:904] + `y", 2@5002 "z", next 5004`},
	} {
		for _, page := range []int{1, 3, 1 << 20} {
			c.output.page = page
			pattern, err := tail.Pattern(c.pattern)
			if err != nil {
				t.Fatal(err)
			}
			found, err := tail.Grep(t.Context(), c.output.read, c.from, int64(len(c.output.text)), pattern, c.budget)
			if got := shown(&found); err != nil || got != c.want {
				t.Errorf("%s, pages of %d: %s (%v)\nwant %s", name, page, got, err, c.want)
			}
		}
	}
}

// shown is what was found, in one line.
func shown(found *tail.Found) string {
	var b strings.Builder
	if found.Missing > 0 {
		fmt.Fprintf(&b, "missing %d: ", found.Missing)
	}
	for _, m := range found.Matches {
		fmt.Fprintf(&b, "%d@%d %q, ", m.Line, m.Offset, m.Text)
	}
	fmt.Fprintf(&b, "next %d", found.Next)
	if found.More {
		b.WriteString(" more")
	}
	return b.String()
}

// A search that takes too long tells what it has found.
func TestGrep_EndsWithItsTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := output{text: "one\ntwo\nthree\n", page: 4}
	pages := 0
	source := func(ctx context.Context, q sandbox.OutputQuery) (sandbox.OutputPage, error) {
		if pages++; pages == 3 {
			cancel()
		}
		return o.read(ctx, q)
	}
	pattern, _ := tail.Pattern("o")
	found, err := tail.Grep(ctx, source, 0, int64(len(o.text)), pattern, 1000)
	if err != nil || len(found.Matches) != 2 || !found.More || found.Next != 8 {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestErrorsAreToldAsTheyAre(t *testing.T) {
	gone := errors.New("gone")
	source := func(context.Context, sandbox.OutputQuery) (sandbox.OutputPage, error) {
		return sandbox.OutputPage{}, gone
	}
	pattern, _ := tail.Pattern("o")
	if _, err := tail.Ends(t.Context(), source, 0, 10, 4); !errors.Is(err, gone) {
		t.Error(err)
	}
	if _, err := tail.Last(t.Context(), source, 0, 10, 1, 4); !errors.Is(err, gone) {
		t.Error(err)
	}
	if _, err := tail.Grep(t.Context(), source, 0, 10, pattern, 4); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestPattern_IsBounded(t *testing.T) {
	for name, expression := range map[string]string{
		"wrong": "(", "backward": `(a)\1`, "long": strings.Repeat("a", 1001), "large": "(abc){900}", "larger": "((a{30}){30}){30}",
	} {
		if _, err := tail.Pattern(expression); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Whatever was put out: what is shown is bounded and is what stands there, and
// the figures add up.
func FuzzViews(f *testing.F) {
	f.Add([]byte("a€\xff\n\xe2\x82"), int64(0), 4, 3)
	f.Fuzz(func(t *testing.T, data []byte, from int64, budget, page int) {
		o := output{text: string(data), page: max(page, 1), over: true}
		total, budget := int64(len(data)), min(max(budget, 4), 1<<20)
		v, err := tail.Ends(t.Context(), o.read, from%(1<<40), total, budget)
		if err != nil || len(v.Head)+len(v.Tail) > budget || v.From+int64(len(v.Head)+len(v.Tail))+v.Omitted != total || v.Next != total {
			t.Fatalf("Ends: %+v, %v", v, err)
		}
		if string(v.Head) != o.text[v.From:v.Resume()] || string(v.Tail) != o.text[v.Resume()+v.Omitted:] {
			t.Errorf("Ends shows what is not there: %+v", v)
		}
		if utf8.Valid(data) && from >= 0 && (!utf8.Valid(v.Tail) || from == 0 && !utf8.Valid(v.Head)) {
			t.Errorf("Ends splits a character: %+q %+q", v.Head, v.Tail)
		}
		last, err := tail.Last(t.Context(), o.read, 0, total, 2, budget)
		if err != nil || len(last.Head) > budget || !strings.HasSuffix(o.text, string(last.Head)) {
			t.Errorf("Last: %+v, %v", last, err)
		}
		pattern, _ := tail.Pattern("a|\xff")
		if pattern == nil {
			pattern, _ = tail.Pattern("a")
		}
		found, err := tail.Grep(t.Context(), o.read, 0, total, pattern, budget)
		if err != nil || !found.More && found.Next != total {
			t.Errorf("Grep: %+v, %v", found, err)
		}
		for _, m := range found.Matches {
			if !strings.HasPrefix(o.text[m.Offset:], string(m.Text)) {
				t.Errorf("Grep shows what is not there: %+v", m)
			}
		}
	})
}
