package mcp

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// serveGuide answers the guide's bare POST. Success or error, the status is
// 200 and the body one JSON object.
func (h *Handler) serveGuide(w http.ResponseWriter, r *http.Request, m *message) {
	if m.isNotification() && notifies(m) && h.guideProblem(r, m) == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	answer := h.guideAnswer(r, m)
	if r.Context().Err() != nil {
		return // nobody is there any more
	}
	h.writeJSON(w, http.StatusOK, answer)
}

// notifies reports whether the method is one of a notification.
func notifies(m *message) bool {
	method, ok := text(m.method)
	return ok && strings.HasPrefix(method, "notifications/")
}

// guideAnswer is the body that answers a message, also one that is wrong.
func (h *Handler) guideAnswer(r *http.Request, m *message) []byte {
	if f := h.guideProblem(r, m); f != nil {
		return errorAnswer(m.id, f)
	}
	switch {
	case is(m.method, "tools/call"):
		return h.guideCall(r, m)
	case is(m.method, "tools/list"):
		return appendResult(make([]byte, 0, len(h.guideTools)+64), m.id, h.guideTools)
	case is(m.method, "ping"):
		return appendResult(nil, m.id, []byte("{}"))
	case is(m.method, "server/discover"):
		return appendResult(nil, m.id, h.discovered)
	}
	name, _ := text(m.method)
	return errorAnswer(m.id, &fault.Fault{Code: fault.NoSuchMethod, Message: "Method not found: " + name})
}

// guideProblem checks a message in the order of the contract.
func (h *Handler) guideProblem(r *http.Request, m *message) *fault.Fault {
	invalid := func(what string) *fault.Fault {
		return &fault.Fault{Code: fault.InvalidRequest, Message: "Invalid request: " + what}
	}
	switch {
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		m.id = nil
		return invalid("Content-Type must be application/json")
	case m.notUTF8 != "":
		return fault.Invalid("Invalid parameters: " + m.notUTF8)
	case m.notJSON:
		return &fault.Fault{Code: fault.ParseError, Message: "Parse error: Invalid JSON"}
	case m.notObject:
		return invalid("Request must be a JSON object")
	case !is(m.jsonrpc, "2.0"):
		return invalid("Missing or invalid jsonrpc version (must be '2.0')")
	case m.method == nil:
		return invalid("Missing required 'method' field")
	case m.method[0] != '"':
		return invalid("Method must be a string")
	case m.params != nil && !isObject(m.params) && !isArray(m.params):
		return invalid("Params must be an object or array")
	}
	return nil
}

// guideCall runs a tool and words its outcome.
func (h *Handler) guideCall(r *http.Request, m *message) []byte {
	name, f := guideTool(m)
	if f != nil {
		return errorAnswer(m.id, f)
	}
	op, problem := h.guideRules.parse(name, m.arguments)
	if problem != "" {
		return errorAnswer(m.id, fault.Invalid(problem))
	}
	out := h.perform(r.Context(), op, nil)
	if out.fault != nil {
		return errorAnswer(m.id, out.fault)
	}
	size := len(out.result.Stdout) + len(out.result.Stderr) + len(out.op.command)
	dst := make([]byte, 0, 384+size+size/16)
	dst = appendHead(dst, m.id, "result")
	dst = h.appendGuideResult(dst, &out)
	return append(dst, '}')
}

// guideTool returns the tool that a call names, or what is wrong with the call.
func guideTool(m *message) (string, *fault.Fault) {
	switch {
	case isArray(m.params):
		return "", fault.Invalid("Params must be an object")
	case isFalsy(m.name):
		return "", fault.Invalid("Missing required parameter: name")
	case m.name[0] != '"':
		return "", fault.Invalid("Tool name must be a string")
	case m.arguments != nil && !isObject(m.arguments):
		return "", fault.Invalid("Tool arguments must be an object")
	}
	name, _ := text(m.name)
	tool := toolNamed(name)
	if tool == "" {
		return "", &fault.Fault{Code: fault.NoSuchMethod, Message: "Method not found: tool:" + name}
	}
	return tool, nil
}

