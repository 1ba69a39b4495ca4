package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/rest"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// A book is the document as its readers have it.
type book struct {
	raw      any
	compiler *jsonschema.Compiler

	OpenAPI    string
	Tags       []struct{ Name string }
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	OperationID string
	Summary     string
	Tags        []string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   schema
	}
	RequestBody struct{ Content map[string]media }
	Responses   map[string]struct {
		Description string
		Content     map[string]media
	}
}

type media struct{ Schema schema }

type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Examples   []any
	Required   []string
	Properties map[string]schema
}

// read reads the document, which must be sound in itself.
func read(t *testing.T, h http.Handler) *book {
	t.Helper()
	w := send(t, h, http.MethodGet, "/v1/openapi.json", "")
	b := &book{compiler: jsonschema.NewCompiler()}
	b.compiler.DefaultDraft(jsonschema.Draft2020) // which that of OpenAPI 3.1 is built on
	b.compiler.AssertFormat()
	var err error
	if b.raw, err = jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes())); err != nil {
		t.Fatalf("%d %.200s: %v", w.Code, w.Body, err)
	}
	if err := json.Unmarshal(w.Body.Bytes(), b); err != nil {
		t.Fatal(err)
	}
	if err := b.compiler.AddResource("document", b.raw); err != nil {
		t.Fatal(err)
	}
	return b
}

// at compiles the schema at a place in the document.
func (b *book) at(t *testing.T, steps ...string) *jsonschema.Schema {
	t.Helper()
	for i, step := range steps {
		steps[i] = url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	s, err := b.compiler.Compile("document#/" + strings.Join(steps, "/"))
	if err != nil {
		t.Fatalf("%v: %v", steps, err)
	}
	return s
}

func TestDocument_IsSound(t *testing.T) {
	b := read(t, made(&transporttest.Sessions{}, rest.Options{}))
	if b.OpenAPI != "3.1.0" || len(b.Paths) == 0 || len(b.Components.Schemas) == 0 {
		t.Fatalf("version %s, %d paths, %d schemas", b.OpenAPI, len(b.Paths), len(b.Components.Schemas))
	}
	for name := range b.Components.Schemas {
		b.at(t, "components", "schemas", name)
	}
	tags := make(map[string]bool)
	for _, tag := range b.Tags {
		tags[tag.Name] = true
	}
	ids := make(map[string]string)
	for path, methods := range b.Paths {
		for method, op := range methods {
			at := method + " " + path
			if ids[op.OperationID] != "" || op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || !tags[op.Tags[0]] {
				t.Errorf("%s: id %q (as %q), summary %q, tags %v", at, op.OperationID, ids[op.OperationID], op.Summary, op.Tags)
			}
			ids[op.OperationID] = at
			b.checkParameters(t, path, method, op)
			for kind := range op.RequestBody.Content {
				b.at(t, "paths", path, method, "requestBody", "content", kind, "schema")
			}
			for status, answer := range op.Responses {
				if answer.Description == "" {
					t.Errorf("%s: %s has no description", at, status)
				}
				for kind := range answer.Content {
					b.at(t, "paths", path, method, "responses", status, "content", kind, "schema")
				}
			}
			if _, ok := op.Responses["default"].Content["application/problem+json"]; !ok {
				t.Errorf("%s: no problem", at)
			}
		}
	}
}

func (b *book) checkParameters(t *testing.T, path, method string, op operation) {
	t.Helper()
	holes := make(map[string]bool)
	for _, hole := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		holes[hole[1]] = true
	}
	for i, p := range op.Parameters {
		s := b.at(t, "paths", path, method, "parameters", strconv.Itoa(i), "schema")
		for _, example := range p.Schema.Examples {
			if err := s.Validate(example); err != nil {
				t.Errorf("%s %s: the example of %s: %v", method, path, p.Name, err)
			}
		}
		if p.In == "path" && !p.Required {
			t.Errorf("%s %s: %s is in the path and not required", method, path, p.Name)
		}
		if p.In == "path" {
			delete(holes, p.Name)
		}
	}
	if len(holes) > 0 {
		t.Errorf("%s %s: nothing tells of %v", method, path, holes)
	}
}

