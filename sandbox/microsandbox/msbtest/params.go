package msbtest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A config is what a sandbox is asked to be.
type config struct {
	Image     *string           `json:"image"`
	Memory    *uint32           `json:"memory"` // MiB
	CPUs      *uint8            `json:"cpus"`
	Volumes   []string          `json:"volumes"`
	Ports     []string          `json:"ports"`
	Envs      []string          `json:"envs"`
	DependsOn []string          `json:"depends_on"`
	Workdir   *string           `json:"workdir"`
	Shell     *string           `json:"shell"`
	Scripts   map[string]string `json:"scripts"`
	Exec      *string           `json:"exec"`
}

// params are those of all methods. A nil pointer was not there.
type params struct {
	Sandbox   *string         `json:"sandbox"`
	Namespace *string         `json:"namespace"`
	Config    json.RawMessage `json:"config"`

	Language string   `json:"language"`
	Code     string   `json:"code"`
	Command  string   `json:"command"`
	Args     []string `json:"args"`
	Timeout  *float64 `json:"timeout"` // seconds
}

// paramsOf reads the params of a method that the server handles itself.
func (s *Server) paramsOf(q *request, wantsSandbox bool) (*params, *refusal) {
	wrong := func(text string) *refusal { return invalid(fmt.Sprintf("Invalid params for %s: %s", *q.Method, text)) }
	p := &params{}
	if len(q.Params) == 0 {
		return nil, wrong("invalid type: null, expected struct")
	}
	if err := json.Unmarshal(q.Params, p); err != nil {
		return nil, wrong(err.Error())
	}
	switch {
	case wantsSandbox && p.Sandbox == nil:
		return nil, wrong("missing field `sandbox`")
	case p.Namespace == nil && s.opts.Dialect == Namespaces:
		return nil, wrong("missing field `namespace`")
	}
	return p, nil
}

// forwarded reads the params of a method that the agent inside handles.
func (s *Server) forwarded(q *request) (*params, *refusal) {
	p := &params{}
	spaces := s.opts.Dialect == Namespaces
	if !strings.HasPrefix(string(q.Params), "{") {
		if spaces {
			return nil, invalid("Request parameters must be an object containing 'sandbox' and 'namespace'")
		}
		return nil, invalid("Request parameters must be an object containing 'sandbox'")
	}
	err := json.Unmarshal(q.Params, p)
	switch {
	case p.Sandbox == nil:
		return nil, invalid("Missing required 'sandbox' parameter for portal request")
	case p.Namespace == nil && spaces:
		return nil, invalid("Missing required 'namespace' parameter for portal request")
	case err != nil:
		return nil, failed() // the agent's own refusal is swallowed
	}
	return p, nil
}

// configOf reads a config; nil is none.
func (s *Server) configOf(p *params) (*config, *refusal) {
	if len(p.Config) == 0 || string(p.Config) == "null" {
		return nil, nil //nolint:nilnil // there is none
	}
	var members map[string]json.RawMessage
	c := &config{}
	if err := json.Unmarshal(p.Config, c); err != nil {
		return nil, invalid("Invalid params for sandbox.start: " + err.Error())
	}
	_ = json.Unmarshal(p.Config, &members) // it was an object
	for _, list := range []string{"volumes", "ports", "envs", "depends_on"} {
		if s.opts.Dialect == Namespaces && string(members[list]) == "null" {
			return nil, invalid("Invalid params for sandbox.start: invalid type: null, expected a sequence")
		}
	}
	return c, nil
}

// nameOf checks the name of a sandbox. In the dialect without namespaces one is
// passed over.
func (s *Server) nameOf(p *params) (name, *refusal) {
	if text := wrongWord("Sandbox name", *p.Sandbox); text != "" {
		return name{}, invalid(text)
	}
	if s.opts.Dialect == Projects {
		return name{"", *p.Sandbox}, nil
	}
	if *p.Namespace == "*" {
		return name{}, invalid("Wildcard namespace (*) is not valid for sandbox creation")
	}
	if text := wrongWord("Namespace", *p.Namespace); text != "" {
		return name{}, invalid(text)
	}
	return name{*p.Namespace, *p.Sandbox}, nil
}

// wrongWord says what is wrong with a name; nothing is "".
func wrongWord(what, word string) string {
	const most = 63
	alphanumeric := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }
	switch {
	case word == "":
		return what + " cannot be empty"
	case len(word) > most:
		return what + " cannot exceed 63 characters"
	}
	for _, c := range []byte(word) {
		if !alphanumeric(c) && c != '-' && c != '_' {
			return what + " can only contain alphanumeric characters, hyphens, or underscores"
		}
	}
	if !alphanumeric(word[0]) {
		return what + " must start with an alphanumeric character"
	}
	return ""
}
