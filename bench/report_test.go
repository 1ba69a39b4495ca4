package bench_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sandwarden/sandwarden/bench"
)

// counted returns a histogram of n values from micros on, with a long tail.
func counted(tb testing.TB, n int, micros int64) *hdrhistogram.Histogram {
	tb.Helper()
	h := hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
	for i := range n {
		if err := h.RecordValue(micros + micros*int64(i*i)/int64(n)); err != nil {
			tb.Fatal(err)
		}
	}
	return h
}

// sample is a report with all that one can have.
func sample(tb testing.TB) *bench.Report {
	tb.Helper()
	return &bench.Report{
		Time: time.Date(2026, 11, 26, 16, 0, 0, 0, time.UTC), URL: "http://localhost:8775", Daemon: "sandwarden v1, native sandboxes",
		Machine: bench.Machine{OS: "linux", Arch: "amd64", CPU: "A CPU", Cores: 2, Memory: 24 << 30, Kernel: "6.18", Cgroup: 1, Load: 0.25, Go: "go1.26", Python: "3.11.2"},
		Options: map[string]string{"duration": "5s", "clients": "0"},
		Results: []*bench.Result{
			{
				Workload: "warm", Clients: 64, N: 5000, Wall: 5001234567 * time.Nanosecond,
				Latency: counted(tb, 5000, 900), Bases: []bench.Baseline{{Name: "bare pipe", Latency: counted(tb, 1000, 20)}, {Name: "bare echo", Latency: counted(tb, 20000, 30)}},
				Figures: []bench.Figure{
					{Name: "call p50", Value: 1.2, Unit: "ms", Better: bench.Lower, Baseline: "bare echo p50", Base: 0.03, Ratio: 40},
					{Name: "calls", Value: 1000, Unit: "/s", Better: bench.Higher, Baseline: "bare echo", Base: 25000, Ratio: 0.04},
				},
				Series: []bench.Series{{Name: "delay by load", XUnit: "calls/s", Unit: "ms", Points: [][2]float64{{1, 0.5}, {10, 0.75}, {100, 2}, {1000, 40}}}},
			},
			{
				Workload: "create", Clients: 1, N: 100, Wall: 5 * time.Second, Latency: counted(tb, 100, 40000),
				Figures: []bench.Figure{{Name: "sessions held", Value: 101}},
			},
			{Workload: "open", Clients: 8, N: 10, Rate: 250, Arrival: "poisson", Wall: time.Second},
		},
		Notes: []string{"no bubblewrap here"},
	}
}

func written(tb testing.TB, write func(io.Writer) error) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// equal fails the test unless two reports are the same, histograms and all.
func equal(tb testing.TB, got, want *bench.Report) {
	tb.Helper()
	g, w := *got, *want
	g.Results, w.Results = nil, nil
	if fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w) {
		tb.Errorf("got  %+v\nwant %+v", g, w)
	}
	if len(got.Results) != len(want.Results) {
		tb.Fatalf("%d results, want %d", len(got.Results), len(want.Results))
	}
	for i, w := range want.Results {
		g, w := *got.Results[i], *w
		same(tb, "latency", g.Latency, w.Latency)
		if len(g.Bases) != len(w.Bases) {
			tb.Fatalf("result %d: %d baselines, want %d", i, len(g.Bases), len(w.Bases))
		}
		for j := range w.Bases {
			same(tb, w.Bases[j].Name, g.Bases[j].Latency, w.Bases[j].Latency)
			if g.Bases[j].Name != w.Bases[j].Name {
				tb.Errorf("result %d: baseline %q, want %q", i, g.Bases[j].Name, w.Bases[j].Name)
			}
		}
		g.Latency, g.Bases, w.Latency, w.Bases = nil, nil, nil, nil
		if fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w) {
			tb.Errorf("result %d: got  %+v\nwant %+v", i, g, w)
		}
	}
}

func same(tb testing.TB, name string, got, want *hdrhistogram.Histogram) {
	tb.Helper()
	if (got == nil) != (want == nil) || got != nil && !got.Equals(want) {
		tb.Errorf("the histograms of %s differ", name)
	}
}

// wellFormed fails the test if data is no XML, and returns its text and the
// names of its elements.
func wellFormed(tb testing.TB, data []byte) (text string, elements map[string]int) {
	tb.Helper()
	var all strings.Builder
	elements = map[string]int{}
	for d := xml.NewDecoder(bytes.NewReader(data)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all.String(), elements
		}
		if err != nil {
			tb.Fatalf("not well-formed: %v in\n%.2000s", err, data)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" || a.Name.Local == "src" {
					tb.Errorf("<%s> has %s", token.Name.Local, a.Name.Local)
				}
			}
		case xml.CharData:
			all.Write(token)
		}
	}
}

