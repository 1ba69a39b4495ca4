package bench

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const compareUsage = `Usage: sandwarden bench compare a.json b.json [flags]

Shows each figure of two reports, and what became better or worse from a to b.
A figure with a baseline did so only if its ratio to the baseline did too: else
it was the machine.

`

// A comparing holds the flags of compare.
type comparing struct {
	threshold float64
	fail      bool
}

func compareFlags(c *comparing) *pflag.FlagSet {
	flags := newFlags("bench compare")
	flags.Float64Var(&c.threshold, "threshold", 10, "compare: the change in percent that is no noise any more")
	flags.BoolVar(&c.fail, "fail-on-regression", false, "compare: end with status 1 if a figure became worse")
	return flags
}

// compareMain is the command.
func compareMain(args []string, stdout io.Writer) error {
	var c comparing
	flags := compareFlags(&c)
	switch helped, err := parse(flags, args, compareUsage, stdout); {
	case helped || err != nil:
		return err
	case flags.NArg() != 2:
		return errors.New("compare takes two reports: sandwarden bench compare a.json b.json")
	case !(c.threshold >= 0): // nor is NaN a threshold
		return fmt.Errorf("the threshold is %g percent: give 0 or more", c.threshold)
	}
	a, err := readReportFile(flags.Arg(0))
	if err != nil {
		return err
	}
	b, err := readReportFile(flags.Arg(1))
	if err != nil {
		return err
	}
	both := Compare(a, b, c.threshold)
	if err := both.Markdown(stdout); err != nil {
		return err
	}
	if worse := both.Worse(); c.fail && len(worse) > 0 {
		return fmt.Errorf("%s worse by more than %g %%: %s", plural(len(worse), "figure"), c.threshold, strings.Join(worse, "; "))
	}
	return nil
}

// What a change means.
const (
	betterNow = "better"
	worseNow  = "worse"
)

// A Comparison is what changed from one report to another.
type Comparison struct {
	a, b      *Report
	threshold float64 // percent
	notes     []string
	changes   []change
}

// A change is one row: one figure, in both or in one.
type change struct {
	workload, name string
	a, b           *Figure // nil where it is not
	value, ratio   float64 // percent from a to b; NaN where there is none
	verdict        string
}

// Compare compares figure by figure, from a to b. A change of more than
// threshold percent, in a direction that is good or bad for the figure, is
// marked so.
func Compare(a, b *Report, threshold float64) *Comparison {
	a, b = a.clean(), b.clean()
	c := &Comparison{a: a, b: b, threshold: threshold}
	machines := differences("machines", a.Machine.facts(), b.Machine.facts())
	c.notes = append(machines, differences("options", a.Options, b.Options)...)
	sameMachine := a.Machine.same(b.Machine)
	if !sameMachine {
		c.notes = append(c.notes, "not the same machine: where there is a ratio to a baseline it alone is judged")
	}
	for _, p := range pairs(a.Results, b.Results) {
		if p.a != nil && p.b != nil && p.a.label() != p.b.label() {
			c.notes = append(c.notes, fmt.Sprintf("%s in a is compared with %s in b", p.a.label(), p.b.label()))
		}
		c.figures(p, sameMachine)
	}
	return c
}

// facts are what two machines may differ in, but for how busy they were.
func (m Machine) facts() map[string]string {
	return map[string]string{
		"os": m.OS, "arch": m.Arch, "cpu": m.CPU, "cores": strconv.Itoa(m.Cores), "memory": fmt.Sprintf("%.1f GiB", float64(m.Memory)/(1<<30)),
		"kernel": m.Kernel, "cgroup": strconv.Itoa(m.Cgroup), "go": m.Go, "python": m.Python,
	}
}

// same reports whether values of two machines can be compared as they are.
func (m Machine) same(o Machine) bool {
	return m.OS == o.OS && m.Arch == o.Arch && m.CPU == o.CPU && m.Cores == o.Cores
}

// differences says in what two sets differ.
func differences(of string, a, b map[string]string) []string {
	var notes []string
	names := slices.Sorted(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if a[name] != b[name] {
			notes = append(notes, fmt.Sprintf("the %s differ in %s: %q in a, %q in b", of, name, a[name], b[name]))
		}
	}
	return notes
}

// A pair is the same workload in both reports, or in one.
type pair struct{ a, b *Result }

// pairs joins results: first those that were measured in the same way, then
// those of the same workload, in their order; then what is in b alone.
func pairs(a, b []*Result) []pair {
	all := make([]pair, len(a))
	taken := make([]bool, len(b))
	join := func(same func(a, b *Result) bool) {
		for i, x := range a {
			all[i].a = x
			for j, y := range b {
				if all[i].b == nil && !taken[j] && same(x, y) {
					all[i].b, taken[j] = y, true
				}
			}
		}
	}
	join(func(a, b *Result) bool { return a.label() == b.label() })
	join(func(a, b *Result) bool { return a.Workload == b.Workload })
	for j, y := range b {
		if !taken[j] {
			all = append(all, pair{b: y})
		}
	}
	return all
}

