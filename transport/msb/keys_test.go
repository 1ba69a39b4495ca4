package msb_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/transport/msb"
)

// oneKey is a Keeper of one key.
type oneKey string

func (k oneKey) Namespace(key string) (string, error) {
	if key != string(k) {
		return "", errors.New("not that one")
	}
	return "*", nil
}

// Keys that are wanted from now on are asked for in the next request.
func TestHandler_SetKeys(t *testing.T) {
	h, err := msb.New(nil, msb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Shutdown(t.Context()) })
	ask := func(key string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/rpc", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"none.such","params":{"namespace":"a"}}`))
		r.Header.Set("Content-Type", "application/json")
		if key != "" {
			r.Header.Set("Authorization", "Bearer msb_"+key)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	if got := ask(""); got != http.StatusNotFound {
		t.Errorf("in development mode: %d", got)
	}
	h.SetKeys(oneKey("k"))
	for key, want := range map[string]int{"": http.StatusUnauthorized, "x": http.StatusUnauthorized, "k": http.StatusNotFound} {
		if got := ask(key); got != want {
			t.Errorf("with key %q: %d, want %d", key, got, want)
		}
	}
	h.SetKeys(nil)
	if got := ask(""); got != http.StatusNotFound {
		t.Errorf("in development mode again: %d", got)
	}
}
