package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Feed gives what it reads to the standard input of an execution, piece by
// piece, and closes that at the end. An execution that takes no more, as it has
// ended, is no error.
func (c *Client) Feed(ctx context.Context, id string, in io.Reader) error {
	buffer := make([]byte, 64<<10)
	var at uint64
	for {
		n, err := in.Read(buffer)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return err
		}
		if n > 0 || last {
			if err := c.give(ctx, id, &at, buffer[:n], last); err != nil {
				return over(err)
			}
		}
		if last {
			return nil
		}
	}
}

// give sends one piece until all of it is taken.
func (c *Client) give(ctx context.Context, id string, at *uint64, data []byte, last bool) error {
	for {
		var answer struct {
			Taken uint64 `json:"taken"`
			Whole bool   `json:"whole"`
		}
		query := url.Values{"offset": {strconv.FormatUint(*at, 10)}, "close": {strconv.FormatBool(last)}}
		if err := c.persist(ctx, func() error {
			body, err := c.Bytes(ctx, http.MethodPut, ExecutionPath(id)+"/stdin", query, bytes.NewReader(data), int64(len(data)))
			if err != nil {
				return err
			}
			defer func() { _ = body.Close() }() // it was read
			return json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&answer)
		}); err != nil {
			return err
		}
		taken := min(answer.Taken, uint64(len(data)))
		*at += taken
		data = data[taken:]
		if answer.Whole || len(data) == 0 && !last {
			return nil
		}
	}
}

// over forgives an execution that has ended.
func over(err error) error {
	for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict} {
		if hasStatus(err, status) {
			return nil
		}
	}
	return err
}
