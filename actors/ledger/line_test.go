package ledger

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Whatever an entry has is in its line, as encoding/json would have it there: each
// member of it alone, those that are added later included, and all of them.
func TestAppendLine_HasAll(t *testing.T) {
	checkLine(t, "nothing", &Entry{})
	for n := 0; ; n++ {
		e, left := &Entry{}, n
		where := set(reflect.ValueOf(e).Elem(), "entry", &left)
		if left >= 0 {
			if n < 40 {
				t.Fatalf("an entry has %d members, fewer than there are", n)
			}
			break
		}
		checkLine(t, where, e)
	}
	for _, text := range []string{"plain", "é", "\x00\n\"\\<>&", "\xff", "\u2028", "'~ "} {
		checkLine(t, text, &Entry{Event: sandbox.Event{Evidence: text}, Accepted: &Accepted{Exec: sandbox.Exec{Code: text, Argv: []string{text, ""}}}})
	}
	checkLine(t, "no arguments", &Entry{Accepted: &Accepted{Exec: sandbox.Exec{Argv: []string{}}, Digest: []byte{}}})
}

func checkLine(t *testing.T, what string, e *Entry) {
	t.Helper()
	text, err := appendLine(nil, e)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	wanted, err := json.Marshal(lineOf(e))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var got, want line
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%s: %s: %v", what, text, err)
	}
	if err := json.Unmarshal(wanted, &want); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s\n(-encoding/json +ours)\n%s", what, text, diff)
	}
}

// set gives a value to the n-th member below v, and takes what it has passed from
// n, which is below 0 once that is done.
func set(v reflect.Value, where string, n *int) string {
	switch {
	case *n < 0:
		return where
	case v.Type() == reflect.TypeFor[time.Time]():
		if *n--; *n < 0 {
			v.Set(reflect.ValueOf(time.Unix(12, 34)))
		}
		return where
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			at := set(v.Field(i), where+"."+v.Type().Field(i).Name, n)
			if *n < 0 {
				return at
			}
		}
		return where
	case v.Kind() == reflect.Pointer:
		inner := reflect.New(v.Type().Elem())
		at := set(inner.Elem(), where, n)
		if *n < 0 {
			v.Set(inner)
		}
		return at
	}
	if *n--; *n >= 0 {
		return where
	}
	switch v.Kind() { //nolint:exhaustive // the others would panic below
	case reflect.String:
		v.SetString("some text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(42)
	case reflect.Uint64:
		v.SetUint(43)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
	default:
		panic("a member of a kind that no line has: " + where)
	}
	return where
}
