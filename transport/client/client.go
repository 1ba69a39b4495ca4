// Package client asks a daemon over REST: what the commands that people type
// are made of.
//
// Live output is read by its offset, so that a connection that breaks costs
// nothing but time: the client comes back to where it was.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds the JSON that is read of one answer.
const maxAnswer = 64 << 20

// Options are what a user may set. The zero value is ready, but for its URL.
type Options struct {
	URL      string        // of the daemon, without a path
	Token    string        // empty sends none
	HTTP     *http.Client  // nil is one of its own
	Attempts int           // that may fail in a row before one gives up; default 8
	Pause    time.Duration // after the first that failed, then twice as long, at most 5 s; default 200 ms
}

// A Client asks one daemon. It may be used from many goroutines.
type Client struct {
	base    *url.URL
	options Options
}

// New returns a Client of the daemon at a URL.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%q is no address of a daemon: it looks like http://localhost:8775", o.URL)
	}
	if o.HTTP == nil {
		transport := &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableCompression: true, // tar and output come as they are
			ResponseHeaderTimeout: 10 * time.Minute, // a session may wait for room
			IdleConnTimeout:       time.Minute,
		}
		o.HTTP = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Attempts == 0 {
		o.Attempts = 8
	}
	if o.Pause == 0 {
		o.Pause = 200 * time.Millisecond
	}
	return &Client{base: base, options: o}, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.options.HTTP.CloseIdleConnections() }

// SessionPath is where a session is.
func SessionPath(name string) string { return "/v1/sessions/" + url.PathEscape(name) }

// ExecutionPath is where an execution is.
func ExecutionPath(id string) string { return "/v1/executions/" + url.PathEscape(id) }

// JSON asks with a value as the body, and reads the answer into another. Either
// may be nil.
func (c *Client) JSON(ctx context.Context, method, path string, query url.Values, in, out any) error {
	header := http.Header{}
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
		header.Set("Content-Type", "application/json")
	}
	answer, err := c.ask(ctx, method, path, query, body, -1, header)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }() // it was read
	if out == nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
	if err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s does not answer as a daemon does: %w", c.base.Host, err)
	}
	return nil
}

// Bytes asks with bytes as the body, and returns those of the answer. The size
// of the body is below 0 where it is not known.
func (c *Client) Bytes(ctx context.Context, method, path string, query url.Values, body io.Reader, size int64) (io.ReadCloser, error) {
	header := http.Header{}
	if body != nil {
		header.Set("Content-Type", "application/octet-stream")
	}
	return c.ask(ctx, method, path, query, body, size, header)
}

// ask sends a request, and returns the body of an answer that is no failure.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body io.Reader, size int64, header http.Header) (io.ReadCloser, error) {
	address := c.base.String() + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	r.Header = header
	if c.options.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.options.Token)
	}
	if size >= 0 && body != nil {
		r.ContentLength = size
	}
	answer, err := c.options.HTTP.Do(r)
	if err != nil {
		return nil, c.unreached(err)
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }() // it is an error already
	return nil, problemOf(answer)
}

// unreached says that nobody answered.
func (c *Client) unreached(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok { // which repeats the whole address
		err = wrapped.Err
	}
	return fmt.Errorf("the daemon at %s does not answer: %w", c.base.String(), err)
}
