package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rpc sends a request to a daemon's microsandbox API, and returns the answer's
// text.
func (c *chain) rpc(ctx context.Context, t *testing.T, method, params string) (int, string) {
	t.Helper()
	status, body, err := c.ask(ctx, http.MethodPost, "/api/v1/rpc", `{"jsonrpc":"2.0","method":"`+method+`","params":`+params+`,"id":"1"}`)
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return status, body
}

func (c *chain) ask(ctx context.Context, method, path, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.api+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// What a config says, the sandbox is; what cannot be is refused, and leaves
// nothing.
func TestAPI_Configurations(t *testing.T) {
	c := newChain(t)
	back := c.back.serve(t)
	if back.wayOut() == doctorTells {
		t.Skip("no sandbox can be made here")
	}
	ctx := t.Context()
	for _, step := range []struct {
		method, params string
		status         int
		want           string
	}{
		{
			"sandbox.start", `{"sandbox":"a","config":{"image":"microsandbox/python","memory":256,"cpus":1,"workdir":"/work/project","envs":["GREETING=hello"],` +
				`"scripts":{"greet":"echo $GREETING $1; pwd"},"exec":"echo begun > begun; exec sleep 1000"}}`, 200, "started successfully",
		},
		{"sandbox.command.run", `{"sandbox":"a","command":"greet","args":["you"]}`, 200, `[{"stream":"stdout","text":"hello you"},{"stream":"stdout","text":"/work/project"}]`},
		{"sandbox.command.run", `{"sandbox":"a","command":"sh","args":["-c","until [ -s begun ]; do sleep 0.1; done; cat begun; exit 3"]}`, 200, `"exit_code":3,"success":false,"output":[{"stream":"stdout","text":"begun"}]`},
		{"sandbox.repl.run", `{"sandbox":"a","language":"python","code":"def f(x):\n    y = 1\n\n    return x + y\nprint('hi')\nf(41)"}`, 200, `[{"stream":"stdout","text":"hi"},{"stream":"stdout","text":"42"}]`},
		{"sandbox.repl.run", `{"sandbox":"a","language":"python","code":"while True: pass","timeout":1}`, 200, `Error: Execution timed out after 1 seconds`},
		{"sandbox.repl.run", `{"sandbox":"a","language":"python","code":"f(1)"}`, 200, `"text":"2"`}, // the variables live on
		{"sandbox.command.run", `{"sandbox":"a","command":"sh","args":["-c","echo x; sleep 99"],"timeout":1}`, 500, `"kind":"timeout"`},
		{"sandbox.command.run", `{"sandbox":"a","command":"no-such-program"}`, 500, `"reason":"no-such-program: command not found"`},
		{"sandbox.metrics.get", `{"namespace":"*"}`, 200, `"running":true,"cpu_usage":`},
		{"sandbox.start", `{"sandbox":"b","config":{"image":"microsandbox/python","workdir":"/etc/x"}}`, 400, `config.workdir`},
		{"sandbox.start", `{"sandbox":"b","config":{"image":"microsandbox/python","shell":"/bin/no-such-shell"}}`, 400, `config.shell`},
		{"sandbox.start", `{"sandbox":"b","config":{"image":"microsandbox/python","memory":1}}`, 400, `32`},
		{"sandbox.start", `{"sandbox":"d","config":{"image":"microsandbox/node","depends_on":["a"]}}`, 200, "started successfully"},
		{"sandbox.repl.run", `{"sandbox":"d","language":"javascript","code":"await Promise.resolve(6 * 7)"}`, 200, `"text":"42"`},
	} {
		if status, got := c.rpc(ctx, t, step.method, step.params); status != step.status || !strings.Contains(got, step.want) {
			t.Errorf("%s %s\ngot  %d %s\nwant %d %s", step.method, step.params, status, got, step.status, step.want)
		}
	}
	if got := c.running(t, back); len(got) != 2 {
		t.Errorf("running: %q", got)
	}
	back.run(t, "mine", "1") // of the guide's clients, whom DELETE means
	if status, got, err := c.ask(ctx, http.MethodDelete, "/api/v1/sessions", ""); err != nil || status != http.StatusOK || got != `{"message":"3 sessions stopped","stopped":3,"failed":0}` {
		t.Errorf("DELETE: %d %s, %v", status, got, err)
	}
	if got := back.sessions(t); len(got) != 0 {
		t.Errorf("sessions after it: %q", got)
	}
}

// A command ends with its caller.
func TestAPI_CallerLeaves(t *testing.T) {
	c := newChain(t)
	back := c.back.serve(t)
	if back.wayOut() == doctorTells {
		t.Skip("no sandbox can be made here")
	}
	if status, got := c.rpc(t.Context(), t, "sandbox.start", `{"sandbox":"a","config":{"image":"microsandbox/python"}}`); status != http.StatusOK {
		t.Fatal(got)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, _, err := c.ask(ctx, http.MethodPost, "/api/v1/rpc", `{"jsonrpc":"2.0","method":"sandbox.command.run","params":{"sandbox":"a","command":"sleep","args":["987"]},"id":1}`)
		left <- err
	}()
	sleeps := func() string {
		_, got := c.rpc(t.Context(), t, "sandbox.command.run", `{"sandbox":"a","command":"sh","args":["-c","grep -alx 'sleep.987.' /proc/[0-9]*/cmdline | wc -l"]}`)
		return got
	}
	eventually(t, "it runs", func() bool { return strings.Contains(sleeps(), `"text":"1"`) })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "it has ended", func() bool { return strings.Contains(sleeps(), `"text":"0"`) })
}

