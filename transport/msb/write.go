package msb

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// write answers with JSON, as the API's own encoder has it: nothing is escaped
// for HTML.
func (h *Handler) write(w http.ResponseWriter, status int, answer any) {
	body, err := encode(answer, "")
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"`+textInternal+`","code":5002}`)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.options.WriteTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON, and named so; a client that is gone needs no answer
}

// encode makes JSON, in lines where there is an indent.
func encode(answer any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(answer); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