// figures adds the rows of a pair, in the order of b, and then what only a has.
func (c *Comparison) figures(p pair, sameMachine bool) {
	var workload string
	var old []Figure
	if p.a != nil {
		workload, old = p.a.label(), slices.Clone(p.a.Figures)
	}
	if p.b != nil {
		workload = p.b.label()
		for i := range p.b.Figures {
			now := &p.b.Figures[i]
			x := change{workload: workload, name: now.Name, b: now, value: math.NaN(), ratio: math.NaN()}
			if j := sameFigure(old, now); j >= 0 {
				before := old[j]
				old = slices.Delete(old, j, j+1)
				x.a = &before
				x.judge(sameMachine, c.threshold)
			}
			c.changes = append(c.changes, x)
		}
	}
	for i := range old {
		c.changes = append(c.changes, change{workload: workload, name: old[i].Name, a: &old[i], value: math.NaN(), ratio: math.NaN()})
	}
}

// sameFigure returns where the figure of that name and unit is, if possible
// with the same baseline, or -1.
func sameFigure(all []Figure, f *Figure) int {
	named := func(o Figure) bool { return o.Name == f.Name && o.Unit == f.Unit }
	if i := slices.IndexFunc(all, func(o Figure) bool { return named(o) && o.Baseline == f.Baseline }); i >= 0 {
		return i
	}
	return slices.IndexFunc(all, named)
}

// judge says what changed, and whether that is good. Where both reports have a
// ratio to a baseline it must agree with the value, or counts alone if the
// machines are not the same.
func (x *change) judge(sameMachine bool, threshold float64) {
	x.value = percent(x.a.Value, x.b.Value)
	count := []float64{x.value}
	if x.a.Ratio != 0 && x.b.Ratio != 0 && x.a.Baseline == x.b.Baseline {
		x.ratio = percent(x.a.Ratio, x.b.Ratio)
		count = append(count, x.ratio)
		if !sameMachine {
			count = count[1:]
		}
	}
	up, down := true, true
	for _, v := range count {
		up, down = up && v > threshold, down && v < -threshold
	}
	switch direction := x.b.direction(); {
	case direction == "" || up == down:
	case up == (direction == Higher):
		x.verdict = betterNow
	default:
		x.verdict = worseNow
	}
}

// direction is that which the figure has, or else its unit.
func (f *Figure) direction() string {
	if f.Better != "" {
		return f.Better
	}
	return better(f.Unit)
}

// percent returns the change from a to b in percent of a. From nothing it is
// infinite.
func percent(a, b float64) float64 {
	if a == b {
		return 0
	}
	return (b - a) / math.Abs(a) * 100
}

// Worse returns the figures that became so.
func (c *Comparison) Worse() []string {
	var names []string
	for i := range c.changes {
		if x := &c.changes[i]; x.verdict == worseNow {
			names = append(names, x.workload+": "+x.name)
		}
	}
	return names
}

// Markdown writes the comparison as a table, below what makes the two reports
// differ.
func (c *Comparison) Markdown(w io.Writer) error {
	var b strings.Builder
	for _, side := range []struct {
		name string
		r    *Report
	}{{"a", c.a}, {"b", c.b}} {
		daemon := side.r.Daemon
		if daemon == "" {
			daemon = "an unknown daemon"
		}
		fmt.Fprintf(&b, "%s: %s, %s\n", side.name, side.r.Time.UTC().Format(time.RFC3339), cell(daemon))
	}
	for _, note := range c.notes {
		fmt.Fprintf(&b, "Note: %s\n", cell(note))
	}
	b.WriteString("\n| workload | figure | a | b | change | ratio in a | in b | change | |\n|---|---|---:|---:|---:|---:|---:|---:|---|\n")
	better, worse := 0, 0
	for i := range c.changes {
		x := &c.changes[i]
		x.row(&b)
		switch x.verdict {
		case betterNow:
			better++
		case worseNow:
			worse++
		}
	}
	fmt.Fprintf(&b, "\n%d better, %d worse by more than %g %%, of %s\n", better, worse, c.threshold, plural(len(c.changes), "figure"))
	_, err := io.WriteString(w, b.String())
	return err
}

func (x *change) row(b *strings.Builder) {
	var va, vb, ra, rb string
	if x.a != nil {
		va, ra = x.a.value(), x.a.ratio()
	}
	if x.b != nil {
		vb, rb = x.b.value(), x.b.ratio()
	}
	verdict := x.verdict
	switch {
	case x.a == nil:
		verdict = "only in b"
	case x.b == nil:
		verdict = "only in a"
	}
	row(b, x.workload, x.name, va, vb, percentText(x.value), ra, rb, percentText(x.ratio), verdict)
}

func percentText(v float64) string {
	switch {
	case math.IsNaN(v):
		return ""
	case math.IsInf(v, 0):
		return "from 0"
	}
	return fmt.Sprintf("%+.1f %%", v)
}
