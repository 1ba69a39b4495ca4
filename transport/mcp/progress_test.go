package mcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// counting is a run that puts out pieces.
func counting(n int) transporttest.Run {
	return func(_ context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
		for i := range n {
			piece := fmt.Appendf(nil, "%s-%d ", r.Code, i)
			r.Follow(sandbox.Stdout, piece)
			result.Stdout = append(result.Stdout, piece...)
		}
		return nil
	}
}

// A frame is a message of a stream.
type frame struct {
	Method string
	ID     json.RawMessage
	Params struct {
		ProgressToken any
		Progress      int64
		Message       string
	}
	Result json.RawMessage
}

// callWithProgress makes a call with a token and returns its messages.
func callWithProgress(t *testing.T, url, code, token string, headers ...string) []frame {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":` + token + `,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"` + code + `"},"_meta":{"progressToken":` + token + `}}}`
	answer, text := post(t, url, body, append([]string{"Accept", "application/json, text/event-stream", version, "2025-06-18"}, headers...)...)
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("the answer is %s: %s", got, text)
	}
	var frames []frame
	for line := range strings.Lines(text) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var f frame
			if err := json.Unmarshal([]byte(data), &f); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			frames = append(frames, f)
		}
	}
	return frames
}

// checkProgress checks that frames are all of the output of counting, in order,
// and then the result.
func checkProgress(t *testing.T, frames []frame, code string, n int, token any) {
	t.Helper()
	var want, got strings.Builder
	for i := range n {
		fmt.Fprintf(&want, "%s-%d ", code, i)
	}
	last := int64(0)
	for i, f := range frames {
		if i == len(frames)-1 {
			if f.Result == nil {
				t.Errorf("%s: the last message is %+v", code, f)
			}
			break
		}
		if f.Method != "notifications/progress" || f.Params.ProgressToken != token || f.Params.Progress <= last {
			t.Errorf("%s: message %d is %+v after %d", code, i, f, last)
		}
		last = f.Params.Progress
		got.WriteString(f.Params.Message)
	}
	if got.String() != want.String() || last != int64(want.Len()) {
		t.Errorf("%s: got %q up to %d, want %q", code, got.String(), last, want.String())
	}
}

func TestProgress_NoneIsLost(t *testing.T) {
	url := serve(t, &transporttest.Sessions{Run: counting(3)}, mcp.Options{ProgressEvery: time.Nanosecond})
	session := open(t, url)
	var wait sync.WaitGroup
	for worker := range 10 {
		wait.Go(func() {
			for i := range 50 {
				id := worker*100 + i
				frames := callWithProgress(t, url, fmt.Sprintf("c%d", id), strconv.Itoa(id), sessionID, session)
				if len(frames) != 4 {
					t.Errorf("call %d: %d messages, want 4", id, len(frames))
				}
				checkProgress(t, frames, fmt.Sprintf("c%d", id), 3, float64(id)) // 0 is a token too
			}
		})
	}
	wait.Wait()
}

func TestProgress_IsBatchedAndComplete(t *testing.T) {
	url := serve(t, &transporttest.Sessions{Run: counting(5000)}, mcp.Options{})
	frames := callWithProgress(t, url, "x", `"tok"`)
	checkProgress(t, frames, "x", 5000, "tok")
	if len(frames) > 100 {
		t.Errorf("%d messages for one burst", len(frames))
	}
}

func TestProgress_CallsOfOneSessionKeepApart(t *testing.T) {
	var meet sync.WaitGroup
	meet.Add(2)
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		for i := range 5 {
			r.Follow(sandbox.Stdout, fmt.Appendf(nil, "%s-%d ", r.Code, i))
			if i == 0 { // both are in the midst of it
				meet.Done()
				meet.Wait()
			}
		}
		return nil
	}}
	url := serve(t, fake, mcp.Options{ProgressEvery: time.Nanosecond})
	session := open(t, url)
	var wait sync.WaitGroup
	for _, id := range []int{1, 2} {
		wait.Go(func() {
			frames := callWithProgress(t, url, fmt.Sprintf("c%d", id), strconv.Itoa(id), sessionID, session)
			checkProgress(t, frames, fmt.Sprintf("c%d", id), 5, float64(id))
		})
	}
	wait.Wait()
}

// The first output arrives while the code still runs, and what follows does not
// wait for more.
func TestProgress_IsLive(t *testing.T) {
	release := make(chan struct{})
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		r.Follow(sandbox.Stdout, []byte("first"))
		r.Follow(sandbox.Stderr, []byte("second"))
		r.Follow(sandbox.Display, []byte("not text"))
		<-release
		return nil
	}}
	url := serve(t, fake, mcp.Options{Heartbeat: 20 * time.Millisecond})
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"x"},"_meta":{"progressToken":"t"}}}`
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}, version: {"2025-06-18"}}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	await(t, lines, `"progress":5,"message":"first"`)
	await(t, lines, `"progress":11,"message":"second"`)
	await(t, lines, ": keepalive")
	close(release)
	await(t, lines, `"result":`)
}

func await(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), want) {
			return
		}
	}
	t.Fatalf("the stream ended without %s: %v", want, lines.Err())
}

func TestProgress_JSONCallersGetTheResultAlone(t *testing.T) {
	url := serve(t, &transporttest.Sessions{Run: counting(3)}, mcp.Options{Heartbeat: time.Nanosecond})
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"x"},"_meta":{"progressToken":1}}}`
	answer, got := post(t, url, body, version, "2025-06-18", "Accept", "application/json")
	if answer.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":1,"result":`) {
		t.Errorf("got %s", got)
	}
}

// A client that reads nothing loses its stream; its call ends all the same.
func TestProgress_StuckReader(t *testing.T) {
	ended := make(chan struct{})
	chunk := []byte(strings.Repeat("x", 64<<10))
	fake := &transporttest.Sessions{Run: func(_ context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		for range 200 { // 12 MB: more than sockets take
			r.Follow(sandbox.Stdout, chunk)
		}
		close(ended)
		return nil
	}}
	url := serve(t, fake, mcp.Options{WriteTimeout: 100 * time.Millisecond})
	stuck, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"x"},"_meta":{"progressToken":1}}}`
	fmt.Fprintf(stuck, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"+
		"MCP-Protocol-Version: 2025-06-18\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the call hangs on its reader")
	}
}
