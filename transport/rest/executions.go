package rest

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// maxWait bounds what a request may wait. A longer wait is cut.
const maxWait = 60 * time.Second

func (h *Handler) executionRoutes() {
	tags := []string{"executions"}
	const about = "Send either code, for the session's interpreter, or command. A command without args is a line for sh. " +
		"Without wait the answer is 202 and the record, at once; with wait it is 200 with the output when the end came in time. " +
		"The execution goes on when the client goes away."
	run := func(id, path, summary, description string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: path, Tags: tags, Summary: summary, Description: description,
			DefaultStatus: http.StatusAccepted, Metadata: map[string]any{bodyBytes: h.options.MaxBody},
			Responses: map[string]*huma.Response{"200": {Description: "It has ended, and this is what came of it", Content: answers[execution](h.api)}},
		}
	}
	register(h, run("run-in-session", "/v1/sessions/{name}/executions", "Run code or a command in a session",
		about+" A session that is not there is made."), h.runInSession)
	register(h, run("run", "/v1/executions", "Run code or a command in a session of its own", about), h.runAnywhere)
	register(h, huma.Operation{
		OperationID: "list-executions", Method: http.MethodGet, Path: "/v1/sessions/{name}/executions", Tags: tags,
		Summary: "List executions of a session, the newest first",
	}, h.listExecutions)
	register(h, huma.Operation{
		OperationID: "get-execution", Method: http.MethodGet, Path: "/v1/executions/{id}", Tags: tags,
		Summary: "Show an execution, or wait for it",
	}, h.getExecution)
	register(h, huma.Operation{
		OperationID: "get-result", Method: http.MethodGet, Path: "/v1/executions/{id}/result", Tags: tags,
		Summary:     "Show what came of an execution",
		Description: "The record with stdout, stderr and rich results, as far as they are there now.",
	}, h.getResult)
	register(h, huma.Operation{
		OperationID: "signal-execution", Method: http.MethodPost, Path: "/v1/executions/{id}/signal", Tags: tags,
		Summary:     "Send a signal to an execution",
		Description: "An interrupt lets an interpreter keep its variables. One that has ended is no error.",
	}, h.signal)
	register(h, huma.Operation{
		OperationID: "cancel-execution", Method: http.MethodDelete, Path: "/v1/executions/{id}", Tags: tags,
		Summary: "Interrupt an execution",
	}, h.cancel)
}

// A run is the body of a request for an execution.
type run struct {
	Code       *string           `json:"code,omitempty" doc:"For the interpreter of the session, whose variables stay." example:"print(6 * 7)"`
	Command    *string           `json:"command,omitempty" doc:"A program with args, or a line for sh without them."`
	Args       []string          `json:"args,omitempty" nullable:"false"`
	Dir        string            `json:"working_directory,omitempty" doc:"Of a command."`
	Env        map[string]string `json:"env,omitempty" doc:"Environment variables of a command."`
	Timeout    float64           `json:"timeout,omitempty" minimum:"0" doc:"Seconds that it may run; 0 is the default of the server."`
	Background bool              `json:"background,omitempty" doc:"What it leaves behind may outlive it."`
	Stdin      bool              `json:"stdin,omitempty" doc:"A command's standard input stays open, for PUT …/stdin."`
	Key        string            `json:"idempotency_key,omitempty" maxLength:"256" doc:"However often it is sent with one key, it runs once in a session. The header Idempotency-Key does the same."`
	Wait       float64           `json:"wait,omitempty" minimum:"0" doc:"Seconds to wait for the end; more than 60 are cut." example:"30"`
	Template   string            `json:"template,omitempty" doc:"Of a session that is made."`
	Flavor     string            `json:"flavor,omitempty" doc:"Of a session that is made."`
}

type runInput struct {
	Name string `path:"name" doc:"The session_id." example:"demo"`
	Key  string `header:"Idempotency-Key" maxLength:"256" doc:"As idempotency_key."`
	Body run
}

type runAnywhereInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"256" doc:"As idempotency_key."`
	Body run
}

type runOutput struct {
	Status   int
	Location string `header:"Location" doc:"Where the execution is."`
	Body     execution
}

func (h *Handler) runInSession(ctx context.Context, in *runInput) (*runOutput, error) {
	return h.run(ctx, in.Name, in.Key, &in.Body)
}

func (h *Handler) runAnywhere(ctx context.Context, in *runAnywhereInput) (*runOutput, error) {
	return h.run(ctx, "", in.Key, &in.Body)
}

func (h *Handler) run(ctx context.Context, session, key string, body *run) (*runOutput, error) {
	call := &fault.Call{Session: session, Template: body.Template, Flavor: body.Flavor, Timeout: seconds(body.Timeout)}
	request, err := h.request(session, key, body)
	if err != nil {
		return nil, h.fail(ctx, err, call)
	}
	call.Code = request.Code
	if body.Command != nil {
		call.Command = *body.Command
	}
	request.Owner = door.Principal(ctx)
	wait, err := h.wait(ctx, body.Wait)
	if err != nil {
		return nil, err
	}
	defer wait.leave()
	x, s, made, err := h.sessions.Start(ctx, request)
	if err != nil {
		return nil, h.fail(ctx, err, call)
	}
	if wait.time > 0 && !x.Status.Over() {
		if x, err = h.await(wait, x.Owner, x.ID, -1); err != nil {
			return nil, h.fail(ctx, err, call)
		}
	}
	out := &runOutput{Status: http.StatusAccepted, Location: executionPath(x.ID)}
	if wait.time > 0 && x.Status.Over() {
		out.Status = http.StatusOK
		out.Body, err = h.result(ctx, &x)
	} else {
		out.Body = recorded(&x)
	}
	out.Body.Session, out.Body.Created = s.Name, &made
	if err != nil {
		return nil, h.fail(ctx, err, call)
	}
	return out, nil
}

// request is what a body asks of the sessions.
func (h *Handler) request(session, key string, b *run) (sandbox.ExecRequest, error) {
	r := sandbox.ExecRequest{
		SessionRequest: sandbox.SessionRequest{Session: session, Template: b.Template, Flavor: b.Flavor},
		Dir:            b.Dir, Timeout: seconds(b.Timeout), Key: b.Key, Background: b.Background, Stdin: b.Stdin,
	}
	if err := h.work(&r, b); err != nil {
		return r, err
	}
	var err error
	if r.Vars, err = environment(b.Env); err != nil {
		return r, err
	}
	if r.Timeout > h.options.MaxTimeout {
		most := strconv.FormatFloat(h.options.MaxTimeout.Seconds(), 'f', -1, 64)
		return r, invalid("timeout must be at most "+most+" seconds", "Send a shorter timeout, or work in steps")
	}
	if key != "" && b.Key != "" && key != b.Key {
		return r, invalid("idempotency_key and the header Idempotency-Key differ", "Send one of them")
	}
	if key != "" {
		r.Key = key
	}
	return r, nil
}

// work sets what is to run, and refuses what a piece of code does not take.
func (h *Handler) work(r *sandbox.ExecRequest, b *run) error {
	const one = "Send code for the interpreter, or command, and args with it"
	switch {
	case (b.Code == nil) == (b.Command == nil):
		return invalid("exactly one of code and command must be there", one)
	case b.Code != nil && len(b.Args) > 0:
		return invalid("args are for a command", one)
	case b.Code != nil && (b.Dir != "" || len(b.Env) > 0 || b.Stdin):
		return invalid("working_directory, env and stdin are for a command", "Give the session its directory and environment when it is made")
	case b.Command != nil && *b.Command == "":
		return invalid("command must not be empty", one)
	}
	size := 0
	switch {
	case b.Code != nil && *b.Code == "":
		r.Code = "\n" // an empty cell is code too
	case b.Code != nil:
		r.Code, size = *b.Code, len(*b.Code)
	case len(b.Args) > 0:
		r.Argv = append([]string{*b.Command}, b.Args...)
	default:
		r.Argv = []string{"sh", "-c", *b.Command}
	}
	for _, arg := range r.Argv {
		size += len(arg)
	}
	if size > h.options.MaxCode {
		return invalid("code or command is longer than "+strconv.Itoa(h.options.MaxCode)+" bytes", "Write it to a file of the session, and run that")
	}
	return nil
}

// result is a record of what has ended with what came of it.
func (h *Handler) result(ctx context.Context, x *sandbox.Execution) (execution, error) {
	out := recorded(x)
	if x.Refused == nil { // it ran, or will
		r, err := h.sessions.Result(ctx, x.Owner, x.ID)
		if err != nil {
			return out, err
		}
		out.outcome(&r)
	}
	return out, nil
}

// A wait is how long a request waits, as one of the open streams.
type wait struct {
	ctx   context.Context //nolint:containedctx // of the request, and ended when the server closes
	time  time.Duration
	leave func()
}

// wait makes room for a request that waits. It must be left.
func (h *Handler) wait(ctx context.Context, s float64) (wait, error) {
	w := wait{ctx: ctx, time: min(seconds(s), maxWait), leave: func() {}}
	if w.time <= 0 {
		return w, nil
	}
	var ok bool
	if w.ctx, w.leave, ok = h.streams.Enter(ctx); !ok {
		return wait{leave: func() {}}, busy()
	}
	return w, nil
}

// await waits for an execution. When the server closes, the wait is over.
func (h *Handler) await(w wait, owner sandbox.Principal, id sandbox.ExecID, after int64) (sandbox.Execution, error) {
	x, err := h.sessions.Await(w.ctx, owner, id, sandbox.WaitQuery{After: after, Wait: w.time})
	if w.ctx.Err() == nil {
		return x, err
	}
	return h.sessions.Execution(context.WithoutCancel(w.ctx), owner, id)
}

type executionsInput struct {
	Name   string `path:"name" doc:"The session_id." example:"demo"`
	Status string `query:"status" enum:"queued,running,finished,failed,cancelled,lost" doc:"Those with this status alone."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
}

