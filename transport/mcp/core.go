package mcp

import (
	"context"
	"errors"

	protocol "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// serverName is what we call ourselves.
const serverName = "sandwarden"

// instructions tell a model how to use the tools.
const instructions = "Runs code and commands in isolated sandboxes. Pass the session_id of a result to go on in the same sandbox, " +
	"with its variables and files. Sandboxes have no network. What takes long is answered before it ends, as \"still running\" with an " +
	"execution_id: get_execution waits for the end, shows what it puts out, and finds it again after a lost answer. " +
	"With background it is answered at once. Move files with read_file, write_file and list_files."

// A client is who asks, as the core wants to know it: a fresh one for each
// request, so that no two calls share anything.
type client struct {
	id      string
	version string
}

// Initialize does nothing: the table knows the sessions.
func (*client) Initialize() {}

// Initialized is true, as nobody has to shake hands.
func (*client) Initialized() bool { return true }

// NotificationChannel is nil: what the core would send by itself goes nowhere,
// where it cannot reach the wrong call.
func (*client) NotificationChannel() chan<- protocol.JSONRPCNotification { return nil }

// SessionID is the id of the legacy session, or one that nobody else has.
func (c *client) SessionID() string { return c.id }

// ProtocolVersion is the revision that the session agreed on.
func (c *client) ProtocolVersion() string { return c.version }

// newCore returns the core with our tools.
func (h *Handler) newCore() *server.MCPServer {
	core := server.NewMCPServer(serverName, h.options.Version,
		server.WithToolCapabilities(false), server.WithInstructions(instructions))
	for _, t := range h.options.coreTools() {
		core.AddTool(t, h.coreTool)
	}
	return core
}

// coreTool runs any tool for the core. What the arguments lack is told as a
// result, which a model reads and can act on.
func (h *Handler) coreTool(ctx context.Context, r protocol.CallToolRequest) (*protocol.CallToolResult, error) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return nil, errors.New("the call is not in the context")
	}
	if c.arguments != nil && !isObject(c.arguments) && !isNull(c.arguments) {
		return badArguments("Tool arguments must be an object"), nil
	}
	arguments := c.arguments
	if isNull(arguments) {
		arguments = nil
	}
	op, problem := h.openRules.parse(r.Params.Name, arguments)
	if problem != "" {
		return badArguments(problem), nil
	}
	op.usage, op.detached = true, true
	if !op.wrapped { // the original's clients wait to the end
		op.patience = h.options.SoftLimit
	}
	out := h.performFor(ctx, c, op)
	return h.coreResult(&out), nil
}

// performFor performs an operation, with progress for who wants it. All output
// is told before the result.
func (h *Handler) performFor(ctx context.Context, c *call, op operation) outcome {
	if c.token == nil || !c.reply.takesSSE {
		return h.perform(ctx, op, nil)
	}
	p := &progress{token: c.token, every: h.options.ProgressEvery, notify: c.reply.notify}
	defer p.close()
	return h.perform(ctx, op, func(s sandbox.Stream, data []byte) { p.follow(s, data) })
}

func badArguments(problem string) *protocol.CallToolResult {
	f := fault.Invalid(problem)
	dst := plainjson.StringMember([]byte{'{'}, "message", f.Message)
	dst = append(plainjson.StringMember(dst, "kind", f.Kind.String()), '}')
	return &protocol.CallToolResult{
		IsError: true, RawStructuredContent: dst, Content: []protocol.Content{textContent(problem)},
	}
}