// appendGuideResult appends a result with the contract's members in its order.
func (h *Handler) appendGuideResult(dst []byte, out *outcome) []byte {
	if out.answer != nil {
		return out.answer.appendGuide(dst)
	}
	dst = append(dst, `{"content":[{"type":"text","text":`...)
	dst = h.appendText(dst, out)
	dst = append(dst, `}],"isError":`...)
	dst = strconv.AppendBool(dst, out.op.tool == executeCommand && !out.succeeded())
	switch out.op.tool {
	case executeCode:
		dst = appendRun(dst, out)
		dst = plainjson.StringMember(dst, "template", strings.ToLower(out.result.Session.Template.Name))
		dst = plainjson.BoolMember(dst, "code_success", out.succeeded())
	case executeCommand:
		dst = appendRun(dst, out)
		dst = plainjson.StringMember(dst, "command", out.op.command)
		dst = plainjson.AppendStrings(plainjson.AppendName(dst, "args"), out.op.args)
		dst = plainjson.IntMember(dst, "exit_code", int64(out.result.Exit.Code))
	case getSessions:
		dst = appendGuideSessions(plainjson.AppendName(dst, "sessions"), out.sessions)
	case stopSession:
		dst = plainjson.BoolMember(dst, "success", out.found)
		dst = plainjson.StringMember(dst, "session_id", out.op.session)
	case getVolumePath:
		dst = appendVolumes(plainjson.AppendName(dst, "volume_mappings"), h.options.Volumes)
	}
	return append(dst, '}')
}

func appendRun(dst []byte, out *outcome) []byte {
	dst = plainjson.StringMember(dst, "session_id", out.result.Session.Name)
	dst = plainjson.IntMember(dst, "execution_time_ms", out.result.Exit.Duration.Milliseconds())
	return plainjson.BoolMember(dst, "session_created", out.result.Created)
}

// appendText appends the text of a result, as a JSON string.
func (h *Handler) appendText(dst []byte, out *outcome) []byte {
	switch out.op.tool {
	case getSessions:
		return plainjson.AppendString(dst, sessionsText(out.sessions))
	case stopSession:
		end := " stopped successfully"
		if !out.found {
			end = " not found"
		}
		return plainjson.AppendString(dst, "Session "+out.op.session+end)
	case getVolumePath:
		return plainjson.AppendString(dst, volumesText(h.options.Volumes))
	}
	dst = append(dst, '"')
	var room [4][]byte
	for i, piece := range out.pieces(room[:0]) {
		if i > 0 {
			dst = append(dst, '\\', 'n')
		}
		dst = plainjson.AppendEscaped(dst, piece)
	}
	return append(dst, '"')
}

// A field is one member of what the contract tells of a session.
type field struct{ name, value string }

// guideFields are the contract's members of a session, in its order.
func guideFields(s *sandbox.Session) [8]field {
	return [8]field{
		{"session_id", s.Name},
		{"template", strings.ToLower(s.Template.Name)},
		{"flavor", s.Flavor.Name},
		{"created_at", naive(s.Created)},
		{"last_accessed", naive(s.LastUsed)},
		{"status", string(s.Status)},
		{"namespace", "default"},
		{"sandbox_name", string(s.Sandbox)},
	}
}

// naive writes a time as the original did: local, with microseconds unless they
// are zero, and without a zone.
func naive(t time.Time) string {
	if t.Nanosecond()/1000 == 0 {
		return t.Local().Format("2006-01-02T15:04:05")
	}
	return t.Local().Format("2006-01-02T15:04:05.000000")
}

func appendGuideSessions(dst []byte, sessions []sandbox.Session) []byte {
	dst = append(dst, '[')
	for i := range sessions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		for _, f := range guideFields(&sessions[i]) {
			dst = plainjson.StringMember(dst, f.name, f.value)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// sessionsText is the same list as JSON text with indent 2.
func sessionsText(sessions []sandbox.Session) []byte {
	list := make([][]field, 0, len(sessions))
	for i := range sessions {
		f := guideFields(&sessions[i])
		list = append(list, f[:])
	}
	return indented(list)
}

func volumesText(volumes []sandbox.Volume) []byte {
	list := make([][]field, 0, len(volumes))
	for _, v := range volumes {
		list = append(list, []field{{"host_path", v.HostPath}, {"container_path", v.Path}})
	}
	return indented(list)
}

// indented writes objects as Python does with indent 2, which also escapes what
// is beyond ASCII.
func indented(list [][]field) []byte {
	if len(list) == 0 {
		return []byte("[]")
	}
	dst := []byte("[\n")
	for i, object := range list {
		dst = append(dst, "  {\n"...)
		for j, f := range object {
			dst = append(dst, `    "`+f.name+`": `...)
			dst = plainjson.AppendASCII(dst, f.value)
			if j < len(object)-1 {
				dst = append(dst, ',')
			}
			dst = append(dst, '\n')
		}
		dst = append(dst, "  }"...)
		if i < len(list)-1 {
			dst = append(dst, ',')
		}
		dst = append(dst, '\n')
	}
	return append(dst, ']')
}

func appendVolumes(dst []byte, volumes []sandbox.Volume) []byte {
	dst = append(dst, '[')
	for i, v := range volumes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = plainjson.StringMember(dst, "host_path", v.HostPath)
		dst = plainjson.StringMember(dst, "container_path", v.Path)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