type executionsOutput struct {
	Body executionList
}

type executionList struct {
	_          struct{}    `additionalProperties:"true"`
	Executions []execution `json:"executions" nullable:"false"`
}

func (h *Handler) listExecutions(ctx context.Context, in *executionsInput) (*executionsOutput, error) {
	all, err := h.sessions.ListExecutions(ctx, sandbox.ExecQuery{
		Ref: door.Ref(ctx, in.Name), Status: sandbox.ExecStatus(in.Status), Limit: in.Limit,
	})
	if err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Session: in.Name})
	}
	out := &executionsOutput{executionList{Executions: make([]execution, 0, len(all))}}
	for i := range all {
		out.Body.Executions = append(out.Body.Executions, recorded(&all[i]))
	}
	return out, nil
}

// identified is the input of an operation on one execution.
type identified struct {
	ID string `path:"id" doc:"The execution_id."`
}

type executionInput struct {
	ID    string  `path:"id" doc:"The execution_id."`
	Wait  float64 `query:"wait" minimum:"0" doc:"Seconds to wait for the end; more than 60 are cut."`
	After int64   `query:"after" minimum:"-1" default:"-1" doc:"With wait: output beyond this offset ends the wait too."`
}

type executionOutput struct {
	Body execution
}

func (h *Handler) getExecution(ctx context.Context, in *executionInput) (*executionOutput, error) {
	id, owner := sandbox.ExecID(in.ID), door.Principal(ctx)
	wait, err := h.wait(ctx, in.Wait)
	if err != nil {
		return nil, err
	}
	defer wait.leave()
	var x sandbox.Execution
	if wait.time > 0 {
		x, err = h.await(wait, owner, id, in.After)
	} else {
		x, err = h.sessions.Execution(ctx, owner, id)
	}
	if err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Execution: in.ID})
	}
	return &executionOutput{recorded(&x)}, nil
}

func (h *Handler) getResult(ctx context.Context, in *identified) (*executionOutput, error) {
	call := &fault.Call{Execution: in.ID}
	x, err := h.sessions.Execution(ctx, door.Principal(ctx), sandbox.ExecID(in.ID))
	if err != nil {
		return nil, h.fail(ctx, err, call)
	}
	out, err := h.result(ctx, &x)
	if err != nil {
		return nil, h.fail(ctx, err, call)
	}
	return &executionOutput{out}, nil
}

type signalInput struct {
	ID   string `path:"id" doc:"The execution_id."`
	Body signalBody
}

type signalBody struct {
	Signal string `json:"signal" enum:"interrupt,terminate,kill" example:"interrupt"`
}

func (h *Handler) signal(ctx context.Context, in *signalInput) (*none, error) {
	return h.send(ctx, in.ID, sandbox.Signal(in.Body.Signal))
}

func (h *Handler) cancel(ctx context.Context, in *identified) (*none, error) {
	return h.send(ctx, in.ID, sandbox.Interrupt)
}

func (h *Handler) send(ctx context.Context, id string, s sandbox.Signal) (*none, error) {
	if err := h.sessions.Signal(ctx, door.Principal(ctx), sandbox.ExecID(id), s); err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Execution: id})
	}
	return &none{}, nil
}
