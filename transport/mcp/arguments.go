package mcp

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// The tools, by the names that clients use.
const (
	executeCode    = "execute_code"
	executeCommand = "execute_command"
	getSessions    = "get_sessions"
	stopSession    = "stop_session"
	getVolumePath  = "get_volume_path"

	getExecution    = "get_execution" // this and what follows is beyond the contract
	sendInput       = "send_input"
	cancelExecution = "cancel_execution"
	readFile        = "read_file"
	writeFile       = "write_file"
	listFiles       = "list_files"

	getVolumeMappings = "get_volume_mappings" // getVolumePath, in another dialect
)

// ToolNames returns the names of the contract's tools, in its order. They are
// what the guide's clients are shown, who may call the others too.
func ToolNames() []string {
	return []string{executeCode, executeCommand, getSessions, stopSession, getVolumePath}
}

// toolNamed returns the tool of that name or alias, and "" for none.
func toolNamed(name string) string {
	switch name {
	case executeCode, executeCommand, getSessions, stopSession, getVolumePath,
		getExecution, sendInput, cancelExecution, readFile, writeFile, listFiles:
		return name
	case getVolumeMappings:
		return getVolumePath
	}
	return ""
}

// An operation is a tool call whose arguments are good.
type operation struct {
	tool     string
	session  string // of get_sessions and stop_session too; empty when not given
	template string
	flavor   string
	code     string
	command  string
	args     []string
	timeout  time.Duration // zero when not given
	usage    bool          // of get_sessions: with what each session uses

	key        string   // idempotency key
	dir        string   // working directory of the run
	vars       []string // environment of a command, "K=V"
	background bool     // it is answered at once
	stdin      bool     // of a command: stays open for send_input

	execution sandbox.ExecID // of get_execution, send_input and cancel_execution
	look      look           // of get_execution
	input     input          // of send_input
	signal    sandbox.Signal // of cancel_execution
	file      file           // of the tools for files

	wrapped  bool          // arguments inside of params, as the original's last version has them
	detached bool          // the run goes on when the call ends
	patience time.Duration // how long the client waits for the run; 0 is to its end
}

// rules are what arguments are checked against.
type rules struct {
	templates     []string // that can be asked for
	flavors       []string
	templatesSaid string // as the refusal lists them
	flavorsSaid   string
	maxCode       int
	maxTimeout    int64 // seconds
	maxWait       int64 // seconds that get_execution may wait
	lenient       bool  // null is as good as not given, where that is allowed
}

// unwrapped returns the arguments inside {"params":{…}}, which is how clients
// of the original's last version send them.
func unwrapped(arguments []byte) (inner []byte, wrapped bool) {
	if !isObject(arguments) {
		return arguments, false
	}
	count := 0
	for key, value := range members(arguments) {
		count++
		if is(key, "params") && isObject(value) {
			inner = value
		}
	}
	if count == 1 && inner != nil {
		return inner, true
	}
	return arguments, false
}

// parse checks arguments in the order of the contract: what is required first,
// then each argument as it was sent. The problem is empty when all is well.
func (r *rules) parse(tool string, arguments []byte) (op operation, problem string) {
	op.tool = tool
	if arguments == nil {
		arguments = []byte("{}")
	}
	arguments, op.wrapped = unwrapped(arguments)
	lenient := r.lenient || op.wrapped
	needed := required(tool)
	for _, name := range needed {
		if !has(arguments, name) {
			return op, "Missing required parameter: " + name
		}
	}
	for key, value := range members(arguments) {
		name, _ := text(key)
		if isNull(value) && (lenient || isNew(tool, name)) && !slices.Contains(needed, name) {
			continue
		}
		if problem := r.set(&op, name, value); problem != "" {
			return op, problem
		}
	}
	return op, op.lacks()
}

// required names the arguments that a tool cannot do without.
func required(tool string) []string {
	switch tool {
	case executeCode:
		return []string{"code"}
	case executeCommand:
		return []string{"command"}
	case stopSession, listFiles:
		return []string{"session_id"}
	case sendInput, cancelExecution:
		return []string{"execution_id"}
	case readFile:
		return []string{"session_id", "path"}
	case writeFile:
		return []string{"session_id", "path", "content"}
	}
	return nil
}

func has(object []byte, name string) bool {
	for key := range members(object) {
		if is(key, name) {
			return true
		}
	}
	return false
}

