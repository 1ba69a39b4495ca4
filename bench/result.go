package bench

import (
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Result is what one workload measured.
type Result struct {
	Workload string
	Clients  int
	N        int                     // calls, sessions or lines, as the workload counts
	Rate     float64                 // arrivals a second of open-loop load; 0 is closed
	Arrival  string                  // how they arrive; empty is one after the other
	Wall     time.Duration           // of the part that was measured
	Latency  *hdrhistogram.Histogram // in microseconds; nil where there is none
	Bases    []Baseline
	Figures  []Figure
	Series   []Series
}

// A Baseline is what something else took in the same run, such as the bare
// machine.
type Baseline struct {
	Name    string
	Latency *hdrhistogram.Histogram // in microseconds; not nil
}

// The directions in which a figure improves.
const (
	Lower  = "lower"
	Higher = "higher"
)

// A Figure is one number, beside what the bare machine does.
type Figure struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Better   string  `json:"better,omitempty"`   // Lower or Higher; empty where neither is
	Baseline string  `json:"baseline,omitempty"` // what it is compared with
	Base     float64 `json:"base,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"` // Value / Base
}

// A Series is how one number goes with another, as delay does with load.
type Series struct {
	Name   string       // what is drawn upwards
	XUnit  string       // what the first of each point counts, such as "sessions"
	Unit   string       // of the second
	Points [][2]float64 // in the order in which they are joined
}

func (r *Result) add(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit, Better: better(unit)})
}

func (r *Result) compare(name string, value float64, unit, baseline string, base float64) {
	f := Figure{Name: name, Value: value, Unit: unit, Better: better(unit), Baseline: baseline, Base: base}
	if base > 0 { // memory can seem to grow on a machine that is busy otherwise
		f.Ratio = value / base
	}
	r.Figures = append(r.Figures, f)
}

// fewer adds a count of what should be little, or not be.
func (r *Result) fewer(name string, value float64) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Better: Lower})
}

// better returns the direction in which figures of a unit improve, or nothing
// for those of which the unit does not say it.
func better(unit string) string {
	if strings.HasSuffix(unit, "/s") {
		return Higher
	}
	switch unit {
	case "ns", "us", "µs", "ms", "s", "B", "KiB", "MiB", "GiB":
		return Lower
	}
	return ""
}

// latencies adds the usual quantiles, compared with those of a baseline, which
// it keeps.
func (r *Result) latencies(what, baseline string, base *hdrhistogram.Histogram) {
	r.Bases = append(r.Bases, Baseline{baseline, base})
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
