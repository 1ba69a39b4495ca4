package mcp

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	protocol "github.com/mark3labs/mcp-go/mcp"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// coreResult words an outcome for clients of the initialize era. The joined
// output comes first, as in the guide; then, for those that read text alone,
// what else they must know; then images.
func (h *Handler) coreResult(out *outcome) *protocol.CallToolResult {
	r := &protocol.CallToolResult{
		IsError:              out.fault != nil || out.op.tool == executeCommand && !out.succeeded(),
		RawStructuredContent: h.structured(out),
	}
	switch {
	case out.fault == nil, out.began:
		r.Content = append(r.Content, textContent(h.plainText(out)))
	default:
		r.Content = append(r.Content, textContent(advised(out)))
	}
	if out.began {
		r.Content = append(r.Content, textContent(string(appendFacts([]byte{'{'}, out))+"}"))
	}
	for _, rich := range out.result.Rich {
		if isImage(rich.MIME) {
			r.Content = append(r.Content, protocol.NewImageContent(base64.StdEncoding.EncodeToString(rich.Data), rich.MIME))
		}
	}
	return r
}

func textContent(s string) protocol.TextContent { return protocol.NewTextContent(s) }

func isImage(mime string) bool { return mime == "image/png" || mime == "image/jpeg" }

// advised is the message of a fault and what to do about it.
func advised(out *outcome) string {
	said := out.fault.Message
	for _, more := range []string{out.fault.More, out.fault.Remedy} {
		if more != "" && !strings.Contains(said, more) {
			said += ". " + more
		}
	}
	return said
}

// plainText is the text of a result; where work was ended, what it put out and
// then why it was ended.
func (h *Handler) plainText(out *outcome) string {
	var s string
	// What appendText writes is a JSON string always.
	_ = json.Unmarshal(h.appendText(nil, out), &s)
	switch {
	case out.fault == nil:
		return s
	case s == "":
		return advised(out)
	}
	return s + "\n" + advised(out)
}

// structured is the structuredContent of an outcome.
func (h *Handler) structured(out *outcome) json.RawMessage {
	dst := []byte{'{'}
	switch {
	case out.fault != nil && !out.began:
	case out.op.tool == getSessions:
		dst = appendSessions(plainjson.AppendName(dst, "sessions"), out.sessions, time.Now())
	case out.op.tool == stopSession:
		dst = plainjson.BoolMember(dst, "success", out.found)
		dst = plainjson.StringMember(dst, "session_id", out.op.session)
	case out.op.tool == getVolumePath:
		dst = appendVolumes(plainjson.AppendName(dst, "volume_mappings"), h.options.Volumes)
	default:
		dst = appendFacts(dst, out)
		dst = plainjson.StringMember(dst, "stdout", out.result.Stdout)
		dst = plainjson.StringMember(dst, "stderr", out.result.Stderr)
		dst = appendRich(dst, out.result.Rich)
	}
	if out.fault != nil {
		dst = appendFault(dst, out)
	}
	return append(dst, '}')
}

func appendFault(dst []byte, out *outcome) []byte {
	f := out.fault
	dst = plainjson.StringMember(dst, "message", f.Message)
	dst = plainjson.StringMember(dst, "kind", f.Kind.String())
	dst = optional(optional(dst, "more", f.More), "remedy", f.Remedy)
	if f.Data != nil {
		dst = f.Data.AppendMembers(dst)
	}
	return dst
}

