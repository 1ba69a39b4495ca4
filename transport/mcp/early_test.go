package mcp_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// soft is a soft limit that a test can wait for.
const soft = 30 * time.Millisecond

// until is a run that puts out its code and ends when it is let, or ended.
func until(release <-chan struct{}) transporttest.Run {
	return func(ctx context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
		result.Stdout = []byte(r.Code + strings.Join(r.Argv, " ") + "\n")
		r.Follow(sandbox.Stdout, result.Stdout)
		select {
		case <-release:
		case <-ctx.Done():
			result.Exit = sandbox.Exit{Code: 130, Cause: sandbox.CauseKilled}
		}
		return nil
	}
}

// Only who has shaken hands, and can ask again, is answered before the end.
func TestEarlyAnswer_ByDialect(t *testing.T) {
	const plain, wrapped = `{"code":"x","session_id":"s"}`, `{"params":{"code":"x","session_id":"s"}}`
	for name, c := range map[string]struct {
		arguments string
		session   bool
		headers   []string
		early     bool
	}{
		"guide":                         {plain, false, nil, false},
		"original's last, no handshake": {wrapped, false, nil, false},
		"original's last":               {wrapped, true, nil, false},
		"in a session":                  {plain, true, nil, true},
		"without a session":             {plain, false, []string{version, "2025-06-18"}, true},
		"as a stream":                   {plain, true, []string{"Accept", "text/event-stream"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			fake := &transporttest.Sessions{Run: until(release)}
			url := serve(t, fake, mcp.Options{SoftLimit: soft})
			headers := c.headers
			if c.session {
				headers = append(headers, sessionID, open(t, url))
			}
			answered := make(chan string, 1)
			go func() {
				_, got := post(t, url, guideCall("execute_code", c.arguments), headers...)
				answered <- got
			}()
			if c.early {
				got := <-answered
				for _, want := range []string{`x\n[still running after 0 s as execution exec-1; it goes on. Call get_execution`, `"status":"running"`, `"cursor":2`, `"output":"x\n"`} {
					if !strings.Contains(got, want) {
						t.Errorf("%s\nlacks %s", got, want)
					}
				}
				if strings.Contains(got, `"isError":true`) || strings.Contains(got, "exit_code") {
					t.Error(got)
				}
			} else {
				select {
				case got := <-answered:
					t.Errorf("answered early: %s", got)
				case <-time.After(3 * soft):
				}
			}
			close(release)
			_, got := post(t, url, guideCall("get_execution", `{"execution_id":"exec-1","wait":5}`))
			if !strings.Contains(got, `"status":"finished"`) || !strings.Contains(got, `"output":"x\n"`) {
				t.Errorf("the run: %s", got)
			}
			if !c.early {
				if got := <-answered; strings.Contains(got, "running") || !strings.Contains(got, `"text":"x"`) {
					t.Errorf("at its end: %s", got)
				}
			}
		})
	}
}

func TestEarlyAnswer_OnStdio(t *testing.T) {
	release := make(chan struct{})
	send, receive, hangUp := lines(t, &transporttest.Sessions{Run: until(release)}, mcp.Options{SoftLimit: soft})
	send(initialize)
	receive()
	send(guideCall("execute_command", `{"command":"make","session_id":"s"}`))
	if got := receive(); !strings.Contains(got, "still running") {
		t.Error(got)
	}
	close(release)
	send(guideCall("get_execution", `{"execution_id":"exec-1","wait":5}`))
	if got := receive(); !strings.Contains(got, `"status":"finished"`) || !strings.Contains(got, `sh -c make`) {
		t.Error(got)
	}
	if err := hangUp(); err != nil {
		t.Error(err)
	}
}

// Of much output an early answer has the two ends, and says how to get the rest.
func TestEarlyAnswer_IsBounded(t *testing.T) {
	fake := &transporttest.Sessions{Run: func(ctx context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		r.Follow(sandbox.Stdout, []byte("begin\n"+strings.Repeat("é", 50_000)))
		r.Follow(sandbox.Stderr, []byte("\nend\n"))
		<-ctx.Done()
		return ctx.Err()
	}}
	url := serve(t, fake, mcp.Options{SoftLimit: 100 * time.Millisecond})
	_, got := post(t, url, guideCall("execute_code", `{"code":"x"}`), version, "2025-06-18")
	for _, want := range []string{`"text":"begin\n`, `é\n[… 83628 bytes left out; read them with cursor=8192]\né`, `\nend\n[still running`, `"cursor":100011`, `"omitted_bytes":83628`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got[max(0, len(got)-2000):], want)
		}
	}
	_, got = post(t, url, guideCall("get_execution", `{"execution_id":"exec-1","cursor":8192,"max_bytes":1000}`))
	if !strings.Contains(got, `bytes left out; read them with cursor=8692]`) {
		t.Error(got)
	}
	if err := fake.Signal(t.Context(), "", "exec-1", sandbox.Kill); err != nil {
		t.Error(err)
	}
}

