// Package door lets clients in: it finds out who asks, by a bearer token, and
// carries that through a request's context to where sessions are named.
//
// A request without a principal in its context is one that came through an open
// door, and its sessions belong to the empty principal.
package door

import (
	"context"
	"net/http"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Keeper knows whose a token is. Its methods may be called from many
// goroutines.
type Keeper interface {
	// Principal returns whose token it is; false for nobody's.
	Principal(token string) (sandbox.Principal, bool)
}

type key struct{}

// With returns a context in which a principal asks.
func With(ctx context.Context, p sandbox.Principal) context.Context {
	return context.WithValue(ctx, key{}, p)
}

// Principal returns who asks.
func Principal(ctx context.Context) sandbox.Principal {
	p, _ := ctx.Value(key{}).(sandbox.Principal)
	return p
}

// Ref names a session of who asks.
func Ref(ctx context.Context, name string) sandbox.Ref {
	return sandbox.Ref{Owner: Principal(ctx), Name: name}
}

// Enter returns the request as that of its principal, or why it may not come
// in, in words for the client.
func Enter(keeper Keeper, r *http.Request) (entered *http.Request, refusal string) {
	header := r.Header["Authorization"]
	if len(header) == 0 {
		return nil, "a token is needed: send the header Authorization: Bearer <token>"
	}
	scheme, token, ok := strings.Cut(header[0], " ")
	if len(header) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, "the header Authorization must be, once: Bearer <token>"
	}
	p, ok := keeper.Principal(strings.TrimSpace(token))
	if !ok {
		return nil, "this token is not known here; it may have been revoked"
	}
	return r.WithContext(With(r.Context(), p)), ""
}