// appendFacts appends what there is to know of a run beside its output.
func appendFacts(dst []byte, out *outcome) []byte {
	r := &out.result
	dst = plainjson.StringMember(dst, "session_id", r.Session.Name)
	dst = plainjson.StringMember(dst, "execution_id", string(r.Exec))
	dst = plainjson.IntMember(dst, "exit_code", int64(r.Exit.Code))
	dst = plainjson.BoolMember(dst, "success", out.succeeded())
	dst = plainjson.BoolMember(dst, "truncated", r.Truncated())
	dst = plainjson.IntMember(dst, "dropped_bytes", r.Exit.Dropped)
	dst = plainjson.IntMember(dst, "duration_ms", r.Exit.Duration.Milliseconds())
	dst = plainjson.IntMember(dst, "waited_ms", r.Waited.Milliseconds())
	dst = plainjson.StringMember(dst, "template", r.Session.Template.Name)
	dst = plainjson.StringMember(dst, "flavor", r.Session.Flavor.Name)
	dst = optional(dst, "capped", r.Session.Flavor.Capped)
	dst = optional(dst, "note", out.mismatch())
	dst = plainjson.BoolMember(dst, "session_created", r.Created)
	dst = appendPrevious(dst, r.Session.Previous)
	dst = optional(dst, "result", r.Exit.Result)
	if f := r.Exit.Failure; f != nil {
		dst = append(plainjson.AppendName(dst, "failure"), '{')
		dst = plainjson.StringMember(dst, "name", f.Name)
		dst = append(plainjson.StringMember(dst, "message", f.Message), '}')
	}
	dst = optional(dst, "cause", string(r.Exit.Cause))
	dst = optional(dst, "evidence", r.Exit.Evidence)
	if r.Exit.StateLost {
		dst = plainjson.BoolMember(dst, "state_lost", true)
	}
	dst = optional(dst, "hint", r.Hint)
	return appendUnenforced(dst, r.Session.Unenforced)
}

func appendPrevious(dst []byte, p *sandbox.Ended) []byte {
	if p == nil {
		return dst
	}
	dst = append(plainjson.AppendName(dst, "previous"), '{')
	dst = plainjson.StringMember(dst, "ended", p.At.UTC().Format(time.RFC3339Nano))
	return append(plainjson.StringMember(dst, "cause", string(p.Cause)), '}')
}

func appendUnenforced(dst []byte, names []string) []byte {
	if len(names) == 0 {
		return dst
	}
	return plainjson.AppendStrings(plainjson.AppendName(dst, "unenforced"), names)
}

// appendRich appends the rich results that are not images, which are content.
func appendRich(dst []byte, all []sandbox.Rich) []byte {
	open := false
	for _, rich := range all {
		if isImage(rich.MIME) {
			continue
		}
		if !open {
			dst, open = append(plainjson.AppendName(dst, "rich"), '['), true
		} else {
			dst = append(dst, ',')
		}
		dst = plainjson.StringMember(append(dst, '{'), "mime", rich.MIME)
		if utf8.Valid(rich.Data) {
			dst = plainjson.StringMember(dst, "text", rich.Data)
		} else {
			dst = plainjson.StringMember(dst, "base64", base64.StdEncoding.EncodeToString(rich.Data))
		}
		dst = append(dst, '}')
	}
	if open {
		dst = append(dst, ']')
	}
	return dst
}

func appendSessions(dst []byte, sessions []sandbox.Session, now time.Time) []byte {
	dst = append(dst, '[')
	for i := range sessions {
		s := &sessions[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		for _, f := range guideFields(s) {
			if f.name != "created_at" && f.name != "last_accessed" {
				dst = plainjson.StringMember(dst, f.name, f.value)
			}
		}
		dst = plainjson.StringMember(dst, "created_at", s.Created.UTC().Format(time.RFC3339Nano))
		dst = plainjson.StringMember(dst, "last_accessed", s.LastUsed.UTC().Format(time.RFC3339Nano))
		dst = plainjson.IntMember(dst, "age_ms", now.Sub(s.Created).Milliseconds())
		dst = plainjson.IntMember(dst, "idle_ms", max(0, now.Sub(s.LastUsed).Milliseconds()))
		dst = plainjson.IntMember(dst, "running", int64(s.Running))
		if u := s.Usage; u != nil && u.MemoryBytes >= 0 {
			dst = plainjson.IntMember(dst, "memory_bytes", u.MemoryBytes)
			dst = plainjson.IntMember(dst, "cpu_ms", u.CPU.Milliseconds())
			dst = plainjson.IntMember(dst, "tasks", int64(u.Tasks))
		}
		dst = plainjson.IntMember(dst, "restarts", int64(s.Restarts))
		dst = optional(dst, "capped", s.Flavor.Capped)
		dst = appendUnenforced(dst, s.Unenforced)
		dst = append(appendPrevious(dst, s.Previous), '}')
	}
	return append(dst, ']')
}

// optional appends a member unless it is empty.
func optional(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return plainjson.StringMember(dst, name, value)
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
