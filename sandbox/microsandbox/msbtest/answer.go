package msbtest

import (
	"encoding/json"
	"net/http"
)

// A refusal is an answer that is no result.
type refusal struct {
	status int
	body   any
}

// plain is a refusal in the server's own form.
func plain(status, code int, text string) *refusal {
	return &refusal{status, struct {
		Error string `json:"error"`
		Code  int    `json:"code"`
	}{text, code}}
}

// invalid is the refusal of params.
func invalid(text string) *refusal { return plain(http.StatusBadRequest, 2001, text) }

// failed is the refusal of all that fails inside: callers never learn why.
func failed() *refusal { return plain(http.StatusInternalServerError, 5002, "Internal server error") }

// inRPC is a refusal in the form of JSON-RPC.
func inRPC(status, code int, text string, id json.RawMessage) *refusal {
	type fault struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	return &refusal{status, struct {
		Version string          `json:"jsonrpc"`
		Error   fault           `json:"error"`
		ID      json.RawMessage `json:"id,omitempty"`
	}{"2.0", fault{code, text}, id}}
}

// result writes the result of a call. An id that was null is left out.
func result(w http.ResponseWriter, value any, id json.RawMessage) {
	write(w, http.StatusOK, struct {
		Version string          `json:"jsonrpc"`
		Result  any             `json:"result"`
		ID      json.RawMessage `json:"id,omitempty"`
	}{"2.0", value, id})
}

func write(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // else the caller has gone
}
