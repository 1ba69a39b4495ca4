package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/bench"
)

// of returns a report of one result with some figures.
func of(figures ...bench.Figure) *bench.Report {
	return &bench.Report{
		Time: time.Date(2026, 11, 26, 16, 0, 0, 0, time.UTC), Daemon: "sandwarden v1",
		Machine: bench.Machine{OS: "linux", Arch: "amd64", CPU: "A CPU", Cores: 2},
		Results: []*bench.Result{{Workload: "warm", Clients: 1, Figures: figures}},
	}
}

func compared(t *testing.T, a, b *bench.Report) (table string, worse []string) {
	t.Helper()
	c := bench.Compare(a, b, 10)
	return string(written(t, c.Markdown)), c.Worse()
}

// rowOf returns the row of a figure, without what aligns it.
func rowOf(t *testing.T, table, figure string) string {
	t.Helper()
	for row := range strings.SplitSeq(table, "\n") {
		if strings.Contains(row, "| "+figure+" |") {
			_, rest, _ := strings.Cut(row, "| "+figure+" | ")
			return strings.TrimSuffix(rest, " |")
		}
	}
	t.Fatalf("no row of %q in\n%s", figure, table)
	return ""
}

func TestCompare_KnowsWhatIsBetter(t *testing.T) {
	figure := func(unit, better string, value, ratio float64) bench.Figure {
		f := bench.Figure{Name: "x", Unit: unit, Better: better, Value: value, Ratio: ratio}
		if ratio != 0 {
			f.Baseline, f.Base = "bare", value/ratio
		}
		return f
	}
	for name, test := range map[string]struct {
		a, b bench.Figure
		want string
	}{
		"a longer delay":            {figure("ms", "", 10, 0), figure("ms", "", 12, 0), "10.0 ms | 12.0 ms | +20.0 % |  |  |  | worse"},
		"a shorter delay":           {figure("ms", "", 10, 0), figure("ms", "", 8, 0), "10.0 ms | 8.00 ms | -20.0 % |  |  |  | better"},
		"a higher rate":             {figure("/s", "", 10, 0), figure("/s", "", 12, 0), "10.0 /s | 12.0 /s | +20.0 % |  |  |  | better"},
		"a lower rate":              {figure("MiB/s", "", 10, 0), figure("MiB/s", "", 8, 0), "10.0 MiB/s | 8.00 MiB/s | -20.0 % |  |  |  | worse"},
		"more memory":               {figure("MiB", "", 10, 0), figure("MiB", "", 12, 0), "10.0 MiB | 12.0 MiB | +20.0 % |  |  |  | worse"},
		"just noise":                {figure("ms", "", 10, 0), figure("ms", "", 10.9, 0), "10.0 ms | 10.9 ms | +9.0 % |  |  |  | "},
		"neither is better":         {figure("", "", 10, 0), figure("", "", 20, 0), "10.0 | 20.0 | +100.0 % |  |  |  | "},
		"said, not by its unit":     {figure("", bench.Lower, 0, 0), figure("", bench.Lower, 1, 0), "0 | 1.00 | from 0 |  |  |  | worse"},
		"said against its unit":     {figure("ms", bench.Higher, 10, 0), figure("ms", bench.Higher, 12, 0), "10.0 ms | 12.0 ms | +20.0 % |  |  |  | better"},
		"the machine was slower":    {figure("ms", "", 10, 40), figure("ms", "", 12, 40), "10.0 ms | 12.0 ms | +20.0 % | 40.0 | 40.0 | +0.0 % | "},
		"the baseline was faster":   {figure("ms", "", 10, 40), figure("ms", "", 10, 50), "10.0 ms | 10.0 ms | +0.0 % | 40.0 | 50.0 | +25.0 % | "},
		"value and ratio are worse": {figure("ms", "", 10, 40), figure("ms", "", 12, 50), "10.0 ms | 12.0 ms | +20.0 % | 40.0 | 50.0 | +25.0 % | worse"},
		"they contradict":           {figure("ms", "", 10, 40), figure("ms", "", 12, 30), "10.0 ms | 12.0 ms | +20.0 % | 40.0 | 30.0 | -25.0 % | "},
		"less than nothing":         {figure("MiB", "", -1, 0), figure("MiB", "", 1, 0), "-1.00 MiB | 1.00 MiB | +200.0 % |  |  |  | worse"},
	} {
		table, worse := compared(t, of(test.a), of(test.b))
		if got := rowOf(t, table, "x"); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if isWorse := strings.HasSuffix(test.want, "worse"); isWorse != (len(worse) == 1) {
			t.Errorf("%s: worse are %q", name, worse)
		}
	}
}

