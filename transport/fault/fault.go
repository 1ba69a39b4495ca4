// Package fault turns what goes wrong with sandboxes into what clients are
// told: a status of HTTP, a code of JSON-RPC, and the words and suggestions of
// the wire contract.
//
// It is the one place where an error becomes text for a client. The cause
// inside a [sandbox.Error] may name paths of the host and never gets here.
package fault

import (
	"errors"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// The codes of JSON-RPC that we answer with.
const (
	ParseError     = -32700
	InvalidRequest = -32600
	NoSuchMethod   = -32601
	InvalidParams  = -32602
	Internal       = -32603
)

// A Fault is an error as clients see it.
type Fault struct {
	Status  int          // of HTTP, where the dialect has statuses for it
	Code    int          // of JSON-RPC
	Kind    sandbox.Kind // what the client can do about it
	Message string
	Remedy  string // what to do about it; may be empty
	More    string // what the contract's message leaves out; may be empty
	Data    *Data  // nil where the contract has none

	Cause    sandbox.Cause // why the work died, where it did
	Evidence string        // what was seen of that; may be empty

	exact bool // the contract fixes the suggestions
}

// Data is the member data of the contract's errors.
type Data struct {
	ErrorCode   string
	Category    string
	Severity    string
	Suggestions []string
	Context     []Member
}

// A Member is one member of a context, whose order the contract fixes.
type Member struct {
	Name   string
	Text   string
	Number int64
	Plain  bool // the value is Number
}

// Append appends the data as JSON.
func (d *Data) Append(dst []byte) []byte {
	dst = append(dst, '{')
	dst = d.AppendMembers(dst)
	return append(dst, '}')
}

// AppendMembers appends the members of the data, without braces.
func (d *Data) AppendMembers(dst []byte) []byte {
	dst = plainjson.StringMember(dst, "error_code", d.ErrorCode)
	dst = plainjson.StringMember(dst, "category", d.Category)
	dst = plainjson.StringMember(dst, "severity", d.Severity)
	dst = plainjson.AppendStrings(plainjson.AppendName(dst, "recovery_suggestions"), d.Suggestions)
	dst = append(plainjson.AppendName(dst, "context"), '{')
	for _, m := range d.Context {
		if m.Plain {
			dst = plainjson.IntMember(dst, m.Name, m.Number)
		} else {
			dst = plainjson.StringMember(dst, m.Name, m.Text)
		}
	}
	return append(dst, '}')
}

// Invalid is the fault of a request that is wrong.
func Invalid(message string) *Fault {
	return &Fault{Status: 400, Code: InvalidParams, Kind: sandbox.Invalid, Message: message}
}

// Reason is what an error says of itself to clients, and what to do about it.
func Reason(err error) (what, remedy string) {
	e, ok := errors.AsType[*sandbox.Error](err)
	if !ok {
		return "an internal error", "Look into the server's log"
	}
	return said(e, e.Kind.String()), e.Remedy
}
