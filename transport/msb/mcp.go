package msb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	protocol "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// mcp serves the tools of servers of the v0.2 line, which are the API's methods
// under other names, to clients of MCP. It keeps nothing of a client, answers
// with JSON alone, and has no stream.
func (h *Handler) mcp(w http.ResponseWriter, r *http.Request) {
	scope, body, leave, ok := h.admit(w, r)
	if !ok {
		return
	}
	defer leave()
	var q struct {
		request
		Params struct {
			Name *string `json:"name"`
		} `json:"params"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		h.rpcError(w, http.StatusBadRequest, protocol.PARSE_ERROR, "Parse error: "+err.Error(), nil)
		return
	}
	if q.Method == nil {
		h.rpcError(w, http.StatusBadRequest, protocol.INVALID_REQUEST, "Invalid request: a method is needed", q.ID)
		return
	}
	if problem := h.unnamed(*q.Method, q.Params.Name); problem != "" && q.ID != nil {
		h.rpcError(w, http.StatusOK, protocol.INTERNAL_ERROR, "MCP method error: "+problem, q.ID)
		return
	}
	answer := h.core.HandleMessage(context.WithValue(r.Context(), scopeKey{}, scope), body)
	if answer == nil || q.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	h.write(w, http.StatusOK, answer)
}

type scopeKey struct{}

// unnamed is what is wrong with the name of a tool or of a prompt, as clients
// know it.
func (h *Handler) unnamed(method string, name *string) string {
	var known []string
	var what string
	switch method {
	case "tools/call":
		what = "Tool"
		for _, t := range tools() {
			known = append(known, t.name)
		}
	case "prompts/get":
		what = "Prompt"
		for _, p := range prompts() {
			known = append(known, p.name)
		}
	default:
		return ""
	}
	if name == nil {
		return "Validation error: Missing required 'name' parameter"
	}
	if !slices.Contains(known, *name) {
		return fmt.Sprintf("Resource not found: %s '%s' not found", what, clip(*name))
	}
	return ""
}

// newCore returns the core with the tools and the prompts.
func (h *Handler) newCore() *server.MCPServer {
	core := server.NewMCPServer("microsandbox-server", h.options.Version,
		server.WithToolCapabilities(false), server.WithPromptCapabilities(false))
	for _, t := range tools() {
		core.AddTool(protocol.NewToolWithRawSchema(t.name, t.description, json.RawMessage(t.schema)),
			func(ctx context.Context, r protocol.CallToolRequest) (*protocol.CallToolResult, error) {
				return h.callTool(ctx, t.method, r)
			})
	}
	for _, p := range prompts() {
		core.AddPrompt(
			protocol.NewPrompt(p.name, protocol.WithPromptDescription(p.description),
				protocol.WithArgument("sandbox_name", protocol.ArgumentDescription("Name for the new sandbox"), protocol.RequiredArgument())),
			func(_ context.Context, r protocol.GetPromptRequest) (*protocol.GetPromptResult, error) {
				return p.get(r.Params.Arguments["sandbox_name"]), nil
			})
	}
	return core
}

// callTool performs the method of a tool. That it fails is a result, which a
// model reads and can act on.
func (h *Handler) callTool(ctx context.Context, method string, r protocol.CallToolRequest) (*protocol.CallToolResult, error) {
	scope, ok := ctx.Value(scopeKey{}).(scope)
	if !ok {
		return nil, errors.New("the scope is not in the context")
	}
	arguments, err := encode(r.Params.Arguments, "")
	if err != nil {
		return nil, err
	}
	if r.Params.Arguments == nil {
		arguments = []byte("{}")
	}
	c, refused := newCall(method, arguments, scope)
	if refused != nil {
		return toolError(refused), nil
	}
	result, err := methods[method](h, ctx, c)
	if err != nil {
		return toolError(refusalOf(err)), nil
	}
	text, err := encode(result, "  ")
	if err != nil {
		return nil, err
	}
	return protocol.NewToolResultText(string(text)), nil
}

// toolError words a refusal for a model.
func toolError(r *refusal) *protocol.CallToolResult {
	text := "Error: " + r.Error()
	if r.remedy != "" {
		text += "; " + r.remedy
	}
	return protocol.NewToolResultError(text)
}