// set checks one argument and keeps it. Arguments that a tool does not know are
// ignored.
func (r *rules) set(op *operation, name string, value []byte) (problem string) {
	if isNew(op.tool, name) {
		return r.setNew(op, name, value)
	}
	executes := op.tool == executeCode || op.tool == executeCommand
	switch {
	case name == "session_id" && op.tool != getVolumePath:
		return setText(&op.session, name, value)
	case name == "code" && op.tool == executeCode:
		return r.setLong(&op.code, name, value)
	case name == "command" && op.tool == executeCommand:
		if problem := r.setLong(&op.command, name, value); problem != "" {
			return problem
		}
		if op.command == "" {
			return "Parameter 'command' must not be empty"
		}
	case name == "args" && op.tool == executeCommand:
		return r.setArgs(op, value)
	case name == "template" && executes:
		return setChoice(&op.template, name, value, r.templates, r.templatesSaid)
	case name == "flavor" && executes:
		return setChoice(&op.flavor, name, value, r.flavors, r.flavorsSaid)
	case name == "timeout" && executes:
		return r.setTimeout(op, value)
	}
	return ""
}

func setText(to *string, name string, value []byte) (problem string) {
	s, ok := text(value)
	if !ok {
		return "Parameter '" + name + "' must be a string"
	}
	*to = s
	return ""
}

func (r *rules) setLong(to *string, name string, value []byte) (problem string) {
	if problem := setText(to, name, value); problem != "" {
		return problem
	}
	if len(*to) > r.maxCode {
		return "Parameter '" + name + "' must be at most " + strconv.Itoa(r.maxCode) +
			" bytes, got " + strconv.Itoa(len(*to)) + "; write it to a file in the sandbox in pieces instead"
	}
	return ""
}

func (r *rules) setArgs(op *operation, value []byte) (problem string) {
	if !isArray(value) {
		return "Parameter 'args' must be an array"
	}
	op.args = nil
	for item := range elements(value) {
		s, ok := text(item)
		if !ok {
			return "Parameter 'args' must be an array of strings"
		}
		op.args = append(op.args, s)
	}
	if len(value) > r.maxCode {
		return "Parameter 'args' must be at most " + strconv.Itoa(r.maxCode) + " bytes"
	}
	return ""
}

func setChoice(to *string, name string, value []byte, from []string, said string) (problem string) {
	if len(value) == 0 || value[0] != '"' {
		return "Parameter '" + name + "' must be a string"
	}
	for _, choice := range from { // their strings are there already
		if is(value, choice) {
			*to = choice
			return ""
		}
	}
	return "Parameter '" + name + "' must be one of: " + said
}

// setTimeout takes integers and, as the original did, true and false for 1
// and 0.
func (r *rules) setTimeout(op *operation, value []byte) (problem string) {
	var n int64
	switch {
	case string(value) == "true":
		n = 1
	case string(value) == "false":
	case value[0] != '-' && (value[0] < '0' || value[0] > '9'), bytes.ContainsAny(value, ".eE"):
		return "Parameter 'timeout' must be an integer"
	default:
		var err error
		if n, err = strconv.ParseInt(string(value), 10, 64); err != nil { // it is out of range
			n = r.maxTimeout + 1
			if value[0] == '-' {
				n = 0
			}
		}
	}
	switch {
	case n < 1:
		return "Parameter 'timeout' must be >= 1"
	case n > r.maxTimeout:
		return "Parameter 'timeout' must be <= " + strconv.FormatInt(r.maxTimeout, 10)
	}
	op.timeout = time.Duration(n) * time.Second
	return ""
}

// request is what the operation asks of the sessions.
func (op *operation) request() sandbox.ExecRequest {
	r := sandbox.ExecRequest{
		SessionRequest: sandbox.SessionRequest{Session: op.session, Template: op.template, Flavor: op.flavor},
		Timeout:        op.timeout,
		Dir:            op.dir, Vars: op.vars, Key: op.key, Background: op.background, Stdin: op.stdin,
		Detached: op.detached, Patience: op.patience,
	}
	if op.tool == executeCode { // a kernel has the folder that it began in
		r.SessionRequest.Dir = op.dir
	}
	switch {
	case op.tool == executeCode && op.code == "":
		r.Code = "\n" // an empty cell is code too
	case op.tool == executeCode:
		r.Code = op.code
	case len(op.args) > 0:
		r.Argv = append([]string{op.command}, op.args...)
	default:
		r.Argv = []string{"sh", "-c", op.command}
	}
	return r
}

// call is what a fault has to know of the operation.
func (op *operation) call() *fault.Call {
	c := &fault.Call{
		Command: op.command, Session: op.session, Template: op.template, Flavor: op.flavor, Timeout: op.timeout,
		Execution: string(op.execution), Path: op.file.path,
	}
	if op.tool == executeCode {
		c.Code = op.request().Code
	}
	return c
}
