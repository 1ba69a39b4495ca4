package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/pflag"
)

const usage = `Usage: sandwarden bench warm|create|hold|stream|all [flags]

  warm    calls on sessions that exist
  create  from a new session to its first result; a burst with --clients
  hold    memory of idle Python sessions; wants the daemon on this machine
  stream  live output to many readers, and from call to first output
  all     all of them: warm with 1 and 64 clients, create, a burst of 100

With reports that --json wrote:

  compare a.json b.json  what became better or worse from a to b
  export results.json    the same report as a page, charts or for ComputeSDK

`

// A step is one call of one workload.
type step struct {
	workload string
	run      func(context.Context, Options) (*Result, error)
	clients  int // in place of the workload's default
	n        int
}

func steps() []step {
	return []step{
		{workload: "warm", run: Warm},
		{workload: "create", run: Create},
		{workload: "hold", run: Hold},
		{workload: "stream", run: Stream},
	}
}

// allSteps are those of "all".
func allSteps() []step {
	return []step{
		{workload: "warm", run: Warm, clients: 1},
		{workload: "warm", run: Warm, clients: 64},
		{workload: "create", run: Create, clients: 1},
		{workload: "create", run: Create, clients: 100, n: 100},
		{workload: "hold", run: Hold},
		{workload: "stream", run: Stream},
	}
}

// Main is the command: it measures what the arguments ask for, says on stderr
// what it does, and writes the report to stdout. With --help it writes how it
// is used. It stops early when ctx ends.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		if other := afterwards(args[0]); other != nil {
			return other(args[1:], stdout)
		}
	}
	var o Options
	flags, out := newFlags(&o)
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		_, err := io.WriteString(stdout, usage+flags.FlagUsages())
		return err
	}
	if err != nil {
		return fmt.Errorf("%w (sandwarden bench --help shows the flags)", err)
	}
	chosen, err := choose(flags.Args())
	if err != nil {
		return err
	}
	report, err := measure(ctx, chosen, o, stderr)
	// What has been measured is shown, also when a later step failed.
	if len(report.Results) > 0 {
		report.Options = recorded(flags)
		err = errors.Join(err, report.Markdown(stdout), out.write(report))
	}
	return err
}

// newFlags makes the command's flags, which fill o, and the names of the files
// that the report is to be written to.
func newFlags(o *Options) (flags *pflag.FlagSet, out *outputs) {
	flags = pflag.NewFlagSet("bench", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.URL, "url", "http://localhost:8775", "where the daemon is")
	flags.IntVar(&o.N, "n", 0, "sessions of create and hold (default 100), lines of stream (5000)")
	flags.IntVar(&o.Clients, "clients", 0, "clients of warm and create (default 1), hold (4), readers of stream (20)")
	flags.DurationVar(&o.Duration, "duration", 5*time.Second, "how long warm runs")
	flags.StringVar(&o.Python, "python", defaultPython(), "the interpreter of the baseline")
	out = &outputs{}
	out.flags(flags)
	return flags, out
}

// Flags returns the command's flags, for those who tell of them.
func Flags() *pflag.FlagSet {
	flags, _ := newFlags(&Options{})
	flags.AddFlagSet(compareFlags(&comparing{}))
	flags.AddFlagSet(exportFlags(&exporting{}))
	return flags
}

// Workloads returns what the command can be asked for.
func Workloads() []string {
	var names []string
	for _, s := range steps() {
		names = append(names, s.workload)
	}
	return append(names, "all")
}

func choose(names []string) ([]step, error) {
	if len(names) != 1 {
		return nil, errors.New("name one workload: warm, create, hold, stream or all")
	}
	if names[0] == "all" {
		return allSteps(), nil
	}
	all := steps()
	i := slices.IndexFunc(all, func(s step) bool { return s.workload == names[0] })
	if i < 0 {
		return nil, fmt.Errorf("there is no workload %q: there are warm, create, hold, stream and all", names[0])
	}
	return all[i : i+1], nil
}

func measure(ctx context.Context, chosen []step, o Options, stderr io.Writer) (*Report, error) {
	report := newReport(ctx, o)
	for _, s := range chosen {
		own := o
		if own.Clients == 0 {
			own.Clients = s.clients
		}
		if own.N == 0 {
			own.N = s.n
		}
		fmt.Fprintln(stderr, s.workload+"…")
		r, err := s.run(ctx, own)
		if err != nil {
			return report, fmt.Errorf("%s: %w", s.workload, err)
		}
		report.Results = append(report.Results, r)
	}
	return report, nil
}
