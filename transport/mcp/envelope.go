package mcp

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// appendHead appends a response up to the value of its member result or error.
// The id is the caller's, byte for byte: a float64 would change large ones.
func appendHead(dst, id []byte, member string) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = appendID(dst, id)
	dst = append(dst, ',', '"')
	dst = append(dst, member...)
	return append(dst, '"', ':')
}

func appendID(dst, id []byte) []byte {
	switch {
	case id == nil:
		return append(dst, "null"...)
	case isObject(id), isArray(id): // as compact as all that we send
		compact := bytes.NewBuffer(dst)
		if json.Compact(compact, id) != nil {
			return append(dst, "null"...)
		}
		return compact.Bytes()
	}
	return append(dst, id...)
}

func appendResult(dst, id, result []byte) []byte {
	dst = appendHead(dst, id, "result")
	dst = append(dst, result...)
	return append(dst, '}')
}

// errorAnswer is the response that tells of a fault.
func errorAnswer(id []byte, f *fault.Fault) []byte {
	dst := appendHead(nil, id, "error")
	dst = plainjson.IntMember(append(dst, '{'), "code", int64(f.Code))
	dst = plainjson.StringMember(dst, "message", f.Message)
	if f.Data != nil {
		dst = f.Data.Append(plainjson.AppendName(dst, "data"))
	}
	return append(dst, '}', '}')
}

// writeJSON sends one JSON body.
func (h *Handler) writeJSON(w http.ResponseWriter, status int, body []byte) {
	h.writeDeadline(w)
	w.Header()["Content-Type"] = h.jsonType
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil { //nolint:gosec // it is JSON and sent as JSON
		h.options.Logger.Debug("client gone", "err", err)
	}
}
