package msb

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// languages are the names that clients have for them.
var languages = map[string]sandbox.Language{ //nolint:gochecknoglobals // a table
	"python": sandbox.Python, "node": sandbox.Node, "nodejs": sandbox.Node, "javascript": sandbox.Node,
	"bash": sandbox.Bash, "sh": sandbox.Bash, "shell": sandbox.Bash,
}

// A codeResult is the result of sandbox.repl.run. Status is always "success", as
// clients know it: that code has failed shows in the output.
type codeResult struct {
	Status    string `json:"status"`
	Language  string `json:"language"`
	Output    []line `json:"output"`
	Truncated bool   `json:"truncated,omitempty"`
}

// runCode serves sandbox.repl.run.
func (h *Handler) runCode(ctx context.Context, c *call) (any, error) {
	request, err := h.running(ctx, c)
	if err != nil {
		return nil, err
	}
	language, err := h.language(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.params.Code == nil {
		return nil, invalid(textParams, c.method, "missing field `code`")
	}
	answer := &codeResult{Status: "success", Language: language, Output: []line{}}
	request.Code = *c.params.Code
	if len(request.Code) > h.options.MaxCode {
		return nil, invalid("the code has %d bytes, and %d are the most", len(request.Code), h.options.MaxCode)
	}
	if strings.TrimSpace(request.Code) == "" {
		return answer, nil
	}
	out := newLines(h.options.MaxOutput)
	request.Follow = out.follow
	result, err := h.sessions.Execute(ctx, request)
	if err != nil {
		return nil, err
	}
	answer.Output = out.close()
	answer.Truncated = out.truncated || result.Exit.Dropped > 0
	answer.Output = append(answer.Output, endOf(&result, request.Timeout)...)
	return answer, nil
}

// endOf are the lines that say why code did not come to its end.
func endOf(result *sandbox.ExecResult, timeout time.Duration) []line {
	f := fault.OfExit(result.Exit, &fault.Call{})
	switch {
	case f == nil:
		return nil
	case result.Exit.Cause != sandbox.CauseWallTimeout:
		return []line{{"stderr", "Error: " + f.Message}}
	}
	end := []line{{"stderr", fmt.Sprintf(textTimeout, int64(timeout/time.Second))}}
	if result.Exit.StateLost {
		end = append(end, line{"stderr", "Error: the variables of the sandbox are lost"})
	}
	return end
}

// language checks that a sandbox runs the language that is asked for, and
// returns its name as it was sent.
func (h *Handler) language(ctx context.Context, c *call) (string, error) {
	if c.params.Language == nil {
		return "", invalid(textParams, c.method, "missing field `language`")
	}
	sent := *c.params.Language
	wanted, ok := languages[strings.ToLower(sent)]
	if !ok {
		return "", invalid("language %q is not known; use python, node or bash", clip(sent))
	}
	s, err := h.sessions.Find(ctx, c.place().ref())
	if err != nil {
		return "", notRunning(c, err)
	}
	if s.Template.Language != wanted {
		return "", invalid("Sandbox '%s' runs %s, and not %s; start another one with an image for it", c.params.name(), s.Template.Language, clip(sent))
	}
	return sent, nil
}

// running is the beginning of a request to a sandbox that runs. One that does
// not is never made in passing.
func (h *Handler) running(ctx context.Context, c *call) (sandbox.ExecRequest, error) {
	var request sandbox.ExecRequest
	p := c.place()
	if _, err := h.sessions.Find(ctx, p.ref()); err != nil {
		return request, notRunning(c, err)
	}
	known, _ := h.registry.get(p)
	request.SessionRequest = sandbox.SessionRequest{Owner: ownerOf(p.space), Session: p.name}
	if known.Image != "" { // should it end this very moment, the next one is as it was
		request.SessionRequest = h.sessionRequest(p, &known)
	}
	timeout, refused := h.timeout(c)
	if refused != nil {
		return request, refused
	}
	request.Timeout = timeout
	return request, nil
}

// notRunning says of a sandbox that is not there how it came to that, if it is
// known.
func notRunning(c *call, err error) error {
	if sandbox.KindOf(err) != sandbox.NotFound {
		return err
	}
	return &refusal{
		status: http.StatusNotFound, code: codeNotFound, kind: sandbox.NotFound, remedy: "start it with sandbox.start",
		text: fmt.Sprintf("Sandbox '%s' is not running in the namespace '%s'", c.params.name(), c.params.space()),
	}
}

// timeout is how long a call's work may run.
func (h *Handler) timeout(c *call) (time.Duration, *refusal) {
	if c.params.Timeout == nil {
		return h.options.DefaultTimeout, nil
	}
	most := int64(h.options.MaxTimeout / time.Second)
	seconds, err := strconv.ParseInt(c.params.Timeout.String(), 10, 64)
	if err != nil || seconds < 1 || seconds > most {
		return 0, invalid("timeout must be a whole number of seconds from 1 to %d, got %s", most, clip(c.params.Timeout.String()))
	}
	return time.Duration(seconds) * time.Second, nil
}

// A commandResult is the result of sandbox.command.run. Cause is ours: why a
// command was ended that did not end by itself.
type commandResult struct {
	Command   string        `json:"command"`
	Args      []string      `json:"args"`
	ExitCode  int           `json:"exit_code"`
	Success   bool          `json:"success"`
	Output    []line        `json:"output"`
	Cause     sandbox.Cause `json:"cause,omitempty"`
	Truncated bool          `json:"truncated,omitempty"`
}

// runCommand serves sandbox.command.run. What a command leaves behind goes on,
// as in a machine of its own; the command ends with its caller.
func (h *Handler) runCommand(ctx context.Context, c *call) (any, error) {
	request, err := h.running(ctx, c)
	if err != nil {
		return nil, err
	}
	if deref(c.params.Command) == "" {
		return nil, invalid(textParams, c.method, "missing field `command`")
	}
	answer := &commandResult{Command: *c.params.Command, Args: c.params.Args}
	if answer.Args == nil {
		answer.Args = []string{}
	}
	request.Argv = h.argv(c)
	request.Background = true
	out := newLines(h.options.MaxOutput)
	request.Follow = out.follow
	result, err := h.executeBound(ctx, request)
	if err != nil {
		return nil, err
	}
	answer.ExitCode, answer.Output, answer.Cause = result.Exit.Code, out.close(), result.Exit.Cause
	answer.Success = answer.ExitCode == 0 && answer.Cause == sandbox.CauseNone
	answer.Truncated = out.truncated || result.Exit.Dropped > 0
	if answer.Cause == sandbox.CauseWallTimeout {
		f := fault.OfExit(result.Exit, &fault.Call{Command: answer.Command, Timeout: request.Timeout})
		return nil, &refusal{
			status: http.StatusInternalServerError, code: codeInternal, text: textInternal,
			reason: f.Message, remedy: f.Remedy, kind: sandbox.Timeout, output: answer.Output,
		}
	}
	if why := unspawned(request.Argv[0], answer); why != "" {
		r := internal(why, "check the command and its path")
		r.kind = sandbox.Invalid
		return nil, r
	}
	return answer, nil
}

// argv is what a command runs. The name of a script of the sandbox's config is
// that script.
func (h *Handler) argv(c *call) []string {
	command := *c.params.Command
	known, _ := h.registry.get(c.place())
	if _, ok := known.Scripts[command]; ok {
		return append([]string{known.shell(), scriptDir + "/" + command}, c.params.Args...)
	}
	return append([]string{command}, c.params.Args...)
}

// unspawned is why a program could not be started, or "": our agent says so as
// shells do, in a line of its own.
func unspawned(program string, r *commandResult) string {
	if r.ExitCode != 126 && r.ExitCode != 127 || len(r.Output) != 1 || r.Output[0].Stream != "stderr" {
		return ""
	}
	text := r.Output[0].Text
	if text == program+": command not found" || strings.HasPrefix(text, program+": cannot be executed: ") {
		return text
	}
	return ""
}

// killTime is how long the end of a command may take whose caller has gone.
const killTime = 10 * time.Second

// executeBound runs a command that goes on by itself, and ends it when its
// caller goes.
func (h *Handler) executeBound(ctx context.Context, request sandbox.ExecRequest) (sandbox.ExecResult, error) {
	var id sandbox.ExecID
	request.Accepted = func(_ sandbox.Session, accepted sandbox.ExecID) { id = accepted }
	result, err := h.sessions.Execute(ctx, request)
	if ctx.Err() == nil || id == "" {
		return result, err
	}
	kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	if failed := h.sessions.Signal(kill, request.Owner, id, sandbox.Kill); failed != nil && sandbox.KindOf(failed) != sandbox.NotFound {
		h.options.Logger.WarnContext(ctx, "a command whose caller has gone is not ended", "exec", id, "err", failed)
	}
	return result, err
}
