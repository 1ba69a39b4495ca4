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

// maxBody bounds what is read of an answer.
const maxBody = 16 << 20

// A client calls one daemon, in the dialect of a bare POST.
type client struct {
	url  string
	http *http.Client
	run  string // makes the names of this run's sessions its own
	ids  atomic.Int64
}

// newClient keeps a connection open for each of the callers.
func newClient(url string, callers int) *client {
	return &client{
		url: url,
		http: &http.Client{Transport: &http.Transport{
			MaxIdleConns: callers, MaxIdleConnsPerHost: callers, DisableCompression: true,
		}},
		run: "bench-" + strconv.FormatUint(rand.Uint64(), 36), //nolint:gosec // a name, not a secret
	}
}

// newStuckClient is for a reader that does not read: its connections hold as
// little as the system allows, so that the daemon feels it soon.
func newStuckClient(url, run string) *client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = errors.Join(err, tcp.SetReadBuffer(1))
		}
		return conn, err
	}
	return &client{url: url, run: run, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}}}
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

// tool calls one tool.
func (c *client) tool(ctx context.Context, name string, arguments map[string]any) (*answer, error) {
	body, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": c.ids.Add(1), "method": "tools/call",
		"params": map[string]any{"name": name, "arguments": arguments},
	})
	if err != nil {
		return nil, err
	}
	data, err := c.post(ctx, "/mcp", body, http.StatusOK)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var r reply
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: the answer is not JSON-RPC: %w", name, err)
	}
	switch {
	case r.Error != nil:
		return nil, fmt.Errorf("%s: error %d: %s", name, r.Error.Code, r.Error.Message)
	case r.Result == nil:
		return nil, fmt.Errorf("%s: an answer without a result", name)
	}
	return r.Result, nil
}

// execute runs Python code in a session and fails unless it succeeded.
func (c *client) execute(ctx context.Context, session, code string) (string, error) {
	a, err := c.tool(ctx, "execute_code", map[string]any{"session_id": session, "code": code, "template": "python"})
	if err != nil {
		return "", err
	}
	text := ""
	if len(a.Content) > 0 {
		text = a.Content[0].Text
	}
	if a.Success == nil || !*a.Success {
		return "", fmt.Errorf("execute_code: the code failed: %.500s", text)
	}
	return text, nil
}

// add lets a session add two numbers: the least that shows that its kernel
// works. A wrong answer is not a fast one.
func (c *client) add(ctx context.Context, session string) error {
	got, err := c.execute(ctx, session, "1+1")
	if err == nil && strings.TrimSpace(got) != "2" {
		err = fmt.Errorf("execute_code: 1+1 gave %.100q, want %q", got, "2")
	}
	return err
}

// create makes a session over REST.
func (c *client) create(ctx context.Context, session string) error {
	body, err := json.Marshal(map[string]string{"session_id": session, "template": "python"})
	if err != nil {
		return err
	}
	_, err = c.post(ctx, "/v1/sessions", body, http.StatusCreated)
	return err
}

func (c *client) stop(ctx context.Context, session string) error {
	_, err := c.tool(ctx, "stop_session", map[string]any{"session_id": session})
	return err
}

// stopAll stops sessions, also when ctx has ended: none is to be left behind.
func (c *client) stopAll(ctx context.Context, first, n, clients int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	return each(ctx, clients, n, func(ctx context.Context, _, i int) error {
		return c.stop(ctx, c.session(first+i))
	})
}

func (c *client) post(ctx context.Context, path string, body []byte, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
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
		return nil, fmt.Errorf("status %d: %.300s", resp.StatusCode, data)
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
