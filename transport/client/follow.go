package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// pollSeconds is how long one request waits for more output.
const pollSeconds = "30"

// A Sink takes output.
type Sink interface {
	// Output takes a piece of stdout or stderr.
	Output(stream string, data []byte) error
	// Missing tells of bytes that are not kept any more.
	Missing(bytes int64)
}

// A page is a range of output.
type page struct {
	Chunks []struct {
		Stream string  `json:"stream"`
		Text   *string `json:"text"`
		Base64 []byte  `json:"base64"`
	} `json:"chunks"`
	From    int64 `json:"from"`
	Next    int64 `json:"next"`
	End     bool  `json:"end"`
	Missing int64 `json:"missing"`
}

// Follow gives all output of an execution to a sink as it comes, to its end, and
// returns its record.
func (c *Client) Follow(ctx context.Context, id string, to Sink) (Execution, error) {
	f := &following{client: c, id: id, to: to}
	for {
		end, err := f.read(ctx)
		if err != nil {
			return Execution{}, err
		}
		x, err := f.look(ctx, end)
		if err != nil || end || x.Over() && x.Output.Total <= f.at {
			return x, err
		}
	}
}

// Dump gives the output of an execution that is there now to a sink.
func (c *Client) Dump(ctx context.Context, id string, to Sink) error {
	_, err := (&following{client: c, id: id, to: to}).read(ctx)
	return err
}

// following is a reader of one execution's output.
type following struct {
	client *Client
	id     string
	to     Sink
	at     int64 // what was given
}

// read gives what is there now. It reports whether there will be no more.
func (f *following) read(ctx context.Context) (end bool, err error) {
	for {
		var p page
		query := url.Values{"from": {strconv.FormatInt(f.at, 10)}}
		if err := f.client.persist(ctx, func() error {
			p = page{}
			return f.client.JSON(ctx, http.MethodGet, ExecutionPath(f.id)+"/output", query, nil, &p)
		}); err != nil {
			return false, err
		}
		if p.Missing > 0 {
			f.to.Missing(p.Missing)
		}
		for _, chunk := range p.Chunks {
			data := chunk.Base64
			if chunk.Text != nil {
				data = []byte(*chunk.Text)
			}
			if err := f.to.Output(chunk.Stream, data); err != nil {
				return false, err
			}
		}
		if p.End || p.Next <= f.at {
			return p.End, nil
		}
		f.at = p.Next
	}
}

// look waits for more output or for the end, unless that is known to be there.
func (f *following) look(ctx context.Context, end bool) (Execution, error) {
	query := url.Values{"wait": {pollSeconds}, "after": {strconv.FormatInt(f.at, 10)}}
	if end {
		query = nil
	}
	var x Execution
	err := f.client.persist(ctx, func() error {
		x = Execution{}
		return f.client.JSON(ctx, http.MethodGet, ExecutionPath(f.id), query, nil, &x)
	})
	return x, err
}