// Each member's example is good, and so is a body of all of them.
func TestDocument_Examples(t *testing.T) {
	b := read(t, made(&transporttest.Sessions{}, rest.Options{}))
	for name, s := range b.Components.Schemas {
		body := make(map[string]any)
		for member, m := range s.Properties {
			for _, example := range m.Examples {
				if err := b.at(t, "components", "schemas", name, "properties", member).Validate(example); err != nil {
					t.Errorf("%s.%s: %v", name, member, err)
				}
				body[member] = example
			}
		}
		if len(s.Required) == 0 && len(body) > 0 {
			if err := b.at(t, "components", "schemas", name).Validate(body); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What is answered is what the document says, whatever is asked.
func TestDocument_IsKept(t *testing.T) {
	fake := &transporttest.Sessions{Run: func(ctx context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
		r.Follow(sandbox.Stdout, []byte("\xff"))
		result.Exit.Cause = sandbox.CauseWallTimeout
		result.Rich = []sandbox.Rich{{MIME: "text/plain", Data: []byte("x")}}
		return nil
	}}
	h := made(fake, rest.Options{})
	b := read(t, h)
	seen := make(map[string]bool)
	for _, c := range []struct{ method, path, where, body string }{
		{"post", "/v1/sessions", "/v1/sessions", `{"session_id":"demo","labels":{"a":"b"},"idle_timeout":60,"max_age":600.5}`},
		{"post", "/v1/sessions", "/v1/sessions", `{"session_id":"demo"}`},
		{"post", "/v1/sessions", "/v1/sessions", `{`},
		{"get", "/v1/sessions", "/v1/sessions?label=a=b&status=ready&template=python", ""},
		{"get", "/v1/sessions/{name}", "/v1/sessions/demo", ""},
		{"post", "/v1/sessions/{name}/touch", "/v1/sessions/demo/touch", ""},
		{"post", "/v1/sessions/{name}/executions", "/v1/sessions/demo/executions", `{"code":"1","wait":60}`},
		{"post", "/v1/executions", "/v1/executions", `{"command":"ls","args":["-l"],"stdin":true}`},
		{"get", "/v1/sessions/{name}/executions", "/v1/sessions/demo/executions", ""},
		{"get", "/v1/executions/{id}", "/v1/executions/exec-3?wait=60", ""},
		{"get", "/v1/executions/{id}/result", "/v1/executions/exec-3/result", ""},
		{"get", "/v1/executions/{id}/output", "/v1/executions/exec-3/output", ""},
		{"put", "/v1/executions/{id}/stdin", "/v1/executions/exec-4/stdin?offset=0", "input"},
		{"post", "/v1/executions/{id}/stdin", "/v1/executions/exec-4/stdin?offset=5&close=true", ""},
		{"post", "/v1/executions/{id}/stdin", "/v1/executions/exec-3/stdin?offset=0", "none wanted"},
		{"post", "/v1/executions/{id}/signal", "/v1/executions/exec-4/signal", `{"signal":"kill"}`},
		{"delete", "/v1/executions/{id}", "/v1/executions/exec-4", ""},
		{"get", "/v1/executions/{id}/events", "/v1/executions/exec-3/events", ""},
		{"put", "/v1/sessions/{name}/files", "/v1/sessions/demo/files?path=a", "x"},
		{"get", "/v1/sessions/{name}/files", "/v1/sessions/demo/files?path=a", ""},
		{"get", "/v1/sessions/{name}/files/stat", "/v1/sessions/demo/files/stat?path=a", ""},
		{"get", "/v1/sessions/{name}/files/list", "/v1/sessions/demo/files/list", ""},
		{"put", "/v1/sessions/{name}/files/directory", "/v1/sessions/demo/files/directory?path=d", ""},
		{"put", "/v1/sessions/{name}/files/tree", "/v1/sessions/demo/files/tree?path=t", "x"},
		{"get", "/v1/sessions/{name}/files/tree", "/v1/sessions/demo/files/tree?path=t", ""},
		{"delete", "/v1/sessions/{name}/files", "/v1/sessions/demo/files?path=a", ""},
		{"delete", "/v1/sessions/{name}", "/v1/sessions/demo", ""},
		{"get", "/v1/sessions/{name}/events", "/v1/sessions/demo/events", ""}, // which is gone
		{"get", "/v1/events", "/v1/events?after=x", ""},
	} {
		seen[c.method+" "+c.path] = true
		b.kept(t, send(t, h, strings.ToUpper(c.method), c.where, c.body, asJSON, json1), c.method, c.path)
	}
	for path, methods := range b.Paths {
		for method := range methods {
			if !seen[method+" "+path] {
				t.Errorf("%s %s is not tried", method, path)
			}
		}
	}
}

// kept checks one answer against the document.
func (b *book) kept(t *testing.T, w *httptest.ResponseRecorder, method, path string) {
	t.Helper()
	status := strconv.Itoa(w.Code)
	answer, ok := b.Paths[path][method].Responses[status]
	if !ok && w.Code >= 400 {
		status = "default"
		answer, ok = b.Paths[path][method].Responses[status]
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if _, has := answer.Content[kind]; !ok || !has && w.Body.Len() > 0 {
		t.Errorf("%s %s: %d %s is not in the document: %s", method, path, w.Code, kind, w.Body)
		return
	}
	if !strings.HasSuffix(kind, "json") {
		return
	}
	value, err := jsonschema.UnmarshalJSON(w.Body)
	if err == nil {
		err = b.at(t, "paths", path, method, "responses", status, "content", kind, "schema").Validate(value)
	}
	if err != nil {
		t.Errorf("%s %s: %d: %v", method, path, w.Code, err)
	}
}

// The page takes nothing from elsewhere and has no script of its own inside.
func TestDocument_Page(t *testing.T) {
	h := made(&transporttest.Sessions{}, rest.Options{Version: "1.2.3"})
	for path, kind := range map[string]string{
		"/v1/docs": "text/html; charset=utf-8", "/v1/docs/page.js": "text/javascript; charset=utf-8", "/v1/docs/page.css": "text/css; charset=utf-8",
		"/v1/openapi.json": "application/json", "/v1/openapi.yaml": "application/yaml",
	} {
		w := send(t, h, http.MethodGet, path, "")
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if strings.HasPrefix(path, "/v1/docs") {
			for _, bad := range []string{"http:", "https:", "innerHTML", "eval(", "<script>", "onload="} {
				if strings.Contains(w.Body.String(), bad) {
					t.Errorf("%s has %s", path, bad)
				}
			}
		}
		if !rest.IsPublic(path) {
			t.Errorf("%s needs a token", path)
		}
	}
	if w := send(t, h, http.MethodGet, "/v1/openapi.yaml", ""); !strings.Contains(w.Body.String(), "version: 1.2.3") {
		t.Errorf("the version is not in it")
	}
}
