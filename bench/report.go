package bench

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// A Report is what a run measured, on which machine, of which daemon.
type Report struct {
	Time    time.Time
	URL     string            // of the daemon, without a password
	Daemon  string            // what it says that it is; empty if it did not say
	Machine Machine           // from which it was measured
	Options map[string]string // the command's flags and their values
	Results []*Result
	Notes   []string // what could not be measured, and why
}

// newReport says what can be said before anything is measured. A daemon that
// does not say what it is, or a python3 that does not, stays empty.
func newReport(ctx context.Context, o Options) *Report {
	o = o.withDefaults(1, 0)
	return &Report{
		Time: time.Now().UTC(), URL: clean(withoutPassword(o.URL)),
		Daemon: identify(ctx, o), Machine: thisMachine(ctx, o.Python),
	}
}

// withoutPassword returns a URL that may be shown; none, if it is no URL.
func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// Markdown writes the report as a table for people.
func (r *Report) Markdown(w io.Writer) error {
	r = r.clean()
	var b strings.Builder
	fmt.Fprintf(&b, "%s, daemon at %s", r.Time.UTC().Format(time.RFC3339), cell(r.URL))
	if r.Daemon != "" {
		fmt.Fprintf(&b, ": %s", cell(r.Daemon))
	}
	fmt.Fprintf(&b, "\n%s\n\n", cell(r.Machine.String()))
	b.WriteString("| workload | figure | value | baseline | its value | ratio |\n|---|---|---:|---|---:|---:|\n")
	for _, result := range r.Results {
		workload := fmt.Sprintf("%s, n %d", result.label(), result.N)
		for i := range result.Figures {
			f := &result.Figures[i]
			row(&b, workload, f.Name, f.value(), f.Baseline, f.base(), f.ratio())
		}
	}
	for i, note := range r.Notes {
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString("- " + cell(note) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// label names what was measured, without how often.
func (r *Result) label() string {
	if r.Rate > 0 {
		return strings.TrimSpace(fmt.Sprintf("%s, %s/s %s", r.Workload, number(r.Rate), r.Arrival))
	}
	if r.Arrival != "" {
		return fmt.Sprintf("%s, %s, %s", r.Workload, plural(r.Clients, "client"), r.Arrival)
	}
	return fmt.Sprintf("%s, %s", r.Workload, plural(r.Clients, "client"))
}

func (f *Figure) value() string { return strings.TrimSpace(number(f.Value) + " " + f.Unit) }

func (f *Figure) base() string {
	if f.Baseline == "" {
		return ""
	}
	return strings.TrimSpace(number(f.Base) + " " + f.Unit)
}

// ratio is empty without a baseline. A baseline of nothing is noise.
func (f *Figure) ratio() string {
	switch {
	case f.Ratio != 0:
		return number(f.Ratio)
	case f.Baseline != "":
		return "noise"
	}
	return ""
}

// row writes one row of a table.
func row(b *strings.Builder, cells ...string) {
	for _, c := range cells {
		b.WriteString("| " + cell(c) + " ")
	}
	b.WriteString("|\n")
}

// cell makes text of any origin a part of a table, and no markup.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, `\`, `\\`, "`", "\\`", "<", "&lt;", "*", `\*`, "[", `\[`, "!", `\!`).Replace(s)
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// number shows three digits that matter, without an exponent.
func number(v float64) string {
	switch {
	case v == 0 || v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1 || v <= -1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
