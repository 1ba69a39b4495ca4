package bench

import (
	"fmt"
	"io"
	"strings"
)

// A target is a figure that is to be reached by a daemon with native sandboxes
// on a virtual machine with 2 cores and 24 GiB of memory. On another machine it
// says nothing.
type target struct {
	what     string
	workload string
	clients  int    // 0: whatever they are
	rated    bool   // of arrivals at a rate
	n        int    // at least; fewer say nothing
	figure   string // its name
	ratio    bool   // that to the baseline counts, not the value
	least    bool   // it is to be at least that, else at most
	value    float64
	unit     string
}

// targets is the list, in the order of the workloads.
func targets() []target {
	return []target{
		{what: "warm call, 1 client", workload: "warm", clients: 1, figure: "call p50", value: 0.5, unit: "ms"},
		{what: "warm calls, 64 clients", workload: "warm", clients: 64, figure: "calls", least: true, value: 5000, unit: "/s"},
		{what: "warm calls, 64 clients, part of a bare echo", workload: "warm", clients: 64, figure: "calls", ratio: true, least: true, value: 0.25},
		{what: "new session to first result, one ready", workload: "staggered", rated: true, figure: "new session to first result p50", value: 2, unit: "ms"},
		{what: "its tail, p99", workload: "staggered", rated: true, figure: "new session to first result p99", value: 10, unit: "ms"},
		{what: "new session to first result, none ready", workload: "cold", clients: 1, figure: "new session to first result p50", value: 8, unit: "ms"},
		{what: "100 new sessions at once", workload: "burst", clients: 100, figure: "burst, wall", value: 300, unit: "ms"},
		{what: "sessions made, with a first result, and stopped", workload: "turnover", figure: "sessions made and stopped", least: true, value: 200, unit: "/s"},
		{what: "memory of an idle Python session, all counted", workload: "hold", figure: "memory of an idle Python session", value: 3, unit: "MiB"},
		{what: "sessions held on 24 GiB (hold --n 5000)", workload: "hold", n: 1000, figure: "sessions held", least: true, value: 5000},
		{what: "daemon's memory an idle session (hold --n 5000)", workload: "hold", n: 1000, figure: "daemon's memory a session", value: 20, unit: "KiB"},
		{what: "tasks an idle session", workload: "hold", figure: "tasks a session", value: 8},
		{what: "daemon's descriptors an idle session", workload: "hold", figure: "daemon's descriptors a session", value: 2},
		{what: "bytes lost by 100 readers beside a stuck one", workload: "stream", clients: 100, figure: "bytes lost by a reader", value: 0},
		{what: "sessions left at the end", workload: "left", figure: "sessions left", value: 0},
	}
}

// of returns what results have of a target, and whether they have it.
func (t *target) of(results []*Result) (value float64, ok bool) {
	for _, r := range results {
		if r.Workload != t.workload || r.Rate > 0 != t.rated || r.N < t.n || t.clients > 0 && r.Clients != t.clients {
			continue
		}
		for i := range r.Figures {
			if f := &r.Figures[i]; f.Name == t.figure {
				value, ok = f.Value, true
				if t.ratio { // the last that has the name has the baseline that is meant
					value, ok = f.Ratio, f.Ratio != 0
				}
			}
		}
	}
	return value, ok
}

// verdict says whether a value is good enough. Less than nothing is what a
// machine makes of a measurement that is busy otherwise.
func (t *target) verdict(value float64) string {
	switch {
	case value < 0:
		return "noise"
	case t.least && value < t.value, !t.least && value > t.value:
		return "no"
	}
	return "yes"
}

// writeTargets writes a table of what is to be reached on a machine of that
// size, and what was.
func writeTargets(w io.Writer, results []*Result) error {
	var b strings.Builder
	b.WriteString("\nTargets, which are for 2 cores and 24 GiB of a virtual machine:\n\n| figure | target | measured | reached |\n|---|---:|---:|---|\n")
	for _, t := range targets() {
		bound, measured, verdict := "≤ ", "", "not measured"
		if t.least {
			bound = "≥ "
		}
		if value, ok := t.of(results); ok {
			measured, verdict = strings.TrimSpace(number(value)+" "+t.unit), t.verdict(value)
		}
		row(&b, t.what, strings.TrimSpace(fmt.Sprint(bound, number(t.value), " ", t.unit)), measured, verdict)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
