package mcp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// ServeLines serves one client over a pair of streams, a message a line, as the
// protocol's stdio transport has it: what it writes is protocol and nothing
// else. It returns when the input ends, after all calls have been answered, or
// when ctx ends, which also ends the calls.
//
// Each line is answered as the POST with that body would be, in a session of
// its own where the client began one.
func (h *Handler) ServeLines(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &lineClient{handler: h, out: out}
	var calls sync.WaitGroup
	defer calls.Wait()
	lines := make(chan []byte)
	failed := make(chan error, 1)
	go func() { failed <- readLines(ctx, in, h.options.MaxBody, lines) }() // ends with the input, or with the process
	places := make(chan struct{}, h.options.MaxCalls)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case line := <-lines:
			if isInitialize(line) { // what follows it may need what it answers
				c.serve(ctx, line)
				continue
			}
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			calls.Go(func() {
				defer func() { <-places }()
				c.serve(ctx, line)
			})
		}
	}
}

func isInitialize(line []byte) bool {
	m := decode(line)
	return is(m.method, "initialize")
}

// readLines hands over lines until the input ends. One that is too long is
// handed over as far as it may be, so that it is refused like any other.
func readLines(ctx context.Context, in io.Reader, most int64, lines chan<- []byte) error {
	reader := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(reader, most)
		if len(bytes.TrimSpace(line)) > 0 {
			select {
			case lines <- line:
			case <-ctx.Done():
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// readLine reads one line and keeps at most one byte more than it may have.
func readLine(reader *bufio.Reader, most int64) ([]byte, error) {
	var line []byte
	for {
		piece, err := reader.ReadSlice('\n')
		if room := most + 1 - int64(len(line)); room > 0 {
			line = append(line, piece[:min(int64(len(piece)), room)]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// A lineClient is the one client of a pair of streams.
type lineClient struct {
	handler *Handler

	mu      sync.Mutex // guards what follows, and keeps messages whole
	out     io.Writer
	session string
	version string
}

// serve answers one line.
func (c *lineClient) serve(ctx context.Context, line []byte) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/mcp", bytes.NewReader(line))
	if err != nil {
		return // the method and the path are ours
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	c.mu.Lock()
	if c.session != "" {
		r.Header.Set(sessionHeader, c.session)
		r.Header.Set(versionHeader, c.version)
	}
	c.mu.Unlock()
	w := &lineWriter{client: c, header: http.Header{}}
	c.handler.ServeHTTP(w, r)
	w.end()
	if id := w.header.Get(sessionHeader); id != "" {
		c.enter(id)
	}
}

// enter notes the session that an initialize has opened.
func (c *lineClient) enter(id string) {
	s, ok := c.handler.table.find("", id)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.version = id, s.version
}

// message writes one message as a line.
func (c *lineClient) message(m []byte) {
	line := append(bytes.ReplaceAll(bytes.TrimSpace(m), []byte{'\n'}, nil), '\n')
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.out.Write(line) // a client that is gone needs no answer
}

// A lineWriter makes messages of a response: of a body of JSON one, of an event
// stream each event's data.
type lineWriter struct {
	client *lineClient
	header http.Header
	body   []byte
}

// Header implements [http.ResponseWriter].
func (w *lineWriter) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter]. A line has no status.
func (w *lineWriter) WriteHeader(int) {}

// Write implements [http.ResponseWriter].
func (w *lineWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	if w.header.Get("Content-Type") == "text/event-stream" {
		w.events()
	}
	return len(p), nil
}

// Flush implements [http.Flusher].
func (w *lineWriter) Flush() {}

// events sends the whole events of the body and keeps the rest.
func (w *lineWriter) events() {
	for {
		event, rest, ok := bytes.Cut(w.body, []byte("\n\n"))
		if !ok {
			return
		}
		w.body = rest
		for line := range bytes.Lines(event) {
			if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
				w.client.message(data)
			}
		}
	}
}

// end sends the body of a response that is no event stream.
func (w *lineWriter) end() {
	if len(bytes.TrimSpace(w.body)) > 0 {
		w.client.message(w.body)
	}
}
