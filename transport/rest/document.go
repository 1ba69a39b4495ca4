package rest

import (
	_ "embed"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// The page that shows the document. It takes nothing from elsewhere, and has no
// script but its own.
var (
	//go:embed page/index.html
	pageHTML []byte
	//go:embed page/page.js
	pageScript []byte
	//go:embed page/page.css
	pageStyle []byte
)

// pagePolicy is what the page may do.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// A document is what the API says of itself, as bytes that never change.
type document struct{ json, yaml []byte }

// IsPublic reports whether a path tells of the API itself, which is the same for
// everybody and tells nothing of anybody's sessions.
func IsPublic(path string) bool {
	switch path {
	case "/v1/openapi.json", "/v1/openapi.yaml", "/v1/docs", "/v1/docs/page.js", "/v1/docs/page.css":
		return true
	}
	return false
}

// describe begins the document.
func describe(version string) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "sandwarden", Version: version,
			Description: "Sessions are isolated sandboxes with a name. What runs in one is an execution, whose output can be read again from any byte.",
			License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Tags: []*huma.Tag{
			{Name: "sessions", Description: "Sandboxes with a name"},
			{Name: "executions", Description: "Runs of code and of commands"},
			{Name: "files", Description: "What is in a session"},
			{Name: "events", Description: "What happens, live"},
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token": {Type: "http", Scheme: "bearer", Description: "Where the server has a file of tokens"},
			},
		},
		Security: []map[string][]string{{"token": {}}, {}},
	}
}

// documentRoutes are the last, as the document is complete then.
func (h *Handler) documentRoutes() {
	o := h.api.OpenAPI()
	for _, name := range []string{"ErrorModel", "ErrorDetail"} { // huma's, in whose place ours are
		delete(o.Components.Schemas.Map(), name)
	}
	var err error
	if h.document.json, err = json.Marshal(o); err == nil {
		h.document.yaml, err = o.YAML()
	}
	if err != nil {
		panic(err) // it is made of what is in this package alone
	}
	for path, it := range map[string]struct {
		kind string
		body []byte
	}{
		"/v1/openapi.json":  {"application/json", h.document.json},
		"/v1/openapi.yaml":  {"application/yaml", h.document.yaml},
		"/v1/docs":          {"text/html; charset=utf-8", pageHTML},
		"/v1/docs/page.js":  {"text/javascript; charset=utf-8", pageScript},
		"/v1/docs/page.css": {"text/css; charset=utf-8", pageStyle},
	} {
		h.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", it.kind)
			w.Header().Set("Content-Security-Policy", pagePolicy)
			w.Header().Set("Cache-Control", "no-cache")
			h.deadline(w)
			_, _ = w.Write(it.body) // a client that is gone needs no answer
		})
	}
}
