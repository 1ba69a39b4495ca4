package msb

import (
	"net/http"
	"strings"
)

// everything is the scope of a key for all namespaces.
const everything = "*"

// A scope is the namespace that a request may use.
type scope string

// allows tells whether a namespace may be used.
func (s scope) allows(namespace string) bool { return s == everything || string(s) == namespace }

// keyPrefix begins every key.
const keyPrefix = "msb_"

// enter finds out what a request may do by its key. Without keys all may
// everything.
func (h *Handler) enter(r *http.Request) (scope, *refusal) {
	keeper := h.keeper.Load()
	if keeper == nil {
		return everything, nil
	}
	text := r.Header.Get("Proxy-Authorization")
	if text == "" {
		text = r.Header.Get("Authorization")
	}
	key, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(text, "Bearer ")), keyPrefix)
	if !ok || key == "" {
		return "", &refusal{
			status: http.StatusUnauthorized, code: codeNoKey, text: textNoKey,
			reason: "a key is needed: Authorization: Bearer " + keyPrefix + "…", remedy: "make one with: sandwarden keygen",
		}
	}
	namespace, err := (*keeper).Namespace(key)
	if err != nil {
		h.options.Logger.InfoContext(r.Context(), "a key was refused", "addr", r.RemoteAddr, "err", err)
		return "", &refusal{
			status: http.StatusUnauthorized, code: codeBadKey, text: textBadKey, remedy: "make a new one with: sandwarden keygen",
		}
	}
	return scope(namespace), nil
}

// forbidden is the refusal of another namespace.
func (s scope) forbidden(namespace string) *refusal {
	return &refusal{
		status: http.StatusForbidden, code: codeForbidden, text: textForbidden,
		reason: "the key is for the namespace " + string(s) + ", and not for " + namespace,
		remedy: "make another with: sandwarden keygen --namespace " + namespace,
	}
}
