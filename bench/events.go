package bench

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// An event is what the workloads look at of an event of a session.
type event struct {
	Seq    uint64 `json:"seq"`
	Type   string `json:"type"`
	Stream string `json:"stream"`
	Text   string `json:"text"`
	Base64 string `json:"base64"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
}

// bytes returns the output that an event carries.
func (e *event) bytes() ([]byte, error) {
	if e.Base64 == "" {
		return []byte(e.Text), nil
	}
	return base64.StdEncoding.DecodeString(e.Base64)
}

// subscribe opens the stream of a session's events after one. The caller
// closes it.
func (c *client) subscribe(ctx context.Context, session string, after uint64) (io.ReadCloser, error) {
	req, err := c.request(ctx, http.MethodGet, fmt.Sprintf("/v1/sessions/%s/events?after=%d", session, after), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return nil, fmt.Errorf("events: status %d: %s", resp.StatusCode, text)
	}
	return resp.Body, nil
}

// A gapError is output that a reader was told it had missed.
type gapError struct{ from, to uint64 }

// Error implements error.
func (e *gapError) Error() string {
	return fmt.Sprintf("events %d to %d were lost to a reader", e.from, e.to)
}

// A reader follows one session.
type reader struct {
	body   io.ReadCloser
	bound  int       // on output
	output []byte    // what came on stdout
	first  time.Time // when the first of it came
	last   time.Time
	cursor uint64 // the last event that was read
}

// follow reads events until an execution has finished.
func (r *reader) follow() error {
	lines := bufio.NewScanner(r.body)
	lines.Buffer(make([]byte, 64<<10), 4<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue // comments, ids, names
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("an event is not JSON: %w", err)
		}
		r.cursor = e.Seq
		switch e.Type {
		case "gap":
			return &gapError{e.From, e.To}
		case "session.stopped":
			return errors.New("the session stopped")
		case "execution.finished":
			return nil
		case "output":
			if err := r.hear(&e); err != nil {
				return err
			}
		}
	}
	return errors.Join(errors.New("the stream of events ended early"), lines.Err())
}

func (r *reader) hear(e *event) error {
	if e.Stream != "stdout" {
		return nil
	}
	r.last = time.Now()
	if r.first.IsZero() {
		r.first = r.last
	}
	data, err := e.bytes()
	if err != nil {
		return fmt.Errorf("output that is not base64: %w", err)
	}
	if r.output = append(r.output, data...); len(r.output) > r.bound {
		return fmt.Errorf("a reader got more than the %d bytes that were printed", r.bound)
	}
	return nil
}
