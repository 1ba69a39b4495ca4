package mcp

import (
	"encoding/json"

	protocol "github.com/mark3labs/mcp-go/mcp"

	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// guideTools returns the contract's tools/list result. Its bytes are fixed, but
// for the default flavor, which is the operator's.
func guideTools(flavor string) []byte {
	common := `"template":{"type":"string","description":"Sandbox template","enum":["python","node"],"default":"python"},` +
		`"session_id":{"type":"string","description":"Optional session ID for session reuse"},` +
		`"flavor":{"type":"string","enum":["small","medium","large"],"default":` + quoted(flavor) +
		`,"description":"Resource configuration for the sandbox"},` +
		`"timeout":{"type":"integer","description":"Optional execution timeout in seconds","minimum":1,"maximum":300}`
	return []byte(`{"tools":[` +
		guideToolEntry(executeCode, "Execute code in a sandbox with automatic session management",
			`"code":{"type":"string","description":"Code to execute"},`+common, `["code"]`) + `,` +
		guideToolEntry(executeCommand, "Execute a command in a sandbox with automatic session management",
			`"command":{"type":"string","description":"Command to execute"},`+
				`"args":{"type":"array","items":{"type":"string"},"description":"Optional command arguments"},`+common, `["command"]`) + `,` +
		guideToolEntry(getSessions, "Get information about active sandbox sessions",
			`"session_id":{"type":"string","description":"Optional specific session ID to query"}`, `[]`) + `,` +
		guideToolEntry(stopSession, "Stop a specific sandbox session and clean up its resources",
			`"session_id":{"type":"string","description":"ID of the session to stop"}`, `["session_id"]`) + `,` +
		guideToolEntry(getVolumePath, "Get configured volume mappings between host and container paths", ``, `[]`) +
		`]}`)
}

func guideToolEntry(name, description, properties, required string) string {
	return `{"name":"` + name + `","description":"` + description + `","inputSchema":{"type":"object","properties":{` +
		properties + `},"required":` + required + `}}`
}

func quoted(s string) string { return string(plainjson.AppendString(nil, s)) }

// coreTools are the tools as handshake clients see them: with the templates and
// the bounds that are really accepted, with what comes back, and with hints.
func (o Options) coreTools() []protocol.Tool {
	common := `"template":{"type":"string","description":"What the sandbox is made of, where the call makes the session","enum":` +
		string(plainjson.AppendStrings(nil, o.Templates)) + `,"default":` + quoted(o.DefaultTemplate) + `},` +
		`"session_id":{"type":"string","description":"Session to run in; variables and files stay between calls. ` +
		`An unknown name makes a session of that name; none makes one with a name of its own"},` +
		`"flavor":{"type":"string","description":"How much the sandbox may use, where the call makes the session","enum":` +
		string(plainjson.AppendStrings(nil, o.Flavors)) + `,"default":` + quoted(o.DefaultFlavor) + `},` +
		`"timeout":{"type":"integer","description":"Seconds that the run may take","minimum":1,"maximum":` +
		seconds(o.MaxTimeout) + `,"default":` + seconds(o.DefaultTimeout) + `},` +
		`"working_directory":{"type":"string","description":"Folder that a command runs in; of code, the folder of the session that the call makes"},` +
		`"background":{"type":"boolean","description":"Answer at once with the execution_id, and let it run","default":false},` +
		`"idempotency_key":{"type":"string","description":"A call with the same key in the same session does not run again: it gets the same result","maxLength":200}`
	run := hints{destructive: true}
	stays := "A run of more than " + seconds(o.SoftLimit) + " s goes on behind an answer that says so; get_execution has the rest."
	return append([]protocol.Tool{
		tool(executeCode, "Run code in a sandbox. The kernel keeps its variables for the next call in the same session. "+
			"Sessions end when they are stopped, unused for too long, or evicted for room. "+stays,
			object(`"code":{"type":"string","description":"Code to run"},`+common, `"code"`), runSchema(), run),
		tool(executeCommand, "Run a command in a sandbox: with args as that program with these arguments, without as a line of sh. "+
			"Commands of one session share its files and run side by side. "+stays,
			object(`"command":{"type":"string","description":"Command to run"},`+
				`"args":{"type":"array","items":{"type":"string"},"description":"Arguments; without them the command is a line of sh"},`+
				`"env":{"type":"object","additionalProperties":{"type":"string"},"description":"Environment variables, beside those of the sandbox"},`+
				`"stdin":{"type":"boolean","description":"Keep stdin open for send_input","default":false},`+
				common, `"command"`), runSchema(), run),
		tool(getSessions, "List the sessions that are there, or tell of one.",
			object(`"session_id":{"type":"string","description":"Session to tell of; without it, all"}`, ``),
			either(`"sessions":{"type":"array","items":{"type":"object"}}`, `"sessions"`), hints{readOnly: true, idempotent: true}),
		tool(stopSession, "Stop a session: its sandbox, variables and files are gone.",
			object(`"session_id":{"type":"string","description":"Session to stop"}`, `"session_id"`),
			either(`"success":{"type":"boolean"},"session_id":{"type":"string"}`, `"success","session_id"`),
			hints{destructive: true, idempotent: true}),
		tool(getVolumePath, "List the folders of the host that sandboxes see.",
			object(``, ``), either(`"volume_mappings":{"type":"array","items":{"type":"object"}}`, `"volume_mappings"`),
			hints{readOnly: true, idempotent: true}),
	}, append(o.executionTools(), fileTools()...)...)
}

// hints say what a tool does to its world. Sandboxes have no network, so no
// tool reaches beyond it.
type hints struct{ readOnly, destructive, idempotent bool }

func tool(name, description, input, output string, h hints) protocol.Tool {
	t := protocol.NewToolWithRawSchema(name, description, json.RawMessage(input))
	t.RawOutputSchema = json.RawMessage(output)
	openWorld := false
	t.Annotations = protocol.ToolAnnotation{
		ReadOnlyHint: &h.readOnly, DestructiveHint: &h.destructive, IdempotentHint: &h.idempotent, OpenWorldHint: &openWorld,
	}
	return t
}

func object(properties, required string) string {
	return `{"type":"object","properties":{` + properties + `},"required":[` + required + `]}`
}

// either is the schema of a tool's structured result, or of an error in its
// place: some clients check it against the schema also when isError is set.
func either(properties, required string) string {
	return `{"type":"object","properties":{` + properties + `,` +
		`"message":{"type":"string","description":"What went wrong, when isError is set"},` +
		`"kind":{"type":"string"},"remedy":{"type":"string"},"error_code":{"type":"string"},"category":{"type":"string"},` +
		`"severity":{"type":"string"},"recovery_suggestions":{"type":"array","items":{"type":"string"}},` +
		`"context":{"type":"object"}},"anyOf":[{"required":[` + required + `]},{"required":["message"]}]}`
}

func runSchema() string {
	return either(`"session_id":{"type":"string"},"execution_id":{"type":"string"},`+
		`"status":{"type":"string","description":"running or queued: it goes on, and get_execution has the rest"},`+
		`"output":{"type":"string","description":"Of a run that goes on: stdout and stderr so far, or its two ends"},`+
		`"stdout":{"type":"string"},"stderr":{"type":"string"},`+exitMembers+
		`"truncated":{"type":"boolean"},"cursor":{"type":"integer","description":"Where get_execution goes on"},`+
		`"omitted_bytes":{"type":"integer","description":"Output that is kept and not in here"},`+
		`"waited_ms":{"type":"integer"},"template":{"type":"string"},"flavor":{"type":"string"},`+
		`"capped":{"type":"string","description":"What the host could not give of the flavor"},`+
		`"session_created":{"type":"boolean"},"replayed":{"type":"boolean","description":"An earlier call with this idempotency_key ran it"},`+
		`"previous":{"type":"object","description":"The session of this name that ended before"},`+
		`"hint":{"type":"string"},"unenforced":{"type":"array","items":{"type":"string"}},`+
		`"rich":{"type":"array","items":{"type":"object"}}`,
		`"session_id","execution_id","status"`)
}

// exitMembers tell how a run has ended, each with its comma.
const exitMembers = `"exit_code":{"type":"integer"},"success":{"type":"boolean"},` +
	`"duration_ms":{"type":"integer"},"cpu_ms":{"type":"integer"},"peak_memory_bytes":{"type":"integer"},` +
	`"dropped_bytes":{"type":"integer","description":"Output beyond the limit, which is lost"},` +
	`"result":{"type":"string","description":"The value of the last expression"},` +
	`"failure":{"type":"object","description":"The error that the code did not catch"},` +
	`"cause":{"type":"string","description":"Why it was ended"},"evidence":{"type":"string"},` +
	`"state_lost":{"type":"boolean","description":"The variables of the session are gone"},`