// crowdSize is how many sessions TestChain_Crowd has: fewer than a measurement,
// which sets SANDWARDEN_TEST_CROWD.
func crowdSize() int {
	if n, err := strconv.Atoi(os.Getenv("SANDWARDEN_TEST_CROWD")); err == nil {
		return n
	}
	return 24
}

// Many sessions at once keep apart and keep their state, and when one end is
// killed nothing stays at the other.
func TestChain_Crowd(t *testing.T) {
	c := newChain(t)
	back, front := c.serve(t)
	front.isServed(t)
	n := crowdSize()
	began := time.Now()
	each := func(what string, do func(ctx context.Context, i int) error) {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				if err := do(t.Context(), i); err != nil {
					t.Errorf("%s, session %d: %v", what, i, err)
				}
			})
		}
		all.Wait()
		t.Logf("%s: %d sessions, %s since the beginning", what, n, time.Since(began).Round(time.Millisecond))
	}
	code := func(i int, text, want string) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := front.call(ctx, "execute_code", arguments{"session_id": fmt.Sprintf("s%d", i), "code": text})
			if err == nil && (got.Result == nil || len(got.Result.Content) == 0 || strings.TrimSpace(got.Result.Content[0].Text) != want) {
				err = fmt.Errorf("got %+v %+v, want %s", got.Result, got.Error, want)
			}
			return err
		}
	}
	each("made", func(ctx context.Context, i int) error {
		return code(i, fmt.Sprintf("x = %d; print(x)", i), strconv.Itoa(i))(ctx)
	})
	each("used again", func(ctx context.Context, i int) error { return code(i, "print(x + 1)", strconv.Itoa(i+1))(ctx) })
	if got := c.running(t, back); len(got) != n {
		t.Errorf("%d sandboxes at the back, want %d", len(got), n)
	}
	front.stop(t, syscall.SIGKILL)
	if out, err := c.front.command("purge").CombinedOutput(); err != nil || string(out) != fmt.Sprintf("ended %d sandboxes\n", n) {
		t.Errorf("%v, %s", err, out)
	}
	if got := c.running(t, back); len(got) != 0 {
		t.Errorf("left at the back: %q", got)
	}
}
