package client

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A Run is what is to run: code, or a command.
type Run struct {
	Code       *string           `json:"code,omitempty"`
	Command    *string           `json:"command,omitempty"`
	Args       []string          `json:"args,omitempty"`
	Dir        string            `json:"working_directory,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	Timeout    float64           `json:"timeout,omitempty"`
	Background bool              `json:"background,omitempty"`
	Stdin      bool              `json:"stdin,omitempty"`
	Key        string            `json:"idempotency_key,omitempty"`
	Template   string            `json:"template,omitempty"`
	Flavor     string            `json:"flavor,omitempty"`
}

// An Execution is what the daemon tells of one.
type Execution struct {
	ID       string     `json:"execution_id"`
	Session  string     `json:"session_id"`
	Kind     string     `json:"kind"`
	Code     string     `json:"code"`
	Command  []string   `json:"command"`
	Status   string     `json:"status"`
	Queued   time.Time  `json:"queued_at"`
	Started  *time.Time `json:"started_at"`
	Ended    *time.Time `json:"ended_at"`
	ExitCode *int       `json:"exit_code"`
	Cause    string     `json:"cause"`
	Dropped  int64      `json:"dropped_bytes"`
	Output   struct {
		Total int64 `json:"total"`
	} `json:"output"`
	Error *struct {
		Detail string `json:"detail"`
		Remedy string `json:"remedy"`
	} `json:"error"`
}

// Over reports whether it has ended.
func (x *Execution) Over() bool { return x.Status != "queued" && x.Status != "running" }

// Start begins an execution: in a session, or in one of its own when the name is
// empty. In a session it is sent again when its answer is lost, and runs once.
func (c *Client) Start(ctx context.Context, session string, r Run) (Execution, error) {
	var x Execution
	if session == "" {
		return x, c.JSON(ctx, http.MethodPost, "/v1/executions", nil, r, &x)
	}
	if r.Key == "" {
		r.Key = rand.Text()
	}
	err := c.persist(ctx, func() error {
		return c.JSON(ctx, http.MethodPost, SessionPath(session)+"/executions", nil, r, &x)
	})
	return x, err
}

// Execution returns the record of an execution.
func (c *Client) Execution(ctx context.Context, id string) (Execution, error) {
	var x Execution
	return x, c.JSON(ctx, http.MethodGet, ExecutionPath(id), nil, nil, &x)
}

// Executions returns the newest of a session, the newest first.
func (c *Client) Executions(ctx context.Context, session string, limit int) ([]Execution, error) {
	var list struct {
		Executions []Execution `json:"executions"`
	}
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	err := c.JSON(ctx, http.MethodGet, SessionPath(session)+"/executions", query, nil, &list)
	return list.Executions, err
}

// Signal sends interrupt, terminate or kill.
func (c *Client) Signal(ctx context.Context, id, signal string) error {
	return c.persist(ctx, func() error {
		return c.JSON(ctx, http.MethodPost, ExecutionPath(id)+"/signal", nil, map[string]string{"signal": signal}, nil)
	})
}