// What a dropped request means for its run, as the reference's table has it.
func TestDroppedRequest_ByDialect(t *testing.T) {
	const plain, keyed, background = `{"code":"x","session_id":"s"}`, `{"code":"x","session_id":"s","idempotency_key":"k"}`, `{"code":"x","session_id":"s","background":true}`
	for name, c := range map[string]struct {
		arguments string
		session   bool
		version   string
		goesOn    bool
	}{
		"guide":                       {plain, false, "", false},
		"guide, with a key":           {keyed, false, "", true},
		"guide, in the background":    {background, false, "", true},
		"no session":                  {plain, false, "2025-06-18", false},
		"no session, with a key":      {keyed, false, "2025-06-18", true},
		"in a session":                {plain, true, "2025-06-18", true},
		"the original's last version": {`{"params":` + plain + `}`, false, "2025-06-18", false},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			fake := &transporttest.Sessions{Run: until(release)}
			url := serve(t, fake, mcp.Options{})
			headers := http.Header{"Content-Type": {"application/json"}}
			if c.version != "" {
				headers.Set(version, c.version)
			}
			if c.session {
				headers.Set(sessionID, open(t, url))
			}
			ctx, cancel := context.WithCancel(t.Context())
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				r, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(guideCall("execute_code", c.arguments)))
				r.Header = headers
				if answer, err := http.DefaultClient.Do(r); err == nil {
					answer.Body.Close()
				}
			}()
			appears(t, fake)
			cancel()
			<-gone
			wait := 5 * time.Second
			if c.goesOn {
				wait = 50 * time.Millisecond
			}
			x, err := fake.Await(t.Context(), "", "exec-1", sandbox.WaitQuery{After: -1, Wait: wait})
			if err != nil || x.Status.Over() == c.goesOn {
				t.Errorf("the run is %s (%v)", x.Status, err)
			}
		})
	}
}

// appears waits until the first execution is there and has put something out.
func appears(t *testing.T, fake *transporttest.Sessions) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for range 5000 {
		if x, err := fake.Execution(t.Context(), "", "exec-1"); err == nil && x.Output.Total > 0 {
			return
		}
		<-ticker.C
	}
	t.Fatal("the run did not begin")
}

// A client that cancels means it, whatever the run was asked for with.
func TestCancelled_StopsAlsoWhatHasAKey(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	fake := &transporttest.Sessions{Run: until(release)}
	url := serve(t, fake, mcp.Options{})
	session := open(t, url)
	answered := make(chan string, 1)
	go func() {
		_, got := post(t, url, guideCall("execute_code", `{"code":"x","idempotency_key":"k"}`), sessionID, session)
		answered <- got
	}()
	appears(t, fake)
	post(t, url, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+big+`}}`, sessionID, session)
	if got := <-answered; strings.Contains(got, `"result"`) {
		t.Errorf("answered %s", got)
	}
	if x, err := fake.Execution(t.Context(), "", "exec-1"); err != nil || x.Status != sandbox.ExecCancelled {
		t.Errorf("the run is %s (%v)", x.Status, err)
	}
}

// An end of the session leaves alone what has a key.
func TestSessionsEnd_SparesWhatHasAKey(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	fake := &transporttest.Sessions{Run: until(release)}
	url := serve(t, fake, mcp.Options{})
	session := open(t, url)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		post(t, url, guideCall("execute_code", `{"code":"x","idempotency_key":"k"}`), sessionID, session)
	}()
	appears(t, fake)
	request(t, http.MethodDelete, url, "", sessionID, session)
	<-answered
	if x, err := fake.Execution(t.Context(), "", "exec-1"); err != nil || x.Status != sandbox.ExecRunning {
		t.Errorf("the run is %s (%v)", x.Status, err)
	}
}
