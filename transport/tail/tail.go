// Package tail reads the output of an execution as its readers want it: its two
// ends, its last lines, or the lines that match. However much output there is,
// what comes of it is bounded, and says what it leaves out.
package tail

import (
	"context"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Source gives ranges of one execution's output.
type Source func(ctx context.Context, q sandbox.OutputQuery) (sandbox.OutputPage, error)

// A View is a part of an output: all of a range, or its two ends.
type View struct {
	Head    []byte
	Tail    []byte // what follows the bytes that are left out
	From    int64  // offset of the first byte of Head
	Next    int64  // offset behind the last byte, where a reader goes on
	Omitted int64  // bytes between Head and Tail
	Missing int64  // bytes before Head that were asked for, and are not kept any more
	Cut     bool   // lines before Head were asked for, and did not fit
}

// Resume is the offset of the first byte that is left out.
func (v *View) Resume() int64 { return v.From + int64(len(v.Head)) }

// Ends reads the output from one offset to another, or its two ends when it is
// longer than the budget. An offset below 0 counts from the end. Characters are
// not split: of one that is not written to its end, nothing is read.
func Ends(ctx context.Context, source Source, from, to int64, budget int) (View, error) {
	from = absolute(from, to)
	if to-from <= int64(budget) {
		return whole(ctx, source, from, to)
	}
	v, err := whole(ctx, source, from, from+int64(budget/2))
	if err != nil {
		return View{}, err
	}
	rest, err := whole(ctx, source, max(to-int64(budget-budget/2), v.Next), to)
	if err != nil {
		return View{}, err
	}
	if len(rest.Head) > 0 && rest.From > v.Next {
		lead := following(rest.Head)
		rest.Head, rest.From = rest.Head[lead:], rest.From+int64(lead)
	}
	v.Tail, v.Omitted, v.Next = rest.Head, rest.From-v.Resume(), rest.Next
	return v, nil
}

// Last reads the last lines of the output up to an offset, as many of them as
// the budget has room for.
func Last(ctx context.Context, source Source, from, to, lines int64, budget int) (View, error) {
	begin := max(absolute(from, to), to-int64(budget))
	v, err := whole(ctx, source, begin, to)
	if err != nil {
		return View{}, err
	}
	at := lastLines(v.Head, lines)
	if at < 0 {
		v.Cut = begin > absolute(from, to)
		return v, nil
	}
	v.Head, v.From, v.Missing = v.Head[at:], v.From+int64(at), 0
	return v, nil
}

// lastLines is where the last n lines begin, or -1 when there are not as many.
func lastLines(data []byte, n int64) int {
	end := len(data)
	if end > 0 && data[end-1] == '\n' {
		end--
	}
	for i := end - 1; i >= 0; i-- {
		if data[i] != '\n' {
			continue
		}
		if n--; n == 0 {
			return i + 1
		}
	}
	return -1
}

// whole reads all of a range.
func whole(ctx context.Context, source Source, from, to int64) (View, error) {
	v := View{From: from, Next: from}
	over := false
	for v.Next < to {
		page, err := source(ctx, sandbox.OutputQuery{From: v.Next, Max: int(min(to-v.Next, sandbox.MaxOutput))})
		if err != nil {
			return View{}, err
		}
		if len(v.Head) == 0 { // what is not kept any more is at the begin
			v.Missing, v.From = v.Missing+page.Missing, page.From
		}
		for _, chunk := range page.Chunks {
			v.Head = append(v.Head, chunk.Data...)
		}
		if over = page.End; page.Next <= v.Next {
			break
		}
		v.Next = page.Next
	}
	if over { // nothing comes that could end a character
		return v, nil
	}
	torn := Unfinished(v.Head)
	v.Head, v.Next = v.Head[:len(v.Head)-torn], v.Next-int64(torn)
	return v, nil
}

// absolute is an offset that counts from the begin.
func absolute(from, to int64) int64 {
	if from < 0 {
		from += to
	}
	return min(max(from, 0), to)
}

// Unfinished returns how many bytes at the end begin a character that goes on
// behind them.
func Unfinished(data []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(data); n++ {
		if last := data[len(data)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

// following returns how many bytes at the begin belong to a character that
// began before them. More of them than a character has belong to none.
func following(data []byte) int {
	n := 0
	for n < len(data) && !utf8.RuneStart(data[n]) {
		if n++; n == utf8.UTFMax {
			return 0
		}
	}
	return n
}
