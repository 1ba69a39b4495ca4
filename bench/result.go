package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Result is what one workload measured.
type Result struct {
	Workload string
	Clients  int
	N        int                     // calls, sessions or lines, as the workload counts
	Wall     time.Duration           // of the part that was measured
	Latency  *hdrhistogram.Histogram // in microseconds
	Figures  []Figure
}

// A Figure is one number, beside what the bare machine does.
type Figure struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Baseline string  `json:"baseline,omitempty"` // what it is compared with
	Base     float64 `json:"base,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"` // Value / Base
}

func (r *Result) add(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
}

func (r *Result) compare(name string, value float64, unit, baseline string, base float64) {
	f := Figure{Name: name, Value: value, Unit: unit, Baseline: baseline, Base: base}
	if base > 0 { // memory can seem to grow on a machine that is busy otherwise
		f.Ratio = value / base
	}
	r.Figures = append(r.Figures, f)
}

// latencies adds the usual quantiles, compared with those of a baseline.
func (r *Result) latencies(what, baseline string, base *hdrhistogram.Histogram) {
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 50}, {"p99", 99}} {
		r.compare(what+" "+q.name, millis(r.Latency.ValueAtQuantile(q.at)), "ms", baseline+" "+q.name, millis(base.ValueAtQuantile(q.at)))
	}
}

func millis(micros int64) float64 { return float64(micros) / 1000 }

// newHistogram counts microseconds up to ten minutes, to three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
}

// record counts a duration; one that is longer than the histogram knows counts
// as the longest.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), h.LowestTrackableValue()), h.HighestTrackableValue()))
}
