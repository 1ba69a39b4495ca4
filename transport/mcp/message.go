package mcp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	protocol "github.com/mark3labs/mcp-go/mcp"
)

// A message is one body as it was decoded, once, for all dialects. Its members
// are pieces of the body; nil is a member that is not there.
type message struct {
	id      []byte
	jsonrpc []byte
	method  []byte
	params  []byte
	answers bool // it has a result or an error: it is a response

	name      []byte // of params, when that is an object, as are the next two
	arguments []byte
	meta      []byte

	notUTF8   string // what is wrong with the bytes
	notJSON   bool
	notObject bool
}

// decode takes a body apart.
func decode(body []byte) message {
	m := message{}
	if m.notUTF8 = badUTF8(body); m.notUTF8 != "" {
		return m
	}
	if !json.Valid(body) {
		m.notJSON = true
		return m
	}
	body = bytes.Trim(body, " \t\r\n")
	if !isObject(body) {
		m.notObject = true
		return m
	}
	for key, value := range members(body) {
		switch {
		case is(key, "id"):
			m.id = value
		case is(key, "jsonrpc"):
			m.jsonrpc = value
		case is(key, "method"):
			m.method = value
		case is(key, "params"):
			m.params = value
		case is(key, "result"), is(key, "error"):
			m.answers = true
		}
	}
	m.decodeParams()
	return m
}

func (m *message) decodeParams() {
	if !isObject(m.params) {
		return
	}
	for key, value := range members(m.params) {
		switch {
		case is(key, "name"):
			m.name = value
		case is(key, "arguments"):
			m.arguments = value
		case is(key, "_meta"):
			m.meta = value
		}
	}
}

// metaMember returns a member of the request's _meta, or nil.
func (m *message) metaMember(name string) []byte {
	if !isObject(m.meta) {
		return nil
	}
	for key, value := range members(m.meta) {
		if is(key, name) {
			return value
		}
	}
	return nil
}

// progressToken returns the token that the caller wants progress for, or nil.
// Zero is one.
func (m *message) progressToken() []byte {
	raw := m.metaMember("progressToken")
	if len(raw) == 0 {
		return nil
	}
	if raw[0] == '"' || raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
		return raw
	}
	return nil
}

// isNotification reports whether nobody waits for an answer.
func (m *message) isNotification() bool { return m.id == nil && m.method != nil }

// A dialect is how a client speaks.
type dialect int

const (
	guide dialect = iota
	legacy
	modern
)

// String returns the dialect's name, for logs.
func (d dialect) String() string {
	switch d {
	case guide:
		return "guide"
	case legacy:
		return "legacy"
	case modern:
		return "modern"
	}
	return "unknown"
}

// The headers that tell dialects apart, in their canonical form.
const (
	versionHeader = "Mcp-Protocol-Version"
	sessionHeader = "Mcp-Session-Id"
)

// dialectOf says how the client of a POST speaks. Every client of the
// initialize era sends a version or a session, but for initialize itself, so
// what has neither is the guide's bare POST.
func dialectOf(header http.Header, m *message) dialect {
	version := header.Get(versionHeader)
	inMeta, hasMeta := text(m.metaMember(protocol.MetaKeyProtocolVersion))
	switch {
	case version != "" && protocol.IsModernProtocol(version):
		return modern
	case hasMeta && !slices.Contains(protocol.LegacyProtocolVersions(), inMeta):
		return modern
	case is(m.method, "initialize"), version != "", header.Get(sessionHeader) != "", hasMeta:
		return legacy
	}
	return guide
}

// requestedVersion is the revision that a modern client asked for.
func requestedVersion(header http.Header, m *message) string {
	if v := header.Get(versionHeader); v != "" && protocol.IsModernProtocol(v) {
		return v
	}
	v, _ := text(m.metaMember(protocol.MetaKeyProtocolVersion))
	return v
}

// servedVersions are the revisions that we serve.
func servedVersions() []string { return protocol.LegacyProtocolVersions() }

// isJSON reports whether a Content-Type names JSON, as the standard reads it.
func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json")
}
