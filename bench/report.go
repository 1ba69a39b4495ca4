package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"
)

// A Report is what a run measured, on which machine.
type Report struct {
	Time    time.Time
	URL     string
	Results []*Result
}

// Markdown writes the report as a table for people.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s/%s, %d CPUs, daemon at %s\n\n", r.Time.UTC().Format(time.RFC3339), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), r.URL)
	b.WriteString("| workload | figure | value | baseline | its value | ratio |\n|---|---|---:|---|---:|---:|\n")
	for _, result := range r.Results {
		workload := fmt.Sprintf("%s, %s, n %d", result.Workload, plural(result.Clients, "client"), result.N)
		for _, f := range result.Figures {
			base, ratio := "", ""
			if f.Baseline != "" {
				base, ratio = number(f.Base)+" "+f.Unit, "noise"
			}
			if f.Ratio != 0 {
				ratio = number(f.Ratio)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n",
				workload, f.Name, strings.TrimSpace(number(f.Value)+" "+f.Unit), f.Baseline, base, ratio)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// number shows three digits that matter, without an exponent.
func number(v float64) string {
	switch {
	case v == 0 || v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1 || v <= -1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// JSON writes the report for programs.
func (r *Report) JSON(w io.Writer) error {
	type latency struct {
		Count int64   `json:"count"`
		Min   float64 `json:"min_ms"`
		Mean  float64 `json:"mean_ms"`
		P50   float64 `json:"p50_ms"`
		P90   float64 `json:"p90_ms"`
		P99   float64 `json:"p99_ms"`
		Max   float64 `json:"max_ms"`
	}
	type result struct {
		Workload string   `json:"workload"`
		Clients  int      `json:"clients"`
		N        int      `json:"n"`
		Wall     float64  `json:"wall_s"`
		Latency  latency  `json:"latency"`
		Figures  []Figure `json:"figures"`
	}
	all := struct {
		Time    time.Time `json:"time"`
		URL     string    `json:"url"`
		OS      string    `json:"os"`
		Arch    string    `json:"arch"`
		CPUs    int       `json:"cpus"`
		Go      string    `json:"go"`
		Results []result  `json:"results"`
	}{Time: r.Time.UTC(), URL: r.URL, OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	for _, x := range r.Results {
		h := x.Latency
		all.Results = append(all.Results, result{
			x.Workload, x.Clients, x.N, x.Wall.Seconds(), latency{
				h.TotalCount(), millis(h.Min()), h.Mean() / 1000, millis(h.ValueAtQuantile(50)),
				millis(h.ValueAtQuantile(90)), millis(h.ValueAtQuantile(99)), millis(h.Max()),
			}, x.Figures,
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
