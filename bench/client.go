package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxBody = 16 << 20 // of an answer

	// callTimeout is how long any call may take. It is longer than what the
	// daemon lets one wait for room and for its turn.
	callTimeout = 3 * time.Minute
)

// stopTimeout is how long the stop of all sessions of a workload may take.
const stopTimeout = 5 * time.Minute

// prefix is how the names of all sessions of runs begin.
const prefix = "bench-"

// A client calls one daemon, by MCP in the dialect of a bare POST, or by REST.
type client struct {
	url   string
	rest  bool
	token string
	http  *http.Client
	run   string // makes the names of this run's sessions its own
	ids   atomic.Int64
}

// newClient keeps a connection open for each of the callers.
func newClient(o Options, callers int) *client {
	return &client{
		url: o.URL, rest: o.API == REST, token: o.Token,
		http: &http.Client{Transport: &http.Transport{
			MaxIdleConns: callers, MaxIdleConnsPerHost: callers, DisableCompression: true,
		}},
		run: prefix + strconv.FormatUint(rand.Uint64(), 36), //nolint:gosec // a name, not a secret
	}
}

// stuck returns a client for readers that do not read: its connections hold as
// little as the system allows, so that the daemon feels it soon.
func (c *client) stuck() *client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = errors.Join(err, tcp.SetReadBuffer(1))
		}
		return conn, err
	}
	return &client{
		url: c.url, token: c.token, run: c.run,
		http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}},
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

func (c *client) session(i int) string { return c.run + "-" + strconv.Itoa(i) }

// The parts of an answer that the workloads look at, and that a bare server
// gives.
type (
	reply struct {
		Version string  `json:"jsonrpc"`
		ID      int64   `json:"id"`
		Result  *answer `json:"result,omitempty"`
		Error   *fault  `json:"error,omitempty"`
	}
	answer struct {
		Content []content `json:"content"`
		Session string    `json:"session_id"`
		Success *bool     `json:"code_success"`
	}
	content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	fault struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
)

// An answerError is what a daemon answered in place of what was asked for. Its
// asker is not left without an answer.
type answerError struct{ text string }

// Error implements error.
func (e *answerError) Error() string { return e.text }

func answered(format string, args ...any) error { return &answerError{fmt.Sprintf(format, args...)} }

// tool calls one tool.
func (c *client) tool(ctx context.Context, name string, arguments map[string]any) (*answer, error) {
	data, err := c.do(ctx, http.MethodPost, "/mcp", map[string]any{
		"jsonrpc": "2.0", "id": c.ids.Add(1), "method": "tools/call",
		"params": map[string]any{"name": name, "arguments": arguments},
	}, http.StatusOK)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var r reply
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: the answer is not JSON-RPC: %w", name, err)
	}
	switch {
	case r.Error != nil:
		return nil, answered("%s: error %d: %s", name, r.Error.Code, r.Error.Message)
	case r.Result == nil:
		return nil, fmt.Errorf("%s: an answer without a result", name)
	}
	return r.Result, nil
}

// execute runs Python code in a session and fails unless it succeeded.
func (c *client) execute(ctx context.Context, session, code string) (string, error) {
	if c.rest {
		return c.executeREST(ctx, session, code)
	}
	a, err := c.tool(ctx, "execute_code", map[string]any{"session_id": session, "code": code, "template": "python"})
	if err != nil {
		return "", err
	}
	text := ""
	if len(a.Content) > 0 {
		text = a.Content[0].Text
	}
	if a.Success == nil || !*a.Success {
		return "", answered("execute_code: the code failed: %.500s", text)
	}
	return text, nil
}

