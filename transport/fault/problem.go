package fault

import (
	"net/http"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// WriteProblem answers a request of REST with an RFC 9457 problem.
func (f *Fault) WriteProblem(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.Status)
	_, _ = w.Write(f.AppendProblem(nil)) // a client that is gone needs no answer
}

// AppendProblem appends the problem as JSON.
func (f *Fault) AppendProblem(dst []byte) []byte {
	title := http.StatusText(f.Status)
	if title == "" { // 499, which has no name of its own
		title = "Client Closed Request"
	}
	dst = plainjson.StringMember(append(dst, '{'), "type", "about:blank")
	dst = plainjson.StringMember(dst, "title", title)
	dst = plainjson.IntMember(dst, "status", int64(f.Status))
	dst = plainjson.StringMember(dst, "detail", f.Message)
	dst = plainjson.StringMember(dst, "kind", f.Kind.String())
	if f.More != "" {
		dst = plainjson.StringMember(dst, "more", f.More)
	}
	if f.Remedy != "" {
		dst = plainjson.StringMember(dst, "remedy", f.Remedy)
	}
	if f.Cause != sandbox.CauseNone {
		dst = plainjson.StringMember(dst, "cause", string(f.Cause))
	}
	if f.Evidence != "" {
		dst = plainjson.StringMember(dst, "evidence", f.Evidence)
	}
	if f.Data != nil {
		dst = f.Data.AppendMembers(dst)
	}
	return append(dst, '}')
}
