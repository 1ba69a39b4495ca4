package bench

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// Options say what to measure.
type Options struct {
	URL      string        // of the daemon; http://localhost:8775
	Clients  int           // that ask at once; each workload has a default of its own
	Duration time.Duration // of Warm; 5 s
	N        int           // sessions of Create and Hold, lines of Stream; each workload has a default of its own
	Python   string        // the interpreter of the baseline; /usr/bin/python3, or that of the PATH
	Settle   time.Duration // after which memory is read; 2 s
}

const (
	maxClients  = 10_000
	maxSessions = 100_000
)

func (o Options) withDefaults(clients, n int) Options {
	if o.URL == "" {
		o.URL = "http://localhost:8775"
	}
	o.URL = strings.TrimRight(o.URL, "/")
	if o.Clients == 0 {
		o.Clients = clients
	}
	if o.N == 0 {
		o.N = n
	}
	if o.Duration == 0 {
		o.Duration = 5 * time.Second
	}
	if o.Python == "" {
		o.Python = defaultPython()
	}
	if o.Settle == 0 {
		o.Settle = 2 * time.Second
	}
	return o
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
	case o.Clients < 0 || o.Clients > maxClients:
		return fmt.Errorf("%d clients: give 1 to %d", o.Clients, maxClients)
	case o.N < 0 || o.N > maxSessions:
		return fmt.Errorf("n is %d: give 1 to %d", o.N, maxSessions)
	case o.Duration < 0:
		return errors.New("the duration is negative")
	}
	return nil
}
