package rest

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// An execution is an execution as clients see it: its record, how it ended, and
// where that was asked for what came of it.
type execution struct {
	_          struct{}   `additionalProperties:"true"`
	ID         string     `json:"execution_id"`
	Session    string     `json:"session_id"`
	Kind       string     `json:"kind" enum:"code,command"`
	Code       string     `json:"code,omitempty" doc:"Its beginning."`
	Command    []string   `json:"command,omitempty" nullable:"false" doc:"Its beginning."`
	Background bool       `json:"background,omitempty"`
	Stdin      bool       `json:"stdin,omitempty" doc:"It takes input."`
	Key        string     `json:"idempotency_key,omitempty"`
	Status     string     `json:"status" enum:"queued,running,finished,failed,cancelled,lost"`
	Queued     time.Time  `json:"queued_at"`
	Started    *time.Time `json:"started_at,omitempty"`
	Ended      *time.Time `json:"ended_at,omitempty"`
	Timeout    float64    `json:"timeout,omitempty" doc:"Seconds."`
	Output     outputSize `json:"output" doc:"Bytes of stdout and stderr together, as offsets count them."`
	RichCount  int        `json:"rich_count,omitempty" doc:"Rich results that are kept."`
	Created    *bool      `json:"session_created,omitempty" doc:"This request made the session."`
	Events     string     `json:"events" doc:"Where its events are."`

	ExitCode  *int     `json:"exit_code,omitempty" doc:"Once it has ended. 128 and the number of the signal that ended it; of code 0 or 1."`
	Cause     string   `json:"cause,omitempty" doc:"Why it was ended, when it did not end by itself."`
	Evidence  string   `json:"evidence,omitempty" doc:"What was seen of the cause."`
	StateLost bool     `json:"state_lost,omitempty" doc:"The variables of the session are lost."`
	Value     string   `json:"result,omitempty" doc:"Of the last expression."`
	Failure   *failure `json:"failure,omitempty" doc:"The error that code raised and did not catch."`
	Dropped   int64    `json:"dropped_bytes,omitempty" doc:"Bytes of output beyond the limit."`
	Duration  *int64   `json:"duration_ms,omitempty"`
	CPU       *int64   `json:"cpu_ms,omitempty"`
	Peak      int64    `json:"peak_bytes,omitempty" doc:"Largest resident size of a process."`
	Error     *reason  `json:"error,omitempty" doc:"Why it never ran, or what its end means."`

	Stdout       *string `json:"stdout,omitempty" doc:"Where the result was asked for. Bytes that are not UTF-8 are replaced."`
	Stderr       *string `json:"stderr,omitempty"`
	StdoutBase64 string  `json:"stdout_base64,omitempty" doc:"All bytes of stdout, when it is not UTF-8."`
	StderrBase64 string  `json:"stderr_base64,omitempty"`
	Rich         []rich  `json:"rich,omitempty" nullable:"false"`
	Truncated    bool    `json:"truncated,omitempty" doc:"There was more output than is in here."`
	Omitted      int64   `json:"omitted_bytes,omitempty" doc:"Bytes that are kept, and too many to be in here."`
	Hint         string  `json:"hint,omitempty" doc:"Why it failed and what to do, in one line."`
}

type outputSize struct {
	Total  int64 `json:"total"`
	First  int64 `json:"first" doc:"Offset of the first byte that is kept."`
	Stdout int64 `json:"stdout"`
	Stderr int64 `json:"stderr"`
}

type failure struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

type reason struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

type rich struct {
	MIME   string `json:"mime"`
	Base64 string `json:"base64"`
}

// executionPath is where an execution is.
func executionPath(id sandbox.ExecID) string { return "/v1/executions/" + url.PathEscape(string(id)) }

// recorded shows a record.
func recorded(x *sandbox.Execution) execution {
	out := execution{
		ID: string(x.ID), Session: x.Session, Kind: string(x.Kind), Code: x.Code, Command: x.Argv,
		Background: x.Background, Stdin: x.Stdin, Key: x.Key, Status: string(x.Status),
		Queued: x.Queued.UTC(), Started: moment(x.Started), Ended: moment(x.Ended), Timeout: x.Timeout.Seconds(),
		Output:    outputSize{x.Output.Total, x.Output.First, x.Output.Stdout, x.Output.Stderr},
		RichCount: x.Rich, Events: executionPath(x.ID) + "/events",
	}
	call := callOf(x)
	switch {
	case x.Refused != nil:
		out.Error = reasonOf(fault.Of(x.Refused, call))
	case x.Exit != nil:
		out.ended(x.Exit)
		if f := fault.OfExit(*x.Exit, call); f != nil {
			out.Error = reasonOf(f)
		}
	}
	return out
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// callOf is what a fault has to know of an execution.
func callOf(x *sandbox.Execution) *fault.Call {
	return &fault.Call{Code: x.Code, Command: strings.Join(x.Argv, " "), Session: x.Session, Timeout: x.Timeout, Execution: string(x.ID)}
}

func reasonOf(f *fault.Fault) *reason {
	return &reason{Kind: f.Kind.String(), Detail: f.Message, Remedy: f.Remedy}
}

// ended adds how it ended.
func (e *execution) ended(x *sandbox.Exit) {
	took, cpu := x.Duration.Milliseconds(), x.CPU.Milliseconds()
	e.ExitCode, e.Duration, e.CPU, e.Peak = &x.Code, &took, &cpu, x.PeakBytes
	e.Cause, e.Evidence, e.StateLost = string(x.Cause), x.Evidence, x.StateLost
	e.Value, e.Dropped = x.Result, x.Dropped
	if x.Failure != nil {
		e.Failure = &failure{x.Failure.Name, x.Failure.Message}
	}
}

// outcome adds what came of it, so far.
func (e *execution) outcome(r *sandbox.ExecResult) {
	e.Stdout, e.StdoutBase64 = text(r.Stdout)
	e.Stderr, e.StderrBase64 = text(r.Stderr)
	for _, item := range r.Rich {
		e.Rich = append(e.Rich, rich{item.MIME, base64.StdEncoding.EncodeToString(item.Data)})
	}
	e.Truncated, e.Omitted, e.Hint = r.Truncated(), r.Omitted, r.Hint
}

// text is bytes as a string, and as they are where they are none.
func text(data []byte) (s *string, exact string) {
	whole := string(data)
	if !utf8.Valid(data) {
		exact = base64.StdEncoding.EncodeToString(data)
	}
	return &whole, exact
}
