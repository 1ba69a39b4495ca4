package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxLine bounds one line of a stream: the largest rich result, as base64.
const maxLine = 4 << 20

// An Event is something that happened in a session.
type Event struct {
	Seq    uint64  `json:"seq"`
	Type   string  `json:"type"`
	Exec   string  `json:"execution_id"`
	Stream string  `json:"stream"`
	Text   *string `json:"text"`
	Base64 []byte  `json:"base64"`
	From   uint64  `json:"from"`
	To     uint64  `json:"to"`
}

// Data is the output that an event has.
func (e *Event) Data() []byte {
	if e.Text != nil {
		return []byte(*e.Text)
	}
	return e.Base64
}

// Events gives the events of a session to on, from the oldest that is kept to
// the session's end.
func (c *Client) Events(ctx context.Context, session string, on func(*Event) error) error {
	tries := attempts{client: c}
	var last uint64
	for {
		before := last
		done, err := c.stream(ctx, session, &last, on)
		switch {
		case done:
			return err
		case before > 0 && IsNotFound(err): // it ended while nobody looked
			return nil
		}
		if refused, ok := errors.AsType[*refusedError](err); ok {
			return refused.err
		}
		if last > before {
			tries.failed = 0
		}
		if err := tries.again(ctx, err); err != nil {
			return err
		}
	}
}

// A refusedError is what on returned.
type refusedError struct{ err error }

// Error implements error.
func (e *refusedError) Error() string { return e.err.Error() }

// errLeft says that a stream ended before its session: the daemon goes away, and
// the next one has the session.
var errLeft = errors.New("the stream ended, and the session did not")

// stream reads one stream after the last event that was seen. It is done at the
// session's end; else it broke off.
func (c *Client) stream(ctx context.Context, session string, last *uint64, on func(*Event) error) (done bool, err error) {
	query := url.Values{"after": {strconv.FormatUint(*last, 10)}}
	body, err := c.ask(ctx, http.MethodGet, SessionPath(session)+"/events", query, nil, -1, http.Header{"Accept": {"text/event-stream"}})
	if err != nil {
		return false, err
	}
	defer func() { _ = body.Close() }() // it is read until it breaks
	ended := false
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := lines.Text()
		if line == ": end of events" {
			if ended {
				return true, nil
			}
			return false, errLeft
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return true, fmt.Errorf("an event cannot be read: %w", err)
		}
		if err := on(&e); err != nil {
			return false, &refusedError{err}
		}
		*last, ended = e.Seq, e.Type == "session.stopped"
	}
	if err := lines.Err(); err != nil {
		return errors.Is(err, bufio.ErrTooLong), fmt.Errorf("the stream broke off: %w", err)
	}
	return false, fmt.Errorf("the stream broke off: %w", io.ErrUnexpectedEOF)
}
