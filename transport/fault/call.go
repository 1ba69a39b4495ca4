package fault

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Call is what a client asked for, as far as the words of a fault need it.
type Call struct {
	Code     string // of execute_code
	Command  string // of execute_command
	Session  string
	Template string
	Flavor   string
	Timeout  time.Duration

	Execution string // that is asked for, where one is
	Path      string // of the file that is asked for, where the session is there
	Within    bool   // it needs a session that is there
}

// snippet is the contract's excerpt of code: its first 200 characters.
func (c *Call) snippet() string {
	n := 0
	for i := range c.Code {
		if n == 200 {
			return c.Code[:i] + "..."
		}
		n++
	}
	return c.Code
}

// Of returns what a client is told of an error. The call may be nil, where
// nothing was to be run.
func Of(err error, c *Call) *Fault {
	e, ok := errors.AsType[*sandbox.Error](err)
	if !ok {
		e = &sandbox.Error{Kind: sandbox.KindOf(err)}
	}
	if c == nil {
		c = &Call{Session: e.ID}
	}
	f := ofKind(e, c)
	f.Kind = e.Kind
	if e.Remedy != "" {
		f.Remedy = e.Remedy
	}
	if f.Remedy != "" && f.Data != nil && !f.exact {
		f.Data.Suggestions = append([]string{f.Remedy}, f.Data.Suggestions...)
	}
	return f
}

func ofKind(e *sandbox.Error, c *Call) *Fault {
	switch e.Kind {
	case sandbox.Invalid:
		return Invalid("Invalid parameters: " + said(e, "the request is wrong"))
	case sandbox.Unsupported:
		return &Fault{
			Status: http.StatusNotImplemented, Code: Internal,
			Message: "Configuration error: " + said(e, "this server cannot do it"),
			Data:    data("CONFIGURATION_ERROR", "configuration", "high", "configuration"),
		}
	case sandbox.NotFound:
		return c.missing()
	case sandbox.Exhausted:
		return exhausted(e, c)
	case sandbox.Timeout:
		return c.ended(http.StatusGatewayTimeout, "timeout", said(e, "No answer came in time"))
	case sandbox.Canceled:
		return c.ended(499, "canceled", said(e, "The request was canceled"))
	case sandbox.Stopped:
		return stopped(e, c)
	case sandbox.Unavailable:
		return unavailable(e, c)
	case sandbox.Conflict:
		return c.conflict(e)
	case sandbox.NoSpace:
		return &Fault{
			Status: http.StatusInsufficientStorage, Code: Internal, Message: "No space: " + said(e, "the server's disk is full"),
			Remedy: "Stop sessions that are not needed, or try again later",
			Data:   data("RESOURCE_LIMIT_ERROR", "resource", "high", "disk", text("resource_type", "disk")),
		}
	case sandbox.Other:
	}
	return &Fault{Status: http.StatusInternalServerError, Code: Internal, Message: "Internal server error"}
}

// missing is the fault of something that is not there.
func (c *Call) missing() *Fault {
	f := &Fault{Status: http.StatusNotFound, Code: InvalidParams}
	switch {
	case c.Path != "":
		f.Message = "File not found: " + c.Path
		f.Remedy = "List the files to see what is there"
		f.Data = data("FILE_NOT_FOUND_ERROR", "file", "low", "file", text("path", c.Path), text("session_id", c.Session))
	case c.Execution != "":
		f.Message = "Execution not found: " + c.Execution
		f.Remedy = "List the executions of the session; old ones are not kept"
		f.Data = data("EXECUTION_NOT_FOUND_ERROR", "execution", "low", "execution", text("execution_id", c.Execution))
	default:
		f.Message = "Session not found: " + c.Session
		f.Data = data("SESSION_NOT_FOUND_ERROR", "session", "low", "session", text("session_id", c.Session))
		if c.Within {
			f.Remedy = "Run something in it first with execute_code or execute_command, which makes the session"
		}
	}
	return f
}

// conflict is the fault of a request that contradicts what was there before: a
// file that must not be there, or an idempotency key of another request.
func (c *Call) conflict(e *sandbox.Error) *Fault {
	f := &Fault{
		Status: http.StatusConflict, Code: InvalidParams, Message: "Conflict: " + said(e, "it contradicts an earlier request"),
		Remedy: "Use another idempotency_key, or send the request as it was sent first",
		Data:   data("CONFLICT_ERROR", "request", "low", "conflict", text("session_id", c.Session)),
	}
	switch {
	case c.Path != "":
		f.Remedy, f.Data.Context = "Use another path", []Member{text("path", c.Path), text("session_id", c.Session)}
	case c.Execution != "":
		f.Remedy, f.Data.Context = "Ask for the execution with get_execution, then try again", []Member{text("execution_id", c.Execution)}
	}
	return f
}

// said is what an error says to the client, or else the given text.
func said(e *sandbox.Error, otherwise string) string {
	if e.Detail != "" {
		return e.Detail
	}
	return otherwise
}

