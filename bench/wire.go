package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// schema is the version of the JSON form, which docs/bench.md tells. It rises
// when one who reads the form would misunderstand a new one, not when a member
// is added.
const schema = 1

// The JSON form. Names have the unit where there is one.
type (
	wireReport struct {
		Schema  int               `json:"schema"`
		Time    time.Time         `json:"time"`
		URL     string            `json:"url"`
		Daemon  string            `json:"daemon,omitempty"`
		Machine Machine           `json:"machine"`
		Options map[string]string `json:"options,omitempty"`
		Results []wireResult      `json:"results"`
		Notes   []string          `json:"notes,omitempty"`
	}
	wireResult struct {
		Workload string         `json:"workload"`
		Clients  int            `json:"clients"`
		N        int            `json:"n"`
		Rate     float64        `json:"rate_per_s,omitempty"`
		Arrival  string         `json:"arrival,omitempty"`
		Wall     float64        `json:"wall_s"`
		Latency  *wireLatency   `json:"latency,omitempty"`
		Bases    []wireBaseline `json:"baselines,omitempty"`
		Figures  []Figure       `json:"figures"`
		Series   []wireSeries   `json:"series,omitempty"`
	}
	wireBaseline struct {
		Name    string       `json:"name"`
		Latency *wireLatency `json:"latency"`
	}
	// A wireLatency is a whole distribution; what stands before the histogram
	// is taken out of it for those who do not decode it.
	wireLatency struct {
		Count     int64   `json:"count"`
		Min       float64 `json:"min_ms"`
		Mean      float64 `json:"mean_ms"`
		P50       float64 `json:"p50_ms"`
		P90       float64 `json:"p90_ms"`
		P95       float64 `json:"p95_ms"`
		P99       float64 `json:"p99_ms"`
		P999      float64 `json:"p999_ms"`
		Max       float64 `json:"max_ms"`
		Histogram string  `json:"histogram_us"` // V2 compressed, base64
	}
	wireSeries struct {
		Name   string      `json:"name"`
		XUnit  string      `json:"x_unit"`
		Unit   string      `json:"unit"`
		Points [][]float64 `json:"points"`
	}
)

// JSON writes the report for programs, and for [ReadReport]. A figure or point
// that is not a number, for which JSON has no word, is left out.
func (r *Report) JSON(w io.Writer) error {
	r = r.clean()
	form := wireReport{
		Schema: schema, Time: r.Time.UTC(), URL: r.URL, Daemon: r.Daemon, Machine: r.Machine, Options: r.Options,
		Results: make([]wireResult, 0, len(r.Results)), Notes: r.Notes,
	}
	for _, result := range r.Results {
		x, err := result.wire()
		if err != nil {
			return fmt.Errorf("%s: %w", result.Workload, err)
		}
		form.Results = append(form.Results, x)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(form)
}

func (r *Result) wire() (wireResult, error) {
	x := wireResult{
		Workload: r.Workload, Clients: r.Clients, N: r.N, Rate: r.Rate, Arrival: r.Arrival, Wall: r.Wall.Seconds(),
		Figures: make([]Figure, 0, len(r.Figures)),
	}
	var err error
	if x.Latency, err = wireOf(r.Latency); err != nil {
		return x, err
	}
	for _, base := range r.Bases {
		latency, err := wireOf(base.Latency)
		if err != nil {
			return x, err
		}
		x.Bases = append(x.Bases, wireBaseline{base.Name, latency})
	}
	for _, f := range r.Figures {
		if finite(f.Value, f.Base, f.Ratio) {
			x.Figures = append(x.Figures, f)
		}
	}
	for _, s := range r.Series {
		points := make([][]float64, 0, len(s.Points))
		for _, p := range s.Points {
			if finite(p[0], p[1]) {
				points = append(points, []float64{p[0], p[1]})
			}
		}
		x.Series = append(x.Series, wireSeries{Name: s.Name, XUnit: s.XUnit, Unit: s.Unit, Points: points})
	}
	return x, nil
}

func finite(all ...float64) bool {
	for _, v := range all {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// wireOf returns the form of a histogram, or nil for none.
func wireOf(h *hdrhistogram.Histogram) (*wireLatency, error) {
	if h == nil {
		return nil, nil //nolint:nilnil // there is none, and nothing wrong with that
	}
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("the histogram cannot be encoded: %w", err)
	}
	x := &wireLatency{Count: h.TotalCount(), Histogram: string(encoded)}
	if x.Count == 0 {
		return x, nil
	}
	at := func(q float64) float64 { return millis(h.ValueAtQuantile(q)) }
	x.Min, x.Mean, x.Max = millis(h.Min()), h.Mean()/1000, millis(h.Max())
	x.P50, x.P90, x.P95, x.P99, x.P999 = at(50), at(90), at(95), at(99), at(99.9)
	return x, nil
}
