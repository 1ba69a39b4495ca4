package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// Options say what to measure, and of which daemon.
type Options struct {
	URL   string // of the daemon; http://localhost:8775
	API   string // MCP, the default, or REST
	Token string // who asks, where the daemon wants to know

	Clients  int           // that ask at once; each workload has a default of its own
	Duration time.Duration // of warm, churn, turnover, soak and chaos; each has a default of its own
	N        int           // sessions, of Stream lines; each workload has a default of its own
	Scale    []int         // of Hold: numbers of sessions to look at, rising; N alone if empty
	Stuck    int           // of Stream: readers that never read; 1

	Rate     float64       // calls or sessions that arrive a second, whether or not the ones before were answered; 0: each client waits for its answer
	Arrival  string        // of Rate: Fixed, the default, or Poisson
	Interval time.Duration // of Staggered, between beginnings; 50 ms
	InFlight int           // of Rate: the most that are under way at once; 256
	Seed     uint64        // of what is drawn by lot; the same seed draws the same; 1

	Environ []string // of daemons that a workload starts for itself; none are started without

	Python string        // the interpreter of the baselines; /usr/bin/python3, or that of the PATH
	Settle time.Duration // between two looks at memory, which is at rest when they see the same; Burst rests three times that; 2 s
	Linger time.Duration // in which what is left of a run may end by itself; 45 s

	Progress io.Writer    // where is told how far a workload is; nil is nowhere
	Note     func(string) // is told what could not be measured, and why; may be nil
}

// The ways to the daemon.
const (
	MCP  = "mcp"  // tools/call, by a bare POST
	REST = "rest" // executions and sessions below /v1
)

// The ways in which calls arrive when they do not wait for one another.
const (
	Fixed   = "fixed"   // at equal intervals
	Poisson = "poisson" // independent of each other, at a mean rate
)

const (
	maxClients  = 10_000
	maxSessions = 100_000
	maxArrivals = 10_000_000
)

func (o Options) withDefaults(clients, n int) Options {
	if o.URL == "" {
		o.URL = "http://localhost:8775"
	}
	o.URL = strings.TrimRight(o.URL, "/")
	o.API = orElse(o.API, MCP)
	o.Arrival = orElse(o.Arrival, Fixed)
	o.Clients = orElse(o.Clients, clients)
	o.N = orElse(o.N, n)
	o.Stuck = orElse(o.Stuck, 1)
	o.Duration = orElse(o.Duration, 5*time.Second)
	o.Interval = orElse(o.Interval, 50*time.Millisecond)
	o.InFlight = orElse(o.InFlight, 256)
	o.Seed = orElse(o.Seed, 1)
	o.Settle = orElse(o.Settle, 2*time.Second)
	o.Linger = orElse(o.Linger, 45*time.Second)
	if o.Python == "" {
		o.Python = defaultPython()
	}
	return o
}

// orElse is a value, or another where it is none.
func orElse[T comparable](value, other T) T {
	var none T
	if value == none {
		return other
	}
	return value
}

// defaultPython avoids what a version manager may have put into the PATH: such
// a shim is slow, and would make us look fast.
func defaultPython() string {
	const usual = "/usr/bin/python3"
	if _, err := os.Stat(usual); err == nil {
		return usual
	}
	return "python3"
}

// check returns what is wrong with the options, after withDefaults.
func (o Options) check() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("the url %q is not one of a daemon: give one like http://localhost:8775", o.URL)
	case o.API != MCP && o.API != REST:
		return fmt.Errorf("there is no api %q: give %s or %s", o.API, MCP, REST)
	case o.Clients < 0 || o.Clients > maxClients:
		return fmt.Errorf("%d clients: give 1 to %d", o.Clients, maxClients)
	case o.N < 0 || o.N > maxSessions:
		return fmt.Errorf("n is %d: give 1 to %d", o.N, maxSessions)
	case o.Stuck < 0 || o.Stuck > maxClients:
		return fmt.Errorf("%d stuck readers: give 1 to %d", o.Stuck, maxClients)
	case o.Duration < 0 || o.Interval < 0:
		return errors.New("a duration or an interval is negative")
	}
	return errors.Join(o.checkScale(), o.checkRate())
}

func (o Options) checkScale() error {
	for i, n := range o.Scale {
		if n < 1 || n > maxSessions || i > 0 && n <= o.Scale[i-1] {
			return fmt.Errorf("the numbers of sessions are %v: give rising ones of 1 to %d", o.Scale, maxSessions)
		}
	}
	return nil
}

func (o Options) checkRate() error {
	switch {
	case o.Rate < 0 || math.IsNaN(o.Rate) || o.Rate*o.Duration.Seconds() > maxArrivals:
		return fmt.Errorf("a rate of %g/s for %s: give one of which at most %d arrive", o.Rate, o.Duration, maxArrivals)
	case !slices.Contains([]string{Fixed, Poisson}, o.Arrival):
		return fmt.Errorf("there is no arrival %q: give %s or %s", o.Arrival, Fixed, Poisson)
	case o.InFlight < 1 || o.InFlight > maxClients:
		return fmt.Errorf("%d in flight: give 1 to %d", o.InFlight, maxClients)
	}
	return nil
}

// note tells what could not be measured.
func (o Options) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}
