package msb

import (
	"fmt"

	protocol "github.com/mark3labs/mcp-go/mcp"
)

// A tool is a method as models see it.
type tool struct{ name, method, description, schema string }

// The schema of an optional namespace, which the tools share.
const namespaceSchema = `"namespace":{"type":"string","description":"Namespace of the sandbox; \"default\" if there is none"}`

// tools are those of servers of the v0.2 line, in their words. A namespace need
// not be given.
func tools() []tool {
	return []tool{
		{
			"sandbox_start", "sandbox.start",
			"Start a new sandbox with specified configuration. This creates an isolated environment for code execution. " +
				"IMPORTANT: Always stop the sandbox when done to prevent it from running indefinitely and consuming resources. " +
				"SUPPORTED IMAGES: Only 'microsandbox/python' (for Python code) and 'microsandbox/node' (for Node.js code) are currently supported.",
			`{"type":"object","properties":{"sandbox":{"type":"string","description":"Name of the sandbox to start"},` + namespaceSchema +
				`,"config":{"type":"object","description":"Sandbox configuration","properties":{` +
				`"image":{"type":"string","description":"Docker image to use. Only 'microsandbox/python' and 'microsandbox/node' are supported.",` +
				`"enum":["microsandbox/python","microsandbox/node"]},` +
				`"memory":{"type":"integer","description":"Memory limit in MiB"},"cpus":{"type":"integer","description":"Number of CPUs"},` +
				`"volumes":{"type":"array","items":{"type":"string"},"description":"Volume mounts"},` +
				`"ports":{"type":"array","items":{"type":"string"},"description":"Port mappings"},` +
				`"envs":{"type":"array","items":{"type":"string"},"description":"Environment variables"}}}},"required":["sandbox"]}`,
		},
		{
			"sandbox_stop", "sandbox.stop",
			"Stop a running sandbox and clean up its resources. CRITICAL: Always call this when you're finished with a sandbox " +
				"to prevent resource leaks and indefinite running. Failing to stop sandboxes will cause them to consume system resources unnecessarily.",
			`{"type":"object","properties":{"sandbox":{"type":"string","description":"Name of the sandbox to stop"},` + namespaceSchema +
				`},"required":["sandbox"]}`,
		},
		{
			"sandbox_run_code", "sandbox.repl.run",
			"Execute code in a running sandbox. PREREQUISITES: The target sandbox must be started first using sandbox_start - " +
				"this will fail if the sandbox is not running. TIMING: Code execution is synchronous and may take time depending on complexity. " +
				"Long-running code will block until completion or timeout.",
			`{"type":"object","properties":{"sandbox":{"type":"string","description":"Name of the sandbox (must be already started)"},` + namespaceSchema +
				`,"code":{"type":"string","description":"Code to execute"},` +
				`"language":{"type":"string","description":"Programming language (e.g., 'python', 'nodejs')"}},"required":["sandbox","code","language"]}`,
		},
		{
			"sandbox_run_command", "sandbox.command.run",
			"Execute a command in a running sandbox. PREREQUISITES: The target sandbox must be started first using sandbox_start - " +
				"this will fail if the sandbox is not running. TIMING: Command execution is synchronous and may take time depending on the command complexity. " +
				"Long-running commands will block until completion or timeout.",
			`{"type":"object","properties":{"sandbox":{"type":"string","description":"Name of the sandbox (must be already started)"},` + namespaceSchema +
				`,"command":{"type":"string","description":"Command to execute"},` +
				`"args":{"type":"array","items":{"type":"string"},"description":"Command arguments"}},"required":["sandbox","command"]}`,
		},
		{
			"sandbox_get_metrics", "sandbox.metrics.get",
			"Get metrics and status for sandboxes including CPU usage, memory consumption, and running state. " +
				"This tool can check the status of any sandbox regardless of whether it's running or not",
			`{"type":"object","properties":{"sandbox":{"type":"string","description":"Optional specific sandbox name to get metrics for"},` + namespaceSchema + `}}`,
		},
	}
}

// A prompt asks a model to start a sandbox.
type prompt struct{ name, description, image, usual, title, purpose string }

// prompts are those of servers of the v0.2 line.
func prompts() []prompt {
	return []prompt{
		{
			"create_python_sandbox", "Create a Python development sandbox", "microsandbox/python", "python-sandbox",
			"Python", "Python development environment ready for code execution",
		},
		{
			"create_node_sandbox", "Create a Node.js development sandbox", "microsandbox/node", "node-sandbox",
			"Node.js", "Node.js development environment ready for JavaScript execution",
		},
	}
}

// get is a prompt for a sandbox of a name.
func (p *prompt) get(name string) *protocol.GetPromptResult {
	if name == "" {
		name = p.usual
	}
	text := fmt.Sprintf("Create a %s sandbox named '%s' using the sandbox_start tool with the following configuration:\n\n"+
		"- Image: %s\n- Memory: 512 MiB\n- CPUs: 1\n- Working directory: /workspace\n\nThis will set up a %s.", p.title, name, p.image, p.purpose)
	return protocol.NewGetPromptResult(p.description, []protocol.PromptMessage{
		protocol.NewPromptMessage(protocol.RoleUser, protocol.NewTextContent(text)),
	})
}
