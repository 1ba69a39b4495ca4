package msb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// params are those of all methods. What a method does not know is not looked at,
// as in servers of the v0.2 line.
type params struct {
	Sandbox   *string `json:"sandbox"`
	Namespace *string `json:"namespace"`

	Config *config `json:"config"` // of sandbox.start

	Language *string `json:"language"` // of sandbox.repl.run
	Code     *string `json:"code"`

	Command *string  `json:"command"` // of sandbox.command.run
	Args    []string `json:"args"`

	Timeout *json.Number `json:"timeout"` // seconds
}

// usualSpace is the namespace of a request that names none.
const usualSpace = "default"

func (p *params) name() string { return deref(p.Sandbox) }

func (p *params) space() string {
	if p.Namespace == nil {
		return usualSpace
	}
	return *p.Namespace
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// portal tells whether servers of the v0.2 line forward a method into the
// sandbox, and word its refusals otherwise.
func portal(method string) bool {
	return method == "sandbox.repl.run" || method == "sandbox.command.run"
}

// newCall reads the parameters of a method, and checks what all have.
func newCall(method string, raw json.RawMessage, s scope) (*call, *refusal) {
	c := &call{method: method, scope: s}
	if refused := c.read(raw); refused != nil {
		return nil, refused
	}
	if c.method == "sandbox.metrics.get" {
		if space := c.params.space(); space != everything {
			if why := nameFault("Namespace", space); why != "" {
				return nil, invalid("%s", why)
			}
		}
	} else if refused := c.checkNames(); refused != nil {
		return nil, refused
	}
	if space := c.params.space(); !s.allows(space) {
		if c.params.Namespace == nil {
			return nil, invalid(textScopedSpace, method)
		}
		return nil, s.forbidden(space)
	}
	return c, nil
}

// read decodes the parameters.
func (c *call) read(raw json.RawMessage) *refusal {
	if len(raw) == 0 && c.scope != everything {
		return invalid("%s", textScopedParams)
	}
	err := json.Unmarshal(raw, &c.params)
	if err == nil && string(raw) != "null" {
		return nil
	}
	field := ""
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field = wrong.Field
		err = fmt.Errorf("invalid type: %s, expected %s for `%s`", wrong.Value, expected(wrong.Type.String()), field)
	} else if err != nil || string(raw) == "null" {
		err = errors.New("missing field `sandbox`")
	}
	switch {
	case field == "namespace" && c.scope != everything:
		return invalid(textScopedSpace, c.method)
	case portal(c.method) && field == "sandbox":
		return invalid("%s", textNoSandbox)
	case portal(c.method) && field == "namespace":
		return invalid("%s", textNoSpace)
	case portal(c.method) && field == "":
		return invalid("%s", textNotObject)
	}
	return invalid(textParams, c.method, err)
}

// expected names a type as people know it.
func expected(goType string) string {
	switch strings.TrimLeft(goType, "*") {
	case "string":
		return "a string"
	case "[]string":
		return "a list of strings"
	case "map[string]string":
		return "an object of strings"
	case "uint8":
		return "a whole number from 0 to 255"
	case "uint32", "json.Number":
		return "a whole number"
	}
	return "an object"
}

// checkNames checks the names of a sandbox and of its namespace.
func (c *call) checkNames() *refusal {
	if c.params.Sandbox == nil {
		if portal(c.method) {
			return invalid("%s", textNoSandbox)
		}
		return invalid(textParams, c.method, "missing field `sandbox`")
	}
	if c.params.space() == everything {
		return invalid("%s", textStar)
	}
	for _, why := range []string{nameFault("Sandbox name", c.params.name()), nameFault("Namespace", c.params.space())} {
		if why != "" {
			return invalid("%s", why)
		}
	}
	return nil
}

// maxName is the length of a name.
const maxName = 63

// nameFault returns what is wrong with a name, or "".
func nameFault(of, name string) string {
	switch {
	case name == "":
		return of + textEmpty
	case len(name) > maxName:
		return of + textLong
	case strings.ContainsFunc(name, func(c rune) bool { return !alphanumeric(c) && c != '-' && c != '_' }):
		return of + textChars
	case !alphanumeric(rune(name[0])):
		return of + textFirst
	}
	return ""
}

func alphanumeric(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// A place is a sandbox of a namespace.
type place struct{ space, name string }

func (c *call) place() place { return place{c.params.space(), c.params.name()} }

// ownerPrefix begins the names of the owners that namespaces are. Names of
// tokens have no colon.
const ownerPrefix = "msb:"

func ownerOf(space string) sandbox.Principal { return sandbox.Principal(ownerPrefix + space) }

func (p place) ref() sandbox.Ref { return sandbox.Ref{Owner: ownerOf(p.space), Name: p.name} }
