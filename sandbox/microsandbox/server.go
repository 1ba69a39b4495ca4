package microsandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A server is the microsandbox server, as a client sees it. Its methods may be
// called from many goroutines.
type server struct {
	base    string // without a slash at its end
	key     string
	http    *http.Client
	request time.Duration // of a call that answers at once
}

// Bounds of the client.
const (
	maxAnswer   = 16 << 20 // bytes
	idleConns   = 512      // kept open
	idleTime    = 90 * time.Second
	answerGrace = 10 * time.Second // of an answer, beyond what it may wait for
	tries       = 4
	firstPause  = 100 * time.Millisecond
	mostPause   = 5 * time.Second
)

// namespace is where all our sandboxes are.
const namespace = "default"

func newServer(o *Options) *server {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: o.ConnectTimeout}).DialContext,
		TLSHandshakeTimeout: o.ConnectTimeout,
		MaxIdleConnsPerHost: idleConns, MaxIdleConns: idleConns, IdleConnTimeout: idleTime,
	}
	return &server{
		base: o.URL, key: o.Key, request: o.RequestTimeout,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the key is for this server alone
		}},
	}
}

func (s *server) close() { s.http.CloseIdleConnections() }

// unreachable is an error of the way to the server, or of what is before it: the
// call may be tried again.
type unreachable struct {
	cause error
	after time.Duration // that the server asked for; 0 is ours to choose
}

// Error says what is wrong with the way.
func (u *unreachable) Error() string {
	return "the microsandbox server cannot be reached: " + u.cause.Error()
}

// Unwrap returns the cause.
func (u *unreachable) Unwrap() error { return u.cause }

// call makes one call, which may take so long as wait says beside the usual, and
// tries it again when the server cannot be reached. Every call of ours is safe
// to be made twice.
func (s *server) call(ctx context.Context, method string, params any, wait time.Duration) (json.RawMessage, error) {
	body, err := json.Marshal(struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
		ID      int    `json:"id"`
	}{"2.0", method, params, 1})
	if err != nil {
		return nil, err
	}
	var answer []byte
	var status int
	err = retry(ctx, func() error {
		var err error
		status, answer, err = s.exchange(ctx, http.MethodPost, "/api/v1/rpc", body, s.request+wait)
		return err
	})
	if err != nil {
		return nil, err
	}
	return decode(status, answer)
}

// retry tries something until it succeeds, fails for good, or was tried often.
func retry(ctx context.Context, try func() error) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := try()
		lost, ok := errors.AsType[*unreachable](err)
		if !ok || n == tries || ctx.Err() != nil {
			return err
		}
		if sleep(ctx, max(lost.after, jittered(pause))) != nil {
			return err
		}
		pause = min(2*pause, mostPause)
	}
}

// jittered is about so long, so that many clients do not come back together.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d) } //nolint:gosec // no secret

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exchange sends one request and returns what came.
func (s *server) exchange(ctx context.Context, method, path string, body []byte, limit time.Duration) (status int, answer []byte, err error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := http.NewRequestWithContext(bounded, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		r.Header.Set("Authorization", "Bearer "+s.key)
	}
	response, err := s.http.Do(r)
	if err != nil {
		return 0, nil, s.lost(ctx, err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, s.lost(ctx, err)
	case len(answer) > maxAnswer:
		return 0, nil, fmt.Errorf("%w: it is longer than %d bytes", errGarbled, maxAnswer)
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16) // none is 0
		return 0, nil, &unreachable{errors.New(response.Status), min(time.Duration(seconds)*time.Second, mostPause)}
	}
	return response.StatusCode, answer, nil
}

// lost is an error of the way, unless it is the caller who has gone.
func (s *server) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err // without the address, which may hold a secret
	}
	return &unreachable{cause: err}
}

// health asks for the server's health, once.
func (s *server) health(ctx context.Context) (health, error) {
	status, answer, err := s.exchange(ctx, http.MethodGet, "/api/v1/health", nil, s.request)
	if err != nil {
		return health{}, err
	}
	var h health
	if status != http.StatusOK || json.Unmarshal(answer, &h) != nil || h.Message == "" {
		return health{}, errGarbled
	}
	return h, nil
}

// start starts a sandbox. ready tells whether the server saw it run.
func (s *server) start(ctx context.Context, name string, config map[string]any, wait time.Duration) (ready bool, err error) {
	result, err := s.call(ctx, "sandbox.start", map[string]any{"sandbox": name, "namespace": namespace, "config": config}, wait)
	if err != nil {
		return false, err
	}
	var text string
	if json.Unmarshal(result, &text) != nil {
		return false, errGarbled
	}
	return !unsure.MatchString(text), nil
}

// stop stops a sandbox.
func (s *server) stop(ctx context.Context, name string) error {
	_, err := s.call(ctx, "sandbox.stop", map[string]any{"sandbox": name, "namespace": namespace}, stopWait)
	return err
}

// command runs a command to its end, for which it may take so long as wait says.
func (s *server) command(ctx context.Context, name string, wait time.Duration, command string, args ...string) (outcome, error) {
	if args == nil {
		args = []string{}
	}
	limit := int((wait + s.request).Seconds())
	result, err := s.call(ctx, "sandbox.command.run", map[string]any{
		"sandbox": name, "namespace": namespace, "command": command, "args": args, "timeout": max(limit, 1),
	}, wait+answerGrace)
	if err != nil {
		return outcome{}, err
	}
	return outcomeOf(result)
}

// metrics returns what the server knows of a sandbox, or with an empty name of
// all. In a namespace that it does not know there are none.
func (s *server) metrics(ctx context.Context, name string) ([]metric, error) {
	params := map[string]any{"namespace": namespace}
	if name != "" {
		params["sandbox"] = name
	}
	result, err := s.call(ctx, "sandbox.metrics.get", params, 0)
	if r, ok := errors.AsType[*refusal](err); ok && r.code == codeInvalid && noFolder.MatchString(r.text) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return metricsOf(result)
}