func exhausted(e *sandbox.Error, c *Call) *Fault {
	f := &Fault{Status: http.StatusTooManyRequests, Code: InvalidRequest}
	if e.Limit == nil {
		what := said(e, "Resource limits would be exceeded for flavor "+c.Flavor)
		f.Message = "Resource limit exceeded: " + what
		f.Data = data("RESOURCE_LIMIT_ERROR", "resource", "high", "", text("resource_type", "general"))
		return f
	}
	l := e.Limit
	current, limit := strconv.FormatInt(l.Current, 10)+l.Unit, strconv.FormatInt(l.Max, 10)+l.Unit
	f.Message = "Resource limit exceeded: " + title(l.Resource) + " limit exceeded: " + current + " >= " + limit
	members := []Member{text("resource_type", l.Resource), number("current_usage", l.Current), number("limit", l.Max)}
	if l.Resource == "sessions" || l.Resource == "memory" || l.Resource == "cpu" { // what the original had limits of
		f.exact, f.More = true, e.Detail
	}
	if l.Unit != "" { // the contract has numbers with a unit as strings
		members[1], members[2] = text("current_usage", current), text("limit", limit)
	}
	f.Data = data("RESOURCE_LIMIT_ERROR", "resource", "high", l.Resource, members...)
	return f
}

// title makes "host_memory" into "Host memory".
func title(resource string) string {
	if resource == "" {
		return "Unknown"
	}
	spaced := strings.ReplaceAll(resource, "_", " ")
	return strings.ToUpper(spaced[:1]) + spaced[1:]
}

func stopped(e *sandbox.Error, c *Call) *Fault {
	if e.Cause == sandbox.CauseNone {
		return c.ended(http.StatusConflict, "stopped", said(e, "The session ended before the work was done"))
	}
	what, remedy := words(e.Cause)
	f := c.ended(http.StatusConflict, string(e.Cause), "It did not finish: "+what)
	f.Cause, f.Evidence = e.Cause, e.Detail
	if e.Detail != "" {
		f.Message += " (" + e.Detail + ")"
	}
	f.Remedy = remedy
	return f
}

func unavailable(e *sandbox.Error, c *Call) *Fault {
	what := "Failed to create a sandbox: "
	if c.Template != "" {
		what = "Failed to create " + c.Template + " sandbox (" + c.Flavor + "): "
	}
	what += said(e, "sandboxes cannot be made here now")
	if e.Remedy != "" { // many who see this can do what it says, and see nothing else
		what += "; " + e.Remedy
	}
	return &Fault{
		Status: http.StatusServiceUnavailable, Code: Internal, Message: "Sandbox creation failed: " + what,
		Data: data("SANDBOX_CREATION_ERROR", "resource", "high", "creation",
			text("template", c.Template), text("flavor", c.Flavor)),
	}
}

// OfExit returns what a client is told of an execution that was ended, and nil
// of one that ended by itself.
func OfExit(x sandbox.Exit, c *Call) *Fault {
	if x.Cause == sandbox.CauseNone {
		return nil
	}
	f := c.exit(x)
	f.Cause, f.Evidence = x.Cause, x.Evidence
	if x.StateLost && x.Cause != sandbox.CauseWallTimeout { // whose text the contract fixes
		f.Message += "; the variables of the session are lost"
	}
	return f
}

func (c *Call) exit(x sandbox.Exit) *Fault {
	what, remedy := words(x.Cause)
	switch {
	case x.Cause == sandbox.CauseWallTimeout && c.Command != "":
		f := c.ended(http.StatusOK, "timeout", "Command execution timed out after "+seconds(c.Timeout)+" seconds")
		f.Kind, f.Remedy = sandbox.Timeout, remedy
		return f
	case x.Cause == sandbox.CauseWallTimeout:
		f := c.ended(http.StatusOK, "timeout", "Code execution timed out")
		f.Kind, f.Remedy = sandbox.Timeout, remedy
		return f
	}
	if x.Evidence != "" {
		what += " (" + x.Evidence + ")"
	}
	f := c.ended(http.StatusOK, string(x.Cause), "It did not finish: "+what)
	f.Kind = sandbox.Stopped
	if x.Cause == sandbox.CauseOOM {
		f.Data.Suggestions = suggestions("memory")
	}
	return f.advise(remedy)
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

// advise puts a remedy before the contract's suggestions.
func (f *Fault) advise(remedy string) *Fault {
	f.Remedy = remedy
	if f.Data != nil {
		f.Data.Suggestions = append([]string{remedy}, f.Data.Suggestions...)
	}
	return f
}

// ended is the fault of work that was begun or waited for, and not done.
func (c *Call) ended(status int, errorType, what string) *Fault {
	topic := "code"
	if c.Command != "" {
		topic = "command"
	}
	if errorType == "timeout" {
		topic += " timeout"
	}
	switch {
	case c.Command != "":
		return &Fault{
			Status: status, Code: Internal, Message: "Command execution failed: " + what,
			Data: data("COMMAND_EXECUTION_ERROR", "execution", "medium", topic,
				text("command", c.Command), text("session_id", c.Session)),
		}
	case c.Code != "":
		return &Fault{
			Status: status, Code: Internal, Message: "Code execution failed: " + what,
			Data: data("CODE_EXECUTION_ERROR", "execution", "medium", topic,
				text("error_type", errorType), text("session_id", c.Session), text("code_snippet", c.snippet())),
		}
	}
	return &Fault{
		Status: status, Code: Internal, Message: "Wrapper error: " + what,
		Data: data("MICROSANDBOX_WRAPPER_ERROR", "system", "medium", "", text("session_id", c.Session)),
	}
}

func data(code, category, severity, topic string, context ...Member) *Data {
	return &Data{ErrorCode: code, Category: category, Severity: severity, Suggestions: suggestions(topic), Context: context}
}

func text(name, value string) Member { return Member{Name: name, Text: value} }

func number(name string, value int64) Member { return Member{Name: name, Number: value, Plain: true} }
