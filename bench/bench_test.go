package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/bench"
)

// A daemon answers as a real one does, as far as the workloads look, and runs
// the programs that they send.
type daemon struct {
	*httptest.Server
	mu       sync.Mutex
	sessions map[string]*log
	made     int

	wrong bool // answers that are not right
	gap   bool // readers miss something
	late  bool // output comes when the code has ended
	drop  int  // so many bytes of long output are not told

	token  string       // that callers have to have
	stays  bool         // sessions are still there when they were stopped
	breaks bool         // connections of who runs code that kills are closed without an answer
	lost   bool         // variables are lost
	stall  sync.RWMutex // held while nothing is answered
}

// A log is the events of one session.
type log struct {
	mu     sync.Mutex
	kept   int // a variable
	events []string
	grown  chan struct{} // closed and replaced at each event
}

func start(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{sessions: map[string]*log{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mcp", d.call)
	mux.HandleFunc("GET /v1/sessions/{id}/events", d.follow)
	mux.HandleFunc("GET /v1/sessions", d.list)
	mux.HandleFunc("DELETE /v1/sessions/{id}", func(w http.ResponseWriter, r *http.Request) {
		d.stop(r.PathValue("id"))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /v1/sessions/{id}/executions", d.run)
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.token != "" && r.Header.Get("Authorization") != "Bearer "+d.token {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *daemon) session(name string) *log {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sessions[name] == nil {
		d.made++
		d.sessions[name] = &log{grown: make(chan struct{})}
	}
	return d.sessions[name]
}

func (l *log) add(kind, members string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := len(l.events) + 1
	l.events = append(l.events, fmt.Sprintf("id: %d\nevent: %s\ndata: {\"seq\":%d,\"type\":%q%s}\n\n", seq, kind, seq, kind, members))
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *log) output(text string) {
	l.add("output", `,"stream":"stdout","text":`+strconv.Quote(text)) // plain ASCII
}

func (d *daemon) call(w http.ResponseWriter, r *http.Request) {
	var call struct {
		ID     json.RawMessage `json:"id"`
		Params struct {
			Name      string `json:"name"`
			Arguments struct {
				Session string `json:"session_id"`
				Code    string `json:"code"`
			} `json:"arguments"`
		} `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	type content struct {
		Text string `json:"text"`
	}
	type result struct {
		Content []content `json:"content"`
		Success bool      `json:"code_success"`
	}
	answer := struct {
		ID     json.RawMessage `json:"id"`
		Result result          `json:"result"`
	}{ID: call.ID}
	session := call.Params.Arguments.Session
	switch call.Params.Name {
	case "stop_session":
		d.stop(session)
	case "execute_code":
		text := d.execute(d.session(session), call.Params.Arguments.Code)
		answer.Result = result{[]content{{text}}, true}
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(err)
	}
}

func (d *daemon) stop(session string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.stays {
		delete(d.sessions, session)
	}
}

func (d *daemon) list(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	type session struct {
		Name string `json:"session_id"`
	}
	all := []session{{"of-somebody-else"}}
	for name := range d.sessions {
		all = append(all, session{name})
	}
	if err := json.NewEncoder(w).Encode(map[string][]session{"sessions": all}); err != nil {
		panic(err)
	}
}

// run is call by REST.
func (d *daemon) run(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Code string }
	json.NewDecoder(r.Body).Decode(&asked)
	text := d.execute(d.session(r.PathValue("id")), asked.Code)
	err := json.NewEncoder(w).Encode(struct {
		Status string `json:"status"`
		Exit   int    `json:"exit_code"`
		Stdout string `json:"stdout"`
	}{"finished", 0, text})
	if err != nil {
		panic(err)
	}
}

// kept is code that sets a variable, and asks for it.
var kept = regexp.MustCompile(`kept = (\d+)\nkept`)

// value is that of code that asks for a variable.
func (d *daemon) value(l *log, code string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := kept.FindStringSubmatch(code); m != nil {
		l.kept, _ = strconv.Atoi(m[1])
	}
	n := l.kept
	if d.lost {
		n = 77
	}
	if strings.HasSuffix(code, "+ 1") {
		n++
	}
	return strconv.Itoa(n) + "\n"
}

var loop = regexp.MustCompile(`range\((\d+)\).*:0(\d+)d`)

func (d *daemon) execute(l *log, code string) string {
	d.stall.RLock()
	defer d.stall.RUnlock()
	text := "2\n"
	switch m := loop.FindStringSubmatch(code); {
	case strings.Contains(code, "kill") && d.breaks:
		panic(http.ErrAbortHandler)
	case strings.Contains(code, "kept"):
		text = d.value(l, code)
	case m != nil:
		n, _ := strconv.Atoi(m[1])
		width, _ := strconv.Atoi(m[2])
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%0*d\n", width, i)
		}
		text = b.String()
		if d.gap {
			l.add("gap", `,"from":3,"to":7`)
		}
		for rest := text[d.drop:]; rest != ""; {
			piece := rest[:min(1000, len(rest))]
			l.output(piece)
			rest = rest[len(piece):]
		}
	case strings.Contains(code, "'now'"):
		if !d.late {
			l.output("now\n")
		}
		time.Sleep(100 * time.Millisecond)
		if d.late {
			l.output("now\n")
		}
	case d.wrong:
		text = "3\n"
	default:
		l.output(text)
	}
	l.add("execution.finished", `,"exit_code":0`)
	return text
}

func (d *daemon) follow(w http.ResponseWriter, r *http.Request) {
	l := d.session(r.PathValue("id"))
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	fmt.Fprint(w, ": stream open\n\n")
	for {
		l.mu.Lock()
		pending, grown := l.events[after:], l.grown
		l.mu.Unlock()
		for _, e := range pending {
			fmt.Fprint(w, e)
		}
		after += len(pending)
		w.(http.Flusher).Flush()
		select {
		case <-grown:
		case <-r.Context().Done():
			return
		}
	}
}

// left fails the test when a workload left sessions, or made none.
func (d *daemon) left(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.sessions) > 0 || d.made == 0 {
		t.Errorf("%d sessions are left of %d", len(d.sessions), d.made)
	}
}

// leftOf does that, and fails the test too when others than so many were made.
func (d *daemon) leftOf(t *testing.T, made int) {
	t.Helper()
	d.left(t)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made != made {
		t.Errorf("%d sessions were made, want %d", d.made, made)
	}
}

func figure(t *testing.T, r *bench.Result, name string) bench.Figure {
	t.Helper()
	for _, f := range r.Figures {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no figure %q in %+v", name, r.Figures)
	return bench.Figure{}
}

func needPython(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/usr/bin/python3"); err != nil {
		t.Skip("the baseline needs /usr/bin/python3")
	}
}

func TestWarm_MeasuresCalls(t *testing.T) {
	needPython(t)
	d := start(t)
	r, err := bench.Warm(t.Context(), bench.Options{URL: d.URL + "/", Clients: 3, Duration: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	d.leftOf(t, 3)
	calls := figure(t, r, "calls")
	if r.Latency.TotalCount() < 3 || int64(r.N) != r.Latency.TotalCount() || calls.Value <= 0 || calls.Base <= 0 {
		t.Errorf("%d calls, %+v", r.N, calls)
	}
	if p50 := figure(t, r, "call p50"); p50.Value <= 0 || p50.Ratio != p50.Value/p50.Base {
		t.Errorf("%+v", p50)
	}
}

func TestCreate_MeasuresNewSessions(t *testing.T) {
	needPython(t)
	for name, test := range map[string]struct {
		clients int
		figure  string
	}{
		"one by one": {1, "create, first result and stop"},
		"a burst":    {5, "burst, wall"},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			r, err := bench.Create(t.Context(), bench.Options{URL: d.URL, Clients: test.clients, N: 5})
			if err != nil {
				t.Fatal(err)
			}
			d.leftOf(t, 5)
			if f := figure(t, r, test.figure); f.Value <= 0 || f.Base <= 0 || r.Latency.TotalCount() != 5 {
				t.Errorf("%+v of %d", f, r.Latency.TotalCount())
			}
		})
	}
}

func TestHold_MeasuresMemory(t *testing.T) {
	needPython(t)
	d := start(t)
	r, err := bench.Hold(t.Context(), bench.Options{URL: d.URL, N: 4, Settle: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	d.leftOf(t, 5)
	// What memory did meanwhile is the machine's affair.
	if f := figure(t, r, "memory of an idle Python session"); f.Baseline == "" || f.Unit != "MiB" {
		t.Errorf("%+v", f)
	}
	if f := figure(t, r, "sessions held"); f.Value != 5 {
		t.Errorf("%+v", f)
	}
	if f := figure(t, r, "call meanwhile p50"); f.Value <= 0 {
		t.Errorf("%+v", f)
	}
	if _, err := bench.Hold(t.Context(), bench.Options{URL: "http://192.0.2.1:1"}); err == nil || !strings.Contains(err.Error(), "beside the daemon") {
		t.Errorf("elsewhere: %v", err)
	}
}

func TestStream_ChecksEveryByte(t *testing.T) {
	d := start(t)
	r, err := bench.Stream(t.Context(), bench.Options{URL: d.URL, Clients: 4, N: 300})
	if err != nil {
		t.Fatal(err)
	}
	d.leftOf(t, 1)
	if f := figure(t, r, "output to all readers"); f.Value <= 0 || f.Base <= 0 {
		t.Errorf("%+v", f)
	}
	if f := figure(t, r, "call to first output p50"); f.Value <= 0 || r.Latency.TotalCount() == 0 {
		t.Errorf("%+v", f)
	}
}

func TestWorkloads_NoticeFaults(t *testing.T) {
	for name, test := range map[string]struct {
		run   func(context.Context, bench.Options) (*bench.Result, error)
		fault func(*daemon)
		want  string
	}{
		"a wrong answer":    {bench.Warm, func(d *daemon) { d.wrong = true }, `1+1 gave "3\n", want "2"`},
		"a wrong first one": {bench.Create, func(d *daemon) { d.wrong = true }, `1+1 gave "3\n", want "2"`},
		"a gap":             {bench.Stream, func(d *daemon) { d.gap = true }, "events 3 to 7 were lost"},
		"lost bytes":        {bench.Stream, func(d *daemon) { d.drop = 7 }, "that are not the"},
		"output at the end": {bench.Stream, func(d *daemon) { d.late = true }, "only when the code had ended"},
		"no answer":         {bench.Chaos, func(d *daemon) { d.breaks = true }, "an asker had no answer"},
		"a lost variable":   {bench.Chaos, func(d *daemon) { d.lost = true }, "kept"},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			test.fault(d)
			_, err := test.run(t.Context(), bench.Options{URL: d.URL, Clients: 1, N: 20, Duration: 60 * time.Millisecond})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			d.left(t)
		})
	}
}

func TestWorkloads_EndWithTheirContext(t *testing.T) {
	d := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := bench.Warm(ctx, bench.Options{URL: d.URL, Duration: time.Hour}); err == nil {
		t.Error("no error though the context ended")
	}
	d.leftOf(t, 1)
}

func TestMain_ReportsAndRefuses(t *testing.T) {
	needPython(t)
	d := start(t)
	var stdout, stderr bytes.Buffer
	file := filepath.Join(t.TempDir(), "report.json")
	args := []string{"warm", "--url", d.URL, "--duration", "20ms", "--clients", "2", "--json", file}
	if err := bench.Main(t.Context(), args, nil, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "| warm, 2 clients, n ") || !strings.Contains(stdout.String(), "| bare echo p50 |") {
		t.Errorf("report:\n%s", &stdout)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Results []struct {
			Workload string
			Latency  struct{ Count int }
			Figures  []bench.Figure
		}
	}
	if err := json.Unmarshal(data, &report); err != nil || len(report.Results) != 2 || report.Results[0].Latency.Count == 0 || len(report.Results[0].Figures) != 5 {
		t.Errorf("%v in %s", err, data)
	}
	stdout.Reset()
	if err := bench.Main(t.Context(), []string{"--help"}, nil, &stdout, &stderr); err != nil || !strings.Contains(stdout.String(), "--clients") {
		t.Errorf("help: %v, %s", err, &stdout)
	}
	for _, test := range []struct{ args, want string }{
		{"", "name one workload"},
		{"nonsense", `no workload "nonsense"`},
		{"warm create", "name one workload"},
		{"warm --nonsense", "--help"},
		{"warm --url localhost:8775", "is not one of a daemon"},
		{"warm --clients -1", "give 1 to"},
		{"create --n 1000000000", "give 1 to"},
		{"warm --url http://127.0.0.1:1", "is a daemon there?"},
	} {
		err := bench.Main(t.Context(), strings.Fields(test.args), nil, &stdout, &stderr)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.args, err, test.want)
		}
	}
}
