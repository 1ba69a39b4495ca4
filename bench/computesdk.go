package bench

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The form of the result files of the ComputeSDK benchmark, version 1.1, as far
// as it has to do with a daemon on one machine. Times are in milliseconds.
type (
	sdkFile struct {
		Version     string         `json:"version"`
		Timestamp   string         `json:"timestamp"`
		Environment sdkEnvironment `json:"environment"`
		Config      sdkConfig      `json:"config"`
		Results     []sdkResult    `json:"results"`
	}
	sdkEnvironment struct {
		Go       string `json:"go"` // where theirs is node
		Platform string `json:"platform"`
		Arch     string `json:"arch"`
	}
	sdkConfig struct {
		Iterations int   `json:"iterations"`
		Timeout    int64 `json:"timeoutMs"`
	}
	sdkResult struct {
		Provider    string         `json:"provider"`
		Mode        string         `json:"mode"`
		Concurrency int            `json:"concurrency,omitempty"`
		Stagger     float64        `json:"staggerDelayMs,omitempty"`
		Wall        float64        `json:"wallClockMs,omitempty"`
		First       float64        `json:"timeToFirstReadyMs,omitempty"`
		Iterations  []sdkIteration `json:"iterations"`
		Summary     sdkSummary     `json:"summary"`
		Score       float64        `json:"compositeScore"`
		Success     float64        `json:"successRate"`
	}
	sdkIteration struct {
		TTI   float64 `json:"ttiMs"`
		Error string  `json:"error,omitempty"`
	}
	sdkSummary struct {
		TTI sdkStats `json:"ttiMs"`
	}
	sdkStats struct {
		Median float64 `json:"median"`
		P95    float64 `json:"p95"`
		P99    float64 `json:"p99"`
	}
)

// The modes of that benchmark.
const (
	sdkSequential = "sequential"
	sdkStaggered  = "staggered"
	sdkConcurrent = "concurrent"
)

// ComputeSDK writes the results that the ComputeSDK benchmark has too, in the
// form of its result files: sandboxes made one after the other, staggered, and
// all at once. It fails if there is none of them.
func (r *Report) ComputeSDK(w io.Writer) error {
	r = r.clean()
	file := sdkFile{
		Version: "1.1", Timestamp: r.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		Environment: sdkEnvironment{Go: r.Machine.Go, Platform: r.Machine.OS, Arch: nodeArch(r.Machine.Arch)},
		Config:      sdkConfig{Timeout: (2 * time.Minute).Milliseconds()},
	}
	for _, result := range r.Results {
		if mode := result.sdkMode(); mode != "" {
			x := result.sdk(mode)
			if mode == sdkStaggered {
				x.Stagger = result.stagger(r.Options)
			}
			file.Results = append(file.Results, x)
		}
	}
	if len(file.Results) == 0 {
		return errors.New("the report has none of the scenarios of ComputeSDK: measure create with 1 client, staggered or burst")
	}
	file.Config.Iterations = len(file.Results[0].Iterations)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(file)
}

// nodeArch is the name that Node has for an architecture.
func nodeArch(arch string) string {
	switch arch {
	case "amd64":
		return "x64"
	case "386":
		return "ia32"
	}
	return arch
}

// sdkMode returns which of their scenarios a result is, or nothing.
func (r *Result) sdkMode() string {
	switch {
	case r.Latency == nil || r.Latency.TotalCount() == 0:
		return ""
	case r.Latency.TotalCount() > maxSessions || r.N > maxSessions: // no run of ours
		return ""
	case r.Workload == "staggered":
		return sdkStaggered
	case r.Workload == "burst", r.Workload == "create" && r.Clients > 1 && r.Clients >= r.N:
		return sdkConcurrent
	case r.Workload == "create" && r.Clients == 1 && r.Rate == 0:
		return sdkSequential
	}
	return ""
}

func (r *Result) sdk(mode string) sdkResult {
	times := counted(r.Latency)
	x := sdkResult{Provider: "sandwarden", Mode: mode, Summary: sdkSummary{summarise(times)}}
	for _, t := range times {
		x.Iterations = append(x.Iterations, sdkIteration{TTI: hundredths(t)})
	}
	for range r.N - len(times) {
		x.Iterations = append(x.Iterations, sdkIteration{Error: "the session was not made, or its code did not run"})
	}
	x.Success = float64(len(times)) / float64(len(x.Iterations))
	x.Score = hundredths(score(x.Summary.TTI) * x.Success)
	x.Success = hundredths(x.Success)
	if mode != sdkSequential {
		x.Concurrency, x.Wall, x.First = len(x.Iterations), hundredths(r.Wall.Seconds()*1000), hundredths(times[0])
	}
	return x
}

// stagger returns the milliseconds between two launches, or 0 where nothing
// tells.
func (r *Result) stagger(options map[string]string) float64 {
	if r.Rate > 0 {
		return hundredths(1000 / r.Rate)
	}
	interval, err := time.ParseDuration(options["interval"])
	if err != nil || interval < 0 {
		return 0
	}
	return hundredths(interval.Seconds() * 1000)
}

// counted returns what a histogram counted, in milliseconds, from the shortest:
// in which order they came it does not know.
func counted(h *hdrhistogram.Histogram) []float64 {
	var times []float64
	for _, bar := range h.Distribution() {
		for range bar.Count {
			times = append(times, millis((bar.From+bar.To)/2))
		}
	}
	return times
}

// summarise takes the statistics as that benchmark does: without the shortest
// and the longest twentieth, of sorted times.
func summarise(times []float64) sdkStats {
	cut := len(times) / 20
	rest := times[cut : len(times)-cut]
	at := func(percent int) float64 {
		return rest[max((len(rest)*percent+99)/100, 1)-1] // the nearest rank
	}
	middle := rest[len(rest)/2]
	if len(rest)%2 == 0 {
		middle = (middle + rest[len(rest)/2-1]) / 2
	}
	return sdkStats{Median: hundredths(middle), P95: hundredths(at(95)), P99: hundredths(at(99))}
}

// score is that benchmark's: each time is worth what is left of ten seconds, in
// percent, and the median counts most.
func score(s sdkStats) float64 {
	worth := func(ms float64) float64 { return max(0, 100-ms/100) }
	return 0.60*worth(s.Median) + 0.25*worth(s.P95) + 0.15*worth(s.P99)
}

func hundredths(v float64) float64 { return math.Round(v*100) / 100 }
