package transport

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// requestHeader carries a request's id, from the client and back to it.
const requestHeader = "X-Request-Id"

// longestRequestID is what the id of a client may have; a longer one is cut.
const longestRequestID = 64

// identified returns a request with an id: the client's, where that is a plain
// word, or one of ours. The answer carries it, and so does every line of the log
// that the request causes.
func identified(w http.ResponseWriter, r *http.Request) *http.Request {
	id := r.Header.Get(requestHeader)
	if len(id) > longestRequestID {
		id = id[:longestRequestID]
	}
	if id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") != "" {
		id = rand.Text()[:16]
	}
	w.Header()[requestHeader] = []string{id}
	return r.WithContext(sandbox.WithRequest(r.Context(), id))
}
