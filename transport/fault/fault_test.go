package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
)

const secret = "/var/lib/sandwarden/secret"

// Every kind has a status, a code and words, and none tells the cause.
func TestOf_EveryKind(t *testing.T) {
	for kind := sandbox.Other; kind <= sandbox.NoSpace; kind++ {
		for _, call := range []*fault.Call{nil, {Code: "x"}, {Command: "ls"}, {Session: "s"}, {Execution: "x"}, {Session: "s", Path: "p"}} {
			err := fmt.Errorf("wrapped: %w", &sandbox.Error{Op: secret, Kind: kind, Err: errors.New(secret)})
			f := fault.Of(err, call)
			if f.Status < 400 || f.Code >= 0 || f.Message == "" || f.Kind != kind {
				t.Errorf("%v: %+v", kind, f)
			}
			w := httptest.NewRecorder()
			f.WriteProblem(w)
			if w.Code != f.Status || !json.Valid(w.Body.Bytes()) || strings.Contains(w.Body.String(), secret) {
				t.Errorf("%v: %d %s", kind, w.Code, w.Body)
			}
		}
	}
	if f := fault.Of(context.DeadlineExceeded, nil); f.Kind != sandbox.Timeout {
		t.Errorf("a deadline is %+v", f)
	}
}

// Every cause of death has words of its own, and something to do about it: of
// code, of commands, and where the session ended around the work.
func TestEveryCause(t *testing.T) {
	causes := allCauses(t)
	for what, told := range map[string]func(sandbox.Cause) *fault.Fault{
		"code": func(c sandbox.Cause) *fault.Fault {
			return fault.OfExit(sandbox.Exit{Code: 1, Cause: c, Evidence: "seen"}, &fault.Call{Code: "x", Timeout: time.Second})
		},
		"a command": func(c sandbox.Cause) *fault.Fault {
			return fault.OfExit(sandbox.Exit{Code: 1, Cause: c, Evidence: "seen"}, &fault.Call{Command: "ls", Timeout: time.Second})
		},
		"a session": func(c sandbox.Cause) *fault.Fault {
			return fault.Of(&sandbox.Error{Kind: sandbox.Stopped, Cause: c}, nil)
		},
	} {
		seen := make(map[string]sandbox.Cause)
		for _, cause := range causes {
			f := told(cause)
			if f == nil || f.Message == "" || f.Remedy == "" || f.Data == nil || len(f.Data.Suggestions) == 0 {
				t.Errorf("%s, %s: %+v", what, cause, f)
				continue
			}
			if strings.Contains(f.Message, "("+string(cause)+")") {
				t.Errorf("%s, %s has no words: %s", what, cause, f.Message)
			}
			if other, twice := seen[f.Message]; twice {
				t.Errorf("%s: %s and %s are told alike: %s", what, cause, other, f.Message)
			}
			seen[f.Message] = cause
		}
	}
	if f := fault.OfExit(sandbox.Exit{Cause: "of tomorrow"}, &fault.Call{Code: "x"}); f.Remedy == "" || !strings.Contains(f.Message, "of tomorrow") {
		t.Errorf("a cause that is not known yet is %+v", f)
	}
	if f := fault.OfExit(sandbox.Exit{Code: 1}, &fault.Call{}); f != nil {
		t.Errorf("an exit by itself is %+v", f)
	}
}

// What is not there is named as what it is, and so is what is in the way.
func TestOf_NamesWhatWasAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		kind         sandbox.Kind
		call         fault.Call
		want, remedy string
	}{
		"a session":            {sandbox.NotFound, fault.Call{Session: "s"}, "Session not found: s", ""},
		"one that must be":     {sandbox.NotFound, fault.Call{Session: "s", Within: true}, "Session not found: s", "Run something in it first"},
		"an execution":         {sandbox.NotFound, fault.Call{Execution: "x"}, "Execution not found: x", "List the executions"},
		"a file":               {sandbox.NotFound, fault.Call{Session: "s", Path: "p"}, "File not found: p", "List the files"},
		"a key":                {sandbox.Conflict, fault.Call{Session: "s", Code: "x"}, "Conflict: ", "idempotency_key"},
		"a file in the way":    {sandbox.Conflict, fault.Call{Session: "s", Path: "p"}, "Conflict: ", "another path"},
		"an execution's state": {sandbox.Conflict, fault.Call{Execution: "x"}, "Conflict: ", "get_execution"},
		"the disk":             {sandbox.NoSpace, fault.Call{Session: "s", Code: "x"}, "No space: ", "Stop sessions"},
	} {
		f := fault.Of(&sandbox.Error{Kind: c.kind}, &c.call)
		if !strings.HasPrefix(f.Message, c.want) || !strings.Contains(f.Remedy, c.remedy) || (c.remedy == "") != (f.Remedy == "") {
			t.Errorf("%s: %+v", name, f)
		}
		if f.Remedy != "" && f.Data.Suggestions[0] != f.Remedy {
			t.Errorf("%s: the remedy is not what is suggested first: %v", name, f.Data.Suggestions)
		}
	}
}

// allCauses reads the causes from where they are named, so that none is
// forgotten here.
func allCauses(t *testing.T) []sandbox.Cause {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../sandbox/sandbox.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var causes []sandbox.Cause
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Cause" {
			word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if word != "" { // that of what ended by itself
				causes = append(causes, sandbox.Cause(word))
			}
		}
		return true
	})
	if !slices.Contains(causes, sandbox.CauseExpired) || len(causes) < 14 {
		t.Fatalf("found the causes %v", causes)
	}
	return causes
}

func TestSnippet(t *testing.T) {
	long := strings.Repeat("é", 201)
	f := fault.OfExit(sandbox.Exit{Cause: sandbox.CauseOOM}, &fault.Call{Code: long})
	if got, want := f.Data.Context[2].Text, strings.Repeat("é", 200)+"..."; got != want {
		t.Errorf("the snippet is %q", got)
	}
}