// executeREST does the same over REST.
func (c *client) executeREST(ctx context.Context, session, code string) (string, error) {
	data, err := c.do(ctx, http.MethodPost, "/v1/sessions/"+session+"/executions", map[string]any{
		"code": code, "template": "python", "wait": 60,
	}, http.StatusOK)
	if err != nil {
		return "", fmt.Errorf("executions: %w", err)
	}
	var x struct {
		Status string `json:"status"`
		Exit   *int   `json:"exit_code"`
		Stdout string `json:"stdout"`
		Stderr string `json:"stderr"`
	}
	if err := json.Unmarshal(data, &x); err != nil {
		return "", fmt.Errorf("executions: the answer is not JSON: %w", err)
	}
	if x.Status != "finished" || x.Exit == nil || *x.Exit != 0 {
		return "", answered("executions: the code failed: %s: %.500s", x.Status, x.Stderr)
	}
	return x.Stdout, nil
}

// add lets a session add two numbers: the least that shows that its kernel
// works. A wrong answer is not a fast one.
func (c *client) add(ctx context.Context, session string) error {
	return c.expect(ctx, session, "1+1", "2")
}

// expect runs code whose value is known.
func (c *client) expect(ctx context.Context, session, code, want string) error {
	got, err := c.execute(ctx, session, code)
	if err == nil && strings.TrimSpace(got) != want {
		err = fmt.Errorf("execute_code: %s gave %.100q, want %q", code, got, want)
	}
	return err
}

func (c *client) stop(ctx context.Context, session string) error {
	if c.rest {
		_, err := c.do(ctx, http.MethodDelete, "/v1/sessions/"+session, nil, http.StatusNoContent)
		return err
	}
	_, err := c.tool(ctx, "stop_session", map[string]any{"session_id": session})
	return err
}

// list returns the names of the sessions that runs have made.
func (c *client) list(ctx context.Context) ([]string, error) {
	data, err := c.do(ctx, http.MethodGet, "/v1/sessions", nil, http.StatusOK)
	if err != nil {
		return nil, fmt.Errorf("the list of sessions: %w", err)
	}
	var all struct {
		Sessions []struct {
			Name string `json:"session_id"`
		} `json:"sessions"`
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("the list of sessions is not JSON: %w", err)
	}
	var names []string
	for _, s := range all.Sessions {
		if strings.HasPrefix(s.Name, prefix) {
			names = append(names, s.Name)
		}
	}
	return names, nil
}

// stopAll stops sessions, also when ctx has ended: none is to be left behind.
func (c *client) stopAll(ctx context.Context, first, n, clients int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return each(ctx, clients, n, func(ctx context.Context, _, i int) error {
		return c.stop(ctx, c.session(first+i))
	})
}

// stopThere stops those sessions of this client that are there, for when it is
// not known which were made. It goes on when ctx has ended.
func (c *client) stopThere(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	var ours []string
	for range 2 { // a call that was given up may have made one meanwhile
		all, err := c.list(ctx)
		if err != nil {
			return err
		}
		ours = ours[:0]
		for _, name := range all {
			if strings.HasPrefix(name, c.run+"-") {
				ours = append(ours, name)
			}
		}
		err = each(ctx, 8, len(ours), func(ctx context.Context, _, i int) error { return c.stop(ctx, ours[i]) })
		if err != nil {
			return err
		}
	}
	return nil
}

// request makes a request of the daemon, with the caller's token.
func (c *client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err == nil && c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, err
}

// do makes one call, with a body unless that is nil, and returns the answer. A
// status other than the wanted one is an [answerError].
func (c *client) do(ctx context.Context, method, path string, body map[string]any, want int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	text := []byte{}
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := c.request(ctx, method, path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("is a daemon there? %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, answered("status %d: %.300s", resp.StatusCode, data)
	}
	return data, nil
}

// each calls work n times, by some workers at once, and returns the first
// error, after which nothing new is begun.
func each(ctx context.Context, workers, n int, work func(ctx context.Context, worker, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	done := make(chan struct{})
	workers = min(workers, n)
	for w := range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := work(ctx, w, i); err != nil {
					cancel(err)
				}
			}
		}()
	}
	for range workers {
		<-done
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

// patient reports whether d passed before ctx ended.
func patient(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), context.Cause(ctx))
	}
}
