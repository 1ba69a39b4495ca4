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
	"github.com/sandwarden/sandwarden/transport/fault"
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
	rich := out.result.Rich
	switch {
	case out.answer != nil:
		r.IsError = false
		r.Content = append(r.Content, textContent(string(out.answer.text)), textContent(string(out.answer.facts)+"}"))
		rich = out.answer.rich
	case out.began:
		r.Content = append(r.Content, textContent(h.plainText(out)), textContent(string(appendFacts([]byte{'{'}, out))+"}"))
	case out.fault == nil:
		r.Content = append(r.Content, textContent(h.plainText(out)))
	default:
		r.Content = append(r.Content, textContent(advised(out.fault)))
	}
	for _, item := range rich {
		if isImage(item.MIME) {
			r.Content = append(r.Content, protocol.NewImageContent(base64.StdEncoding.EncodeToString(item.Data), item.MIME))
		}
	}
	return r
}

func textContent(s string) protocol.TextContent { return protocol.NewTextContent(s) }

func isImage(mime string) bool { return mime == "image/png" || mime == "image/jpeg" }

// advised is the message of a fault and what to do about it.
func advised(f *fault.Fault) string {
	said := f.Message
	for _, more := range []string{f.More, f.Remedy} {
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
	if out.result.Omitted > 0 {
		s += "\n[all of it is kept: get_execution with execution_id=" + string(out.result.Exec) + " and cursor=0 reads it]"
	}
	switch {
	case out.fault == nil:
		return s
	case s == "":
		return advised(out.fault)
	}
	return s + "\n" + advised(out.fault)
}

// structured is the structuredContent of an outcome.
func (h *Handler) structured(out *outcome) json.RawMessage {
	dst := []byte{'{'}
	switch {
	case out.answer != nil:
		dst = out.answer.appendMembers(dst)
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
		dst = appendFault(dst, out.fault, !out.began)
	}
	return append(dst, '}')
}

// appendFault appends what went wrong, with the cause of death where nothing
// else tells it.
func appendFault(dst []byte, f *fault.Fault, cause bool) []byte {
	if cause {
		dst = optional(optional(dst, "cause", string(f.Cause)), "evidence", f.Evidence)
	}
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
	status := r.Status
	if status == "" {
		status = sandbox.StatusOf(&r.Exit)
	}
	dst = plainjson.StringMember(dst, "status", string(status))
	if status.Over() {
		dst = appendExit(dst, &r.Exit)
	}
	dst = plainjson.BoolMember(dst, "truncated", r.Truncated())
	dst = plainjson.IntMember(dst, "cursor", r.Cursor)
	dst = plainjson.IntMember(dst, "omitted_bytes", r.Omitted)
	dst = plainjson.IntMember(dst, "waited_ms", r.Waited.Milliseconds())
	dst = plainjson.StringMember(dst, "template", r.Session.Template.Name)
	dst = plainjson.StringMember(dst, "flavor", r.Session.Flavor.Name)
	dst = optional(dst, "capped", r.Session.Flavor.Capped)
	dst = optional(dst, "note", out.mismatch())
	dst = plainjson.BoolMember(dst, "session_created", r.Created)
	if r.Replayed {
		dst = plainjson.BoolMember(dst, "replayed", true)
	}
	dst = appendPrevious(dst, r.Session.Previous)
	dst = optional(dst, "hint", r.Hint)
	return appendUnenforced(dst, r.Session.Unenforced)
}

// appendExit appends how an execution ended.
func appendExit(dst []byte, x *sandbox.Exit) []byte {
	dst = plainjson.IntMember(dst, "exit_code", int64(x.Code))
	dst = plainjson.BoolMember(dst, "success", succeeded(x))
	dst = plainjson.IntMember(dst, "duration_ms", x.Duration.Milliseconds())
	dst = plainjson.IntMember(dst, "cpu_ms", x.CPU.Milliseconds())
	if x.PeakBytes > 0 {
		dst = plainjson.IntMember(dst, "peak_memory_bytes", x.PeakBytes)
	}
	dst = plainjson.IntMember(dst, "dropped_bytes", x.Dropped)
	dst = optional(dst, "result", x.Result)
	if f := x.Failure; f != nil {
		dst = append(plainjson.AppendName(dst, "failure"), '{')
		dst = plainjson.StringMember(dst, "name", f.Name)
		dst = append(plainjson.StringMember(dst, "message", f.Message), '}')
	}
	dst = optional(dst, "cause", string(x.Cause))
	dst = optional(dst, "evidence", x.Evidence)
	if x.StateLost {
		dst = plainjson.BoolMember(dst, "state_lost", true)
	}
	return dst
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
