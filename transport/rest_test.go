package transport_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// A request may wait longer than its body may take: the deadline of the body is
// over with it.
func TestREST_WaitsLongerThanABodyMayTake(t *testing.T) {
	const reading = 50 * time.Millisecond
	fake := &transporttest.Sessions{Run: func(ctx context.Context, _ sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		select {
		case <-time.After(5 * reading):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	url := serve(t, fake, transport.Options{ReadTimeout: reading})
	answer, body := request(t, "POST", url+"/v1/executions", `{"code":"1","wait":30}`, "Content-Type", "application/json")
	if answer.StatusCode != http.StatusOK || !strings.Contains(body, `"status":"finished"`) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// A file may take long to come, but no piece of it.
func TestREST_SlowFiles(t *testing.T) {
	const reading = 300 * time.Millisecond
	fake := &transporttest.Sessions{}
	url := serve(t, fake, transport.Options{ReadTimeout: reading})
	request(t, "POST", url+"/v1/sessions", `{"session_id":"s"}`, "Content-Type", "application/json")
	put := func(pause time.Duration) (int, error) {
		reader, writer := io.Pipe()
		var writing sync.WaitGroup
		writing.Go(func() {
			for range 8 {
				time.Sleep(pause)
				if _, err := io.WriteString(writer, "piece\n"); err != nil {
					return
				}
			}
			writer.Close()
		})
		defer writing.Wait()
		defer reader.Close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/v1/sessions/s/files?path=f", reader)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		return answer.StatusCode, nil
	}
	if status, err := put(reading / 5); status != http.StatusOK || err != nil {
		t.Errorf("slowly: %d, %v", status, err)
	}
	if status, err := put(4 * reading); status == http.StatusOK {
		t.Errorf("hardly at all: %d, %v", status, err)
	}
	if _, body := request(t, "GET", url+"/v1/sessions/s/files?path=f", ""); body != strings.Repeat("piece\n", 8) {
		t.Errorf("the file is %q", body)
	}
}
