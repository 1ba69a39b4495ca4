package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// tokenVariable says who asks, where no flag does.
const tokenVariable = "SANDWARDEN_TOKEN"

// Main is the command: it measures what the arguments ask for, says on stderr
// how far it is, and writes the report to stdout. With --help it writes how it
// is used. It stops early when ctx ends.
func Main(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		if other := afterwards(args[0]); other != nil {
			return other(args[1:], stdout)
		}
	}
	c := &benchCommand{environ: environ, stdout: stdout, stderr: stderr}
	flags := c.newFlags()
	if helped, err := parse(flags, args, usage(), stdout); helped || err != nil {
		return err
	}
	chosen, err := choose(flags.Args())
	if err == nil {
		err = c.settle(chosen)
	}
	if err != nil {
		return err
	}
	report, err := c.measure(ctx, chosen)
	// What has been measured is shown, also when a later step failed.
	if report != nil && len(report.Results) > 0 {
		report.Options, report.Notes = recorded(flags), c.notes
		err = errors.Join(err, c.write(report, len(chosen) > 1))
	}
	return err
}

// A benchCommand is one run of the command.
type benchCommand struct {
	environ        []string
	stdout, stderr io.Writer
	options        Options
	n              []int
	out            outputs
	notes          []string // what could not be measured
}

// newFlags makes the command's flags, which fill it.
func (c *benchCommand) newFlags() *pflag.FlagSet {
	o := &c.options
	flags := newFlags("bench")
	flags.StringVar(&o.URL, "url", "", "where the daemon is; without it one is started for the run")
	flags.StringVar(&o.API, "api", MCP, "how it is called: "+MCP+" or "+REST)
	flags.StringVar(&o.Token, "token", "", "who asks; default "+tokenVariable+", which other users of this machine cannot see")
	flags.IntSliceVar(&c.n, "n", nil, "sessions of create, burst, staggered and hold (default 100), bystanders of chaos (8), lines of stream (5000); several for hold, as 10,100,1000")
	flags.IntVar(&o.Clients, "clients", 0, "clients of warm and create (default 1), hold and chaos (4), churn, turnover and soak (8), readers of stream (20)")
	flags.IntVar(&o.Stuck, "stuck", 0, "readers of stream that never read (default 1)")
	flags.DurationVar(&o.Duration, "duration", 0, "how long warm runs (default 5s), churn, turnover and chaos (10s), soak (1m)")
	flags.Float64Var(&o.Rate, "rate", 0, "calls of warm, sessions of create, churn and turnover, things of soak that arrive a second, for the duration; 0 is as fast as clients get answers")
	flags.StringVar(&o.Arrival, "arrival", Fixed, "how they arrive: "+Fixed+" or "+Poisson)
	flags.IntVar(&o.InFlight, "in-flight", 0, "the most of them under way at once (default 256); more wait, and that counts")
	flags.DurationVar(&o.Interval, "interval", 0, "between the sessions of staggered (default 50ms)")
	flags.DurationVar(&o.Settle, "settle", 0, "between two looks of hold at memory and pools, which are at rest when both are the same; burst rests three times that (default 2s)")
	flags.DurationVar(&o.Linger, "linger", 0, "what is left of the run may end in that time by itself (default 45s)")
	flags.Uint64Var(&o.Seed, "seed", 0, "of what is drawn by lot (default 1)")
	flags.StringVar(&o.Python, "python", defaultPython(), "the interpreter of the baselines")
	c.out.flags(flags)
	return flags
}

// Flags returns the command's flags, for those who tell of them.
func Flags() *pflag.FlagSet {
	flags := new(benchCommand).newFlags()
	flags.AddFlagSet(compareFlags(&comparing{}))
	flags.AddFlagSet(exportFlags(&exporting{}))
	return flags
}

// settle completes the options, and refuses what does not go together.
func (c *benchCommand) settle(chosen []step) error {
	o := &c.options
	if len(c.n) > 0 {
		o.N = slices.Max(c.n)
	}
	if len(c.n) > 1 {
		if chosen[0].workload != "hold" || len(chosen) > 1 {
			return errors.New("several numbers of sessions are for hold")
		}
		o.Scale = c.n
	}
	if o.Token == "" {
		for _, pair := range c.environ {
			if value, ok := strings.CutPrefix(pair, tokenVariable+"="); ok {
				o.Token = value
			}
		}
	}
	o.Progress = c.stderr
	o.Note = func(note string) {
		if !slices.Contains(c.notes, note) {
			c.notes = append(c.notes, note)
			fmt.Fprintln(c.stderr, note)
		}
	}
	for _, s := range chosen { // before anything is started
		if err := s.options(*o).withDefaults(1, 0).check(); err != nil {
			return err
		}
	}
	return nil
}

// measure measures a daemon: the one that is there, or one of its own.
func (c *benchCommand) measure(ctx context.Context, chosen []step) (report *Report, err error) {
	if c.options.URL != "" {
		return c.watched(ctx, chosen, c.options)
	}
	fmt.Fprintln(c.stderr, "starting a daemon…")
	d, err := StartDaemon(ctx, DaemonOptions{Environ: c.environ, Sessions: rooms(chosen, c.options), Note: c.options.Note})
	if err != nil {
		return nil, err
	}
	defer func() {
		if complaints := d.complaints(); err != nil && complaints != "" {
			fmt.Fprintln(c.stderr, "the daemon complained:\n"+complaints)
		}
		err = errors.Join(err, d.Close(ctx))
	}()
	o := c.options
	o.URL, o.Environ = d.URL, c.environ
	return c.watched(ctx, chosen, o)
}

// watched measures, and sees that nothing of it stays.
func (c *benchCommand) watched(ctx context.Context, chosen []step, o Options) (*Report, error) {
	report := newReport(ctx, o)
	w, err := newWatcher(ctx, o)
	if err != nil {
		return report, err
	}
	for _, s := range chosen {
		var r *Result
		r, err = s.run(ctx, s.options(o))
		if errors.Is(err, errOwn) && len(chosen) > 1 {
			o.note("%v", err)
			err = nil
			continue
		}
		if r != nil {
			report.Results = append(report.Results, r)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", s.workload, err)
			break
		}
	}
	left, failed := w.after(ctx)
	if left != nil {
		report.Results = append(report.Results, left)
	}
	return report, errors.Join(err, failed)
}

// write writes the report, the tables of several numbers of sessions and, of all
// workloads, what is to be reached.
func (c *benchCommand) write(report *Report, all bool) error {
	err := errors.Join(report.Markdown(c.stdout), writeScales(c.stdout, report.Results))
	if all {
		err = errors.Join(err, writeTargets(c.stdout, report.Results))
	}
	return errors.Join(err, c.out.write(report))
}
