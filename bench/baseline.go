package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A bare is the least that a server can be: net/http that answers JSON, and
// that streams, on loopback in this process.
type bare struct {
	url    string
	server *http.Server
}

func startBare(ctx context.Context) (*bare, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mcp", echo)
	mux.HandleFunc("GET /stream", stream)
	b := &bare{
		url:    "http://" + l.Addr().String(),
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
	}
	go func() { _ = b.server.Serve(l) }() // until close
	return b, nil
}

func (b *bare) close() { _ = b.server.Close() }

// echo decodes a call and answers as the daemon would, without the work.
func echo(w http.ResponseWriter, r *http.Request) {
	var call struct {
		ID     int64 `json:"id"`
		Params struct {
			Arguments struct {
				Session string `json:"session_id"`
			} `json:"arguments"`
		} `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	done := true
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(reply{Version: "2.0", ID: call.ID, Result: &answer{
		Content: []content{{Type: "text", Text: "2\n"}}, Session: call.Params.Arguments.Session, Success: &done,
	}})
	if err != nil {
		return // the client has gone
	}
}

// stream writes as many bytes as the query asks for, in pieces of 32 KiB.
func stream(w http.ResponseWriter, r *http.Request) {
	var left int
	if _, err := fmt.Sscan(r.URL.Query().Get("bytes"), &left); err != nil {
		http.Error(w, "bytes?", http.StatusBadRequest)
		return
	}
	piece := []byte(strings.Repeat("x", 32<<10))
	for left > 0 {
		n, err := w.Write(piece[:min(left, len(piece))])
		if err != nil {
			return
		}
		left -= n
	}
}

// echoBaseline does with a bare server what Warm does with the daemon.
func echoBaseline(ctx context.Context, clients int, d time.Duration) (*hdrhistogram.Histogram, float64, error) {
	b, err := startBare(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer b.close()
	c := newClient(Options{URL: b.url}, clients)
	defer c.close()
	return hammer(ctx, c, clients, d)
}

// streamBaseline returns the bytes a second that a bare server sends to all of
// some readers.
func streamBaseline(ctx context.Context, readers, size int) (float64, error) {
	b, err := startBare(ctx)
	if err != nil {
		return 0, err
	}
	defer b.close()
	c := newClient(Options{URL: b.url}, readers)
	defer c.close()
	began := time.Now()
	err = each(ctx, readers, readers, func(ctx context.Context, _, _ int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/stream?bytes=%d", b.url, size), nil)
		if err != nil {
			return err
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		n, err := io.Copy(io.Discard, resp.Body)
		if err == nil && n != int64(size) {
			err = fmt.Errorf("the bare stream had %d bytes of %d", n, size)
		}
		return err
	})
	return float64(readers*size) / time.Since(began).Seconds(), err
}

// spawnBaseline measures how long the interpreter takes from its start to the
// first result, n times, one after the other.
func spawnBaseline(ctx context.Context, python string, n int) (*hdrhistogram.Histogram, error) {
	h := newHistogram()
	for range n {
		began := time.Now()
		out, err := exec.CommandContext(ctx, python, "-I", "-c", "print(1+1)").Output()
		if err == nil && strings.TrimSpace(string(out)) != "2" {
			err = fmt.Errorf("print(1+1) gave %.100q", out)
		}
		if err != nil {
			return nil, fmt.Errorf("the baseline needs a python3 (see --python): %w", err)
		}
		record(h, time.Since(began))
	}
	return h, nil
}

// idleBaseline returns the bytes of memory that a bare idle interpreter costs,
// as Hold measures a session. Memory must be at rest.
func idleBaseline(ctx context.Context, python string, n int, settle time.Duration) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before, err := memAvailable()
	if err != nil {
		return 0, err
	}
	idles := make([]*exec.Cmd, 0, n)
	defer func() {
		cancel()
		for _, cmd := range idles {
			_ = cmd.Wait() // killed by cancel
		}
	}()
	for range n {
		cmd, err := startIdle(ctx, python)
		if cmd != nil {
			idles = append(idles, cmd)
		}
		if err != nil {
			return 0, fmt.Errorf("the baseline needs a python3 (see --python): %w", err)
		}
	}
	if err := patient(ctx, settle); err != nil {
		return 0, err
	}
	after, err := memAvailable()
	return float64(before-after) / float64(n), err
}

// startIdle returns an interpreter that has run something and now waits. The
// caller waits for it also when there is an error.
func startIdle(ctx context.Context, python string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, python, "-I", "-c", "import sys; print(1+1, flush=True); sys.stdin.read()")
	if _, err := cmd.StdinPipe(); err != nil { // stays open until the end
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var answer [2]byte
	_, err = io.ReadFull(out, answer[:])
	return cmd, err
}