func TestReport_IsReadBack(t *testing.T) {
	want := sample(t)
	data := written(t, want.JSON)
	got, err := bench.ReadReport(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
	if again := written(t, got.JSON); !bytes.Equal(again, data) {
		t.Errorf("written again it is\n%s\nnot\n%s", again, data)
	}
}

// The documented names, and what a histogram says in short.
func TestReport_JSONHasTheDocumentedForm(t *testing.T) {
	var form map[string]any
	if err := json.Unmarshal(written(t, sample(t).JSON), &form); err != nil {
		t.Fatal(err)
	}
	result := form["results"].([]any)[0].(map[string]any)
	latency := result["latency"].(map[string]any)
	for name, test := range map[string]struct {
		in   map[string]any
		want []string
	}{
		"report":   {form, []string{"daemon", "machine", "notes", "options", "results", "schema", "time", "url"}},
		"machine":  {form["machine"].(map[string]any), []string{"arch", "cgroup", "cores", "cpu", "go", "kernel", "load1", "memory_bytes", "os", "python"}},
		"result":   {result, []string{"baselines", "clients", "figures", "latency", "n", "series", "wall_s", "workload"}},
		"open":     {form["results"].([]any)[2].(map[string]any), []string{"arrival", "clients", "figures", "n", "rate_per_s", "wall_s", "workload"}},
		"latency":  {latency, []string{"count", "histogram_us", "max_ms", "mean_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p999_ms", "p99_ms"}},
		"baseline": {result["baselines"].([]any)[0].(map[string]any), []string{"latency", "name"}},
		"figure":   {result["figures"].([]any)[0].(map[string]any), []string{"base", "baseline", "better", "name", "ratio", "unit", "value"}},
		"series":   {result["series"].([]any)[0].(map[string]any), []string{"name", "points", "unit", "x_unit"}},
	} {
		if got := slices.Sorted(maps.Keys(test.in)); !slices.Equal(got, test.want) {
			t.Errorf("%s has %q, want %q", name, got, test.want)
		}
	}
	if form["schema"] != 1.0 || result["wall_s"] != 5.001234567 || latency["count"] != 5000.0 {
		t.Errorf("schema %v, wall %v, count %v", form["schema"], result["wall_s"], latency["count"])
	}
	h := sample(t).Results[0].Latency
	for name, q := range map[string]float64{"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "p999_ms": 99.9, "max_ms": 100} {
		if got, want := latency[name], float64(h.ValueAtQuantile(q))/1000; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// A number that JSON has no word for does not cost the whole report.
func TestReport_LeavesOutWhatIsNoNumber(t *testing.T) {
	r := sample(t)
	r.Results[0].Figures = append(r.Results[0].Figures, bench.Figure{Name: "odd", Value: math.NaN()}, bench.Figure{Name: "odd too", Ratio: math.Inf(1)})
	r.Results[0].Series[0].Points = append(r.Results[0].Series[0].Points, [2]float64{math.Inf(1), 1}, [2]float64{1, math.NaN()})
	got, err := bench.ReadReport(bytes.NewReader(written(t, r.JSON)))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, sample(t))
	wellFormed(t, written(t, r.HTML))
}

func TestReport_MarkdownTellsMachineAndDaemon(t *testing.T) {
	got := string(written(t, sample(t).Markdown))
	for _, want := range []string{
		"2026-11-26T16:00:00Z, daemon at http://localhost:8775: sandwarden v1, native sandboxes\n",
		"linux/amd64, 2 CPUs, A CPU, 24.0 GiB, kernel 6.18, cgroup v1, go1.26, Python 3.11.2, load 0.25 before\n",
		"| warm, 64 clients, n 5000 | call p50 | 1.20 ms | bare echo p50 | 0.030 ms | 40.0 |\n",
		"| create, 1 client, n 100 | sessions held | 101 |  |  |  |\n", "\n\n- no bubblewrap here\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestReport_PageHasEverything(t *testing.T) {
	data := written(t, sample(t).HTML)
	text, elements := wellFormed(t, data)
	if !bytes.HasPrefix(data, []byte("<!DOCTYPE html>")) { // small letters are not XML, whatever Go's decoder says
		t.Errorf("the page begins with %.30q", data)
	}
	// Two distributions, one series and the ratios; each as a table as well.
	if elements["svg"] != 4 || elements["desc"] != 4 || elements["script"]+elements["link"]+elements["img"] > 0 {
		t.Errorf("elements: %v", elements)
	}
	for _, want := range []string{"sandwarden v1, native sandboxes", "A CPU", "Latency: warm, 64 clients", "delay by load: warm", "open, 250/s poisson", "99.9 %", "duration", "Ratio to the baseline", "no bubblewrap here"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, never := range []string{"http://www", "https://", "url(", "@import"} {
		if bytes.Contains(data, []byte(never)) {
			t.Errorf("the page has %q", never)
		}
	}
	if !bytes.Contains(data, []byte("prefers-color-scheme: dark")) {
		t.Error("the page is light only")
	}
}

// hostile is what a daemon could say to break out of each place in a page.
const hostile = `"><script>alert(1)</script><!-- ]]> ' onload='x --> </title></style></svg> {{.}} | ` + "` \x00\x1b[2J\r\n\u202egnp\ufffe\xff **x** [a](javascript:b) ![c](d) \\"

func TestReport_HostileTextIsText(t *testing.T) {
	r := sample(t)
	r.URL, r.Daemon = "http://x/"+hostile, hostile
	r.Machine.CPU, r.Machine.Kernel, r.Machine.Python = hostile, hostile, hostile
	r.Options, r.Notes = map[string]string{hostile: hostile}, []string{hostile}
	x := r.Results[0]
	x.Workload, x.Arrival, x.Bases[1].Name = hostile, hostile, hostile
	x.Figures[0].Name, x.Figures[0].Unit, x.Figures[0].Better, x.Figures[0].Baseline = hostile, hostile, hostile, hostile
	x.Series[0].Name, x.Series[0].XUnit, x.Series[0].Unit = hostile, hostile, hostile
	text, elements := wellFormed(t, written(t, r.HTML))
	if elements["script"] > 0 || elements["svg"] != 4 || !strings.Contains(text, "<script>alert(1)</script>") {
		t.Errorf("elements: %v", elements)
	}
	for _, never := range []string{"\x00", "\x1b", "\u202e", "\ufffe"} {
		if strings.Contains(text, never) {
			t.Errorf("the page has %q", never)
		}
	}
	folder := t.TempDir()
	names, err := r.SVG(folder)
	if err != nil || len(names) != 4 {
		t.Fatalf("%q, %v", names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, elements := wellFormed(t, data); filepath.Dir(name) != folder || elements["script"] > 0 || elements["svg"] != 1 {
			t.Errorf("%s: %v", name, elements)
		}
	}
	table := string(written(t, r.Markdown))
	for row := range strings.SplitSeq(table, "\n") {
		if !strings.HasPrefix(row, "|") {
			continue
		}
		if n := strings.Count(strings.ReplaceAll(strings.ReplaceAll(row, `\\`, ""), `\|`, ""), "|"); n != 7 {
			t.Errorf("a row has %d bars: %s", n, row)
		}
	}
	if strings.Contains(table, "<script") || strings.Contains(table, "\x1b") || strings.Contains(table, " [a](") {
		t.Errorf("the table has markup:\n%s", table)
	}
}

// What a daemon says of itself, and what comes of one that says it badly.
func TestMain_AsksTheDaemonWhatItIs(t *testing.T) {
	for name, test := range map[string]struct{ status, want string }{
		"as ours do":   {`{"server":"sandwarden","version":"v1.2","backend":{"name":"native","isolation":"process"}}`, "sandwarden v1.2, native sandboxes, isolation: process"},
		"without more": {`{"version":"v1.2"}`, "v1.2"},
		"not JSON":     {`<html>`, ""},
		"another type": {`{"version":{}}`, ""},
		"endless":      {`{"version":"` + strings.Repeat("x", 5000) + `"}`, strings.Repeat("x", 299) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			mux := http.NewServeMux()
			mux.Handle("/", d.Config.Handler)
			mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, test.status) })
			front := httptest.NewServer(mux)
			t.Cleanup(front.Close)
			file := filepath.Join(t.TempDir(), "r.json")
			url := strings.Replace(front.URL, "://", "://me:secret@", 1)
			err := bench.Main(t.Context(), []string{"warm", "--url", url, "--duration", "10ms", "--json", file}, nil, io.Discard, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := bench.ReadReport(bytes.NewReader(data))
			if err != nil || r.Daemon != test.want {
				t.Errorf("%q, %v; want %q", r.Daemon, err, test.want)
			}
			if bytes.Contains(data, []byte("secret")) || r.Options["duration"] != "10ms" {
				t.Errorf("the report has %s", data)
			}
			if r.Machine.Cores == 0 || r.Machine.Go == "" || len(r.Results[0].Bases) == 0 || r.Results[0].Bases[0].Latency.TotalCount() == 0 || figure(t, r.Results[0], "calls").Better != bench.Higher {
				t.Errorf("%+v, %+v", r.Machine, r.Results[0])
			}
		})
	}
}
