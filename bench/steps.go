package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A step is one call of one workload.
type step struct {
	workload string
	about    string
	run      func(context.Context, Options) (*Result, error)
	clients  int // in place of the workload's default
	n        int
	duration time.Duration
}

func steps() []step {
	return []step{
		{workload: "warm", run: Warm, about: "calls on sessions that exist"},
		{workload: "create", run: Create, about: "from a new session to its first result, and its stop"},
		{workload: "cold", run: Cold, about: "the same of a daemon that has no sandbox ready"},
		{workload: "burst", run: Burst, about: "new sessions that are asked for at once, twice"},
		{workload: "staggered", run: Staggered, about: "new sessions that begin at an interval"},
		{workload: "churn", run: Churn, about: "sessions that are made, used and stopped, for a while"},
		{workload: "turnover", run: Turnover, about: "the same, each used for its first result alone"},
		{workload: "hold", run: Hold, about: "what idle Python sessions cost; wants the daemon on this machine"},
		{workload: "stream", run: Stream, about: "live output to many readers, and from call to first output"},
		{workload: "soak", run: Soak, about: "all kinds of work for a long time, and what the daemon grows by"},
		{workload: "chaos", run: Chaos, about: "harm to sessions: who asks is answered, who looks on is not harmed"},
	}
}

// allSteps are those of "all". Clients and numbers of theirs are what their
// figures are known by: they win over flags.
func allSteps() []step {
	return []step{
		{workload: "hold", run: Hold}, // first: what others have ended gives memory back for a while
		{workload: "warm", run: Warm, clients: 1},
		{workload: "warm", run: Warm, clients: 64},
		{workload: "create", run: Create, clients: 1},
		{workload: "cold", run: Cold, clients: 1},
		{workload: "burst", run: Burst},
		{workload: "staggered", run: Staggered},
		{workload: "churn", run: Churn, duration: 5 * time.Second},
		{workload: "turnover", run: Turnover, duration: 5 * time.Second},
		{workload: "stream", run: Stream, clients: 100, n: 5000},
		{workload: "soak", run: Soak, clients: 8, duration: 10 * time.Second},
		{workload: "chaos", run: Chaos, clients: 4, n: 8, duration: 6 * time.Second},
	}
}

// Workloads returns what the command can be asked for.
func Workloads() []string {
	var names []string
	for _, s := range steps() {
		names = append(names, s.workload)
	}
	return append(names, "all")
}

// usage says what there is to measure.
func usage() string {
	var b strings.Builder
	b.WriteString("Usage: sandwarden bench WORKLOAD [flags]\n\n")
	for _, s := range steps() {
		fmt.Fprintf(&b, "  %-9s  %s\n", s.workload, s.about)
	}
	b.WriteString(`  all        all of them, warm with 1 and with 64 clients, new sessions also without
             pools; and what is to be reached

Without --url it starts a daemon of its own, and takes the settings of the
environment for it. As root it lets the machine have as many tasks as the
sessions need, and takes that back. The exit status is 1 also when an answer was
wrong, or something of the run is left.

With reports that --json wrote:

  compare a.json b.json  what became better or worse from a to b
  export results.json    the same report as a page, charts or for ComputeSDK

`)
	return b.String()
}

func choose(names []string) ([]step, error) {
	known := strings.Join(Workloads(), ", ")
	if len(names) != 1 {
		return nil, errors.New("name one workload: " + known)
	}
	if names[0] == "all" {
		return allSteps(), nil
	}
	all := steps()
	i := slices.IndexFunc(all, func(s step) bool { return s.workload == names[0] })
	if i < 0 {
		return nil, fmt.Errorf("there is no workload %q: there are %s", names[0], known)
	}
	return all[i : i+1], nil
}

// options are those of a step.
func (s *step) options(o Options) Options {
	o.Clients = orElse(s.clients, o.Clients)
	o.N = orElse(s.n, o.N)
	o.Duration = orElse(o.Duration, s.duration)
	return o
}

// rooms is how many sessions there are at one time, at most.
func rooms(chosen []step, o Options) int {
	most := 0
	for _, s := range chosen {
		own := s.options(o)
		sessions := 2*own.Clients + own.InFlight
		if s.workload != "stream" {
			sessions += own.N
		}
		for _, n := range own.Scale {
			sessions = max(sessions, n+2*own.Clients)
		}
		most = max(most, sessions)
	}
	return most
}