func TestCompare_OtherMachinesAreSaid(t *testing.T) {
	value := bench.Figure{Name: "call p50", Value: 10, Unit: "ms", Baseline: "bare", Base: 1, Ratio: 10}
	a, b := of(value), of(value)
	b.Results[0].Figures[0].Value, b.Results[0].Figures[0].Base = 30, 3 // a machine three times slower
	b.Machine.CPU, b.Machine.Cores = "Another | CPU", 64
	a.Options, b.Options = map[string]string{"duration": "5s", "old": "1"}, map[string]string{"duration": "9s"}
	table, worse := compared(t, a, b)
	for _, want := range []string{
		`Note: the machines differ in cpu: "A CPU" in a, "Another \| CPU" in b`, `Note: the machines differ in cores: "2" in a, "64" in b`,
		`Note: the options differ in duration: "5s" in a, "9s" in b`, `Note: the options differ in old: "1" in a, "" in b`,
		"alone is judged",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if len(worse) > 0 {
		t.Errorf("worse: %q", worse)
	}
	b.Results[0].Figures[0].Value, b.Results[0].Figures[0].Ratio = 10, 20 // on a faster one it would be
	if _, worse := compared(t, a, b); !slices.Equal(worse, []string{"warm, 1 client: call p50"}) {
		t.Errorf("worse: %q", worse)
	}
	if table, _ := compared(t, a, a); strings.Contains(table, "Note: ") {
		t.Errorf("of the same machine:\n%s", table)
	}
}

// Results are joined by how they were measured, then by workload; what has no
// other half is shown.
func TestCompare_JoinsResults(t *testing.T) {
	f := func(name string, v float64) []bench.Figure { return []bench.Figure{{Name: name, Value: v, Unit: "ms"}} }
	a, b := of(), of()
	a.Results = []*bench.Result{
		{Workload: "warm", Clients: 1, Figures: f("one", 1)},
		{Workload: "warm", Clients: 64, Figures: f("many", 2)},
		{Workload: "create", Clients: 1, Figures: f("made", 3)},
		{Workload: "old", Clients: 1, Figures: f("gone", 4)},
	}
	b.Results = []*bench.Result{
		{Workload: "warm", Clients: 64, Figures: f("many", 2)},
		{Workload: "warm", Clients: 1, Figures: f("one", 1)},
		{Workload: "create", Clients: 5, Figures: append(f("made", 3), f("fresh", 5)...)},
		{Workload: "new", Rate: 10, Arrival: "fixed", Figures: f("come", 6)},
	}
	table, _ := compared(t, a, b)
	for figure, want := range map[string]string{
		"one": "1.00 ms | 1.00 ms | +0.0 % |  |  |  | ", "many": "2.00 ms | 2.00 ms | +0.0 % |  |  |  | ", "made": "3.00 ms | 3.00 ms | +0.0 % |  |  |  | ",
		"gone": "4.00 ms |  |  |  |  |  | only in a", "fresh": " | 5.00 ms |  |  |  |  | only in b", "come": " | 6.00 ms |  |  |  |  | only in b",
	} {
		if got := rowOf(t, table, figure); got != want {
			t.Errorf("%s: %q, want %q", figure, got, want)
		}
	}
	if !strings.Contains(table, "Note: create, 1 client in a is compared with create, 5 clients in b") || !strings.Contains(table, "| new, 10.0/s fixed |") {
		t.Error(table)
	}
}

// A figure can be there more than once, beside different baselines.
func TestCompare_TellsBaselinesApart(t *testing.T) {
	beside := func(baseline string, ratio float64) bench.Figure {
		return bench.Figure{Name: "call p50", Value: 10, Unit: "ms", Baseline: baseline, Base: 10 / ratio, Ratio: ratio}
	}
	a, b := of(beside("pipe", 100), beside("echo", 20)), of(beside("echo", 20), beside("pipe", 100))
	if table, _ := compared(t, a, b); strings.Count(table, "| +0.0 % | 20.0 | 20.0 | +0.0 % |") != 1 || strings.Count(table, "| +0.0 % | 100 | 100 | +0.0 % |") != 1 {
		t.Error(table)
	}
	table, _ := compared(t, of(beside("pipe", 100)), of(beside("echo", 20))) // of which the ratios say nothing
	if got, want := rowOf(t, table, "call p50"), "10.0 ms | 10.0 ms | +0.0 % | 100 | 20.0 |  | "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// inFile writes a report and returns the file's name.
func inFile(t *testing.T, r *bench.Report) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(name, written(t, r.JSON), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestMain_Compares(t *testing.T) {
	a := inFile(t, of(bench.Figure{Name: "x", Value: 10, Unit: "ms"}))
	b := inFile(t, of(bench.Figure{Name: "x", Value: 12, Unit: "ms"}))
	text := filepath.Join(t.TempDir(), "text.json")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args      []string
		out, fail string
	}{
		"worse":           {[]string{a, b}, "0 better, 1 worse by more than 10 %, of 1 figure", ""},
		"worse and fails": {[]string{a, b, "--fail-on-regression"}, "1 worse", "1 figure worse by more than 10 %: warm, 1 client: x"},
		"better":          {[]string{"--fail-on-regression", b, a}, "1 better, 0 worse", ""},
		"within noise":    {[]string{a, b, "--threshold", "25", "--fail-on-regression"}, "0 better, 0 worse by more than 25 %", ""},
		"help":            {[]string{"--help"}, "--threshold", ""},
		"one":             {[]string{a}, "", "takes two reports"},
		"a flag":          {[]string{a, b, "--nonsense"}, "", "bench compare --help"},
		"less than none":  {[]string{a, b, "--threshold", "-1"}, "", "give 0 or more"},
		"no number":       {[]string{a, b, "--threshold", "NaN"}, "", "give 0 or more"},
		"no file":         {[]string{a, "/nonexistent/b.json"}, "", "no such file"},
		"no report":       {[]string{text, b}, "", "text.json: not a report in JSON"},
	} {
		var out bytes.Buffer
		err := bench.Main(t.Context(), append([]string{"compare"}, test.args...), nil, &out, io.Discard)
		if !strings.Contains(out.String(), test.out) || (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
			t.Errorf("%s: %v\n%s", name, err, &out)
		}
	}
}

// sdk is what one who knows the form of ComputeSDK's files reads.
type sdk struct {
	Version, Timestamp string
	Environment        map[string]string
	Config             struct{ Iterations, TimeoutMs int }
	Results            []struct {
		Provider, Mode     string
		Concurrency        int
		StaggerDelayMs     float64
		WallClockMs        float64
		TimeToFirstReadyMs float64
		Iterations         []struct {
			TTIMs float64
			Error string
		}
		Summary struct {
			TTIMs struct{ Median, P95, P99 float64 }
		}
		CompositeScore float64
		SuccessRate    float64
	}
}

func TestReport_IsExportedForComputeSDK(t *testing.T) {
	r := sample(t)
	r.Options["interval"] = "50ms"
	r.Results = append(r.Results,
		&bench.Result{Workload: "staggered", Clients: 10, N: 10, Wall: time.Second, Latency: counted(t, 10, 20000)},
		&bench.Result{Workload: "staggered", Clients: 10, N: 10, Rate: 4, Arrival: "fixed", Wall: time.Second, Latency: counted(t, 10, 20000)},
		&bench.Result{Workload: "create", Clients: 100, N: 100, Wall: 1500 * time.Millisecond, Latency: counted(t, 75, 10000)},
		&bench.Result{Workload: "burst", Clients: 1, N: 1, Wall: time.Second, Latency: counted(t, 1, 2000)},
		&bench.Result{Workload: "create", Clients: 4, N: 100, Wall: time.Second, Latency: counted(t, 100, 10000)}, // none of theirs
		&bench.Result{Workload: "create", Clients: 1, N: 100, Rate: 5, Latency: counted(t, 100, 10000)},           // nor this
	)
	var got sdk
	if err := json.Unmarshal(written(t, r.ComputeSDK), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "1.1" || got.Timestamp != "2026-11-26T16:00:00.000Z" || got.Environment["arch"] != "x64" || got.Environment["platform"] != "linux" || got.Config.Iterations != 100 {
		t.Errorf("%+v", got)
	}
	var modes []string
	for _, x := range got.Results {
		modes = append(modes, fmt.Sprintf("%s of %d at %g", x.Mode, len(x.Iterations), x.StaggerDelayMs))
	}
	if want := []string{"sequential of 100 at 0", "staggered of 10 at 50", "staggered of 10 at 250", "concurrent of 100 at 0", "concurrent of 1 at 0"}; !slices.Equal(modes, want) {
		t.Fatalf("modes %q, want %q", modes, want)
	}
	// Times rise from 40 ms by 40 ms x i²/100. Of 100 the outer 10 do not count:
	// the median is between the 50th and the 51st, the others are the 86th and
	// the 90th of those that are left, that is the 91st and the 95th of all.
	at := func(i int) float64 { return 40 + 0.4*float64(i*i) }
	x := got.Results[0]
	near(t, "median", x.Summary.TTIMs.Median, (at(49)+at(50))/2)
	near(t, "p95", x.Summary.TTIMs.P95, at(90))
	near(t, "p99", x.Summary.TTIMs.P99, at(94))
	near(t, "score", x.CompositeScore, 60*(1-(at(49)+at(50))/2e4)+25*(1-at(90)/1e4)+15*(1-at(94)/1e4))
	near(t, "an iteration", x.Iterations[10].TTIMs, at(10))
	if x.Provider != "sandwarden" || x.SuccessRate != 1 || x.Concurrency != 0 || x.WallClockMs != 0 {
		t.Errorf("%+v", x)
	}
	x = got.Results[3] // of which a quarter failed
	near(t, "first", x.TimeToFirstReadyMs, 10)
	if x.Concurrency != 100 || x.WallClockMs != 1500 || x.SuccessRate != 0.75 || x.Iterations[74].Error != "" || x.Iterations[75].Error == "" || x.Iterations[75].TTIMs != 0 {
		t.Errorf("%+v", x)
	}
	near(t, "a single one", got.Results[4].Summary.TTIMs.P99, 2)
}

// near allows for the three digits of a histogram.
func near(t *testing.T, name string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > want/500+0.01 {
		t.Errorf("%s is %g, want %g", name, got, want)
	}
}

func TestMain_Exports(t *testing.T) {
	file, folder := inFile(t, sample(t)), t.TempDir()
	names := func(name string) string { return filepath.Join(folder, name) }
	args := []string{"export", file, "--computesdk", names("sdk.json"), "--html", names("page.html"), "--svg", names("charts")}
	if err := bench.Main(t.Context(), args, nil, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(names("page.html"))
	if err != nil || !bytes.Equal(page, written(t, sample(t).HTML)) {
		t.Errorf("%v: the page is another than that of the run", err)
	}
	for _, name := range []string{"sdk.json", "charts/ratios.svg"} {
		if info, err := os.Stat(names(name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := inFile(t, of())
	for name, test := range map[string]struct {
		args      []string
		out, fail string
	}{
		"to standard output": {[]string{file, "--computesdk", "-"}, `"provider": "sandwarden"`, ""},
		"help":               {[]string{"--help"}, "--computesdk", ""},
		"nothing to do":      {[]string{file}, "", "writes nothing"},
		"no report":          {[]string{"--computesdk", "-"}, "", "takes one report"},
		"two":                {[]string{file, file, "--computesdk", "-"}, "", "takes one report"},
		"none of theirs":     {[]string{none, "--computesdk", names("none.json")}, "", "none of the scenarios"},
		"a flag":             {[]string{file, "--json", "x"}, "", "bench export --help"},
		"no file":            {[]string{names("no.json"), "--computesdk", "-"}, "", "no such file"},
	} {
		var out bytes.Buffer
		err := bench.Main(t.Context(), append([]string{"export"}, test.args...), nil, &out, io.Discard)
		if !strings.Contains(out.String(), test.out) || (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
			t.Errorf("%s: %v\n%s", name, err, &out)
		}
	}
	if _, err := os.Stat(names("none.json")); err == nil {
		t.Error("a file was made for nothing")
	}
}

// A run writes all that is asked for, and what was written can be used.
func TestMain_WritesPageAndCharts(t *testing.T) {
	d, folder := start(t), t.TempDir()
	names := func(name string) string { return filepath.Join(folder, name) }
	args := []string{"warm", "--url", d.URL, "--duration", "20ms", "--json", names("r.json"), "--html", names("r.html"), "--svg", names("charts")}
	if err := bench.Main(t.Context(), args, nil, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(names("r.html"))
	if err != nil {
		t.Fatal(err)
	}
	if text, elements := wellFormed(t, page); elements["svg"] != 2 || !strings.Contains(text, "bare echo") {
		t.Errorf("%v", elements)
	}
	for _, name := range []string{"charts/warm-1-client-latency.svg", "charts/ratios.svg"} {
		if _, err := os.Stat(names(name)); err != nil {
			t.Error(err)
		}
	}
	var out bytes.Buffer
	if err := bench.Main(t.Context(), []string{"compare", names("r.json"), names("r.json"), "--fail-on-regression"}, nil, &out, io.Discard); err != nil || !strings.Contains(out.String(), "0 better, 0 worse") {
		t.Errorf("%v\n%s", err, &out)
	}
}
