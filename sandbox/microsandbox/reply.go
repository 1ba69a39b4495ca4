package microsandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A refusal is what the server answered instead of a result.
type refusal struct {
	status int    // of HTTP
	code   int    // of the server, or of JSON-RPC when below 0; 0 when it gave none
	text   string // of the server: one line, bounded
	kind   string // of a sandwarden: what the caller can do about it
	reason string // of a sandwarden: why
}

// Error returns what the server said.
func (r *refusal) Error() string {
	text := r.text
	if r.reason != "" {
		text += ": " + r.reason
	}
	return strings.TrimSpace("the microsandbox server answered: " + text)
}

// The server's own codes.
const (
	codeNoKey     = 1001
	codeBadKey    = 1004
	codeInvalid   = 2001
	codeForbidden = 3001
	codeNotFound  = 4001
	codeInternal  = 5002
	codeNoMethod  = -32601
)

// errGarbled says that an answer is none of a microsandbox server.
var errGarbled = errors.New("the answer is not one of a microsandbox server")

// decode reads the body of an answer: the result, or a refusal. Both of the
// forms of an error are taken at any status.
func decode(status int, body []byte) (json.RawMessage, error) {
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
		Code   int             `json:"code"`
		Kind   string          `json:"kind"`
		Reason string          `json:"reason"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		if status == 200 {
			return nil, errGarbled
		}
		return nil, &refusal{status: status, text: oneLine(string(body))}
	}
	failed := len(answer.Error) > 0 && !bytes.Equal(answer.Error, []byte("null"))
	switch {
	case status == 200 && !failed && len(answer.Result) > 0:
		return answer.Result, nil
	case status == 200 && !failed:
		return nil, errGarbled
	}
	r := &refusal{status: status, code: answer.Code, kind: oneLine(answer.Kind), reason: oneLine(answer.Reason)}
	r.say(answer.Error)
	return nil, r
}

// say takes over an error, which is a text or an object of JSON-RPC.
func (r *refusal) say(raw json.RawMessage) {
	var object struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(raw, &r.text) == nil {
		r.text = oneLine(r.text)
		return
	}
	if json.Unmarshal(raw, &object) == nil {
		r.code, r.text = object.Code, oneLine(object.Message)
	}
}

// oneLine makes a line of what somebody else wrote.
func oneLine(text string) string {
	const most = 300
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == utf8.RuneError {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, " "))
	if runes := []rune(strings.TrimSpace(text)); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return strings.TrimSpace(text)
}

// A health is the answer to a look at the server's health. Those of sandwarden
// say which daemons they are of, so that none asks itself.
type health struct {
	Message  string   `json:"message"`
	Instance string   `json:"instance"`
	Behind   []string `json:"behind"`
}

// A metric is what the server says of one sandbox. Null is not known.
type metric struct {
	Name    string   `json:"name"`
	Running bool     `json:"running"`
	Memory  *uint64  `json:"memory_usage"` // MiB
	Disk    *uint64  `json:"disk_usage"`   // bytes
	CPU     *float64 `json:"cpu_usage"`    // percent of one processor
}

// metricsOf reads the result of sandbox.metrics.get.
func metricsOf(result json.RawMessage) ([]metric, error) {
	var all struct {
		Sandboxes []metric `json:"sandboxes"`
	}
	if json.Unmarshal(result, &all) != nil || all.Sandboxes == nil {
		return nil, errGarbled
	}
	return all.Sandboxes, nil
}

// An outcome is what became of a command.
type outcome struct {
	Exit   int // -1 when the server did not say
	Stdout string
	Stderr string
}

// outcomeOf reads the result of sandbox.command.run.
func outcomeOf(result json.RawMessage) (outcome, error) {
	var r struct {
		Exit   *int `json:"exit_code"`
		Output []struct {
			Stream string `json:"stream"`
			Text   string `json:"text"`
		} `json:"output"`
	}
	if json.Unmarshal(result, &r) != nil {
		return outcome{}, errGarbled
	}
	o := outcome{Exit: -1}
	if r.Exit != nil {
		o.Exit = *r.Exit
	}
	var stdout, stderr []string
	for _, line := range r.Output {
		if line.Stream == "stderr" {
			stderr = append(stderr, line.Text)
		} else {
			stdout = append(stdout, line.Text)
		}
	}
	o.Stdout, o.Stderr = strings.Join(stdout, "\n"), strings.Join(stderr, "\n")
	return o, nil
}
