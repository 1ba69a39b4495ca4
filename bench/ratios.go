package bench

import (
	"fmt"
	"slices"
)

// ratios draws how all figures stand to their baselines, in groups of one
// result each, or nothing if none has a baseline.
func ratios(results []*Result) *chart {
	c := newChart("ratios", "Ratio to the baseline")
	c.Left, c.Right, c.Top = barsLeft, barsRight, 44
	c.Table = table{Head: []string{"", "value", "baseline", "its value", "ratio"}}
	var all []float64
	for _, r := range results {
		for i := range r.Figures {
			if r.Figures[i].drawn() {
				all = append(all, r.Figures[i].Ratio)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	x := newScale(append(slices.Clone(all), 1, 10), true, barsLeft, barsRight)
	c.One, c.Bottom = x.at(1), c.Top
	for _, r := range results {
		c.group(r, &x)
	}
	c.Height = c.Bottom + 48
	c.XTicks, c.XLabel = x.ticks(), "times the baseline"
	c.Desc = fmt.Sprintf("%s as multiples of their baselines, between %s and %s.", plural(len(all), "figure"), number(slices.Min(all)), number(slices.Max(all)))
	return c
}

// drawn reports whether there is a bar for a figure. Memory that seemed to grow
// has a ratio that means nothing.
func (f *Figure) drawn() bool { return f.Ratio > 0 && finite(f.Ratio) }

// group adds the bars of one result below what is there.
func (c *chart) group(r *Result, x *scale) {
	named := false
	for i := range r.Figures {
		f := &r.Figures[i]
		if !f.drawn() {
			continue
		}
		if !named {
			c.Groups, named = append(c.Groups, group{c.Bottom + barStep/2, r.label()}), true
			c.Bottom += barStep
		}
		from, to := min(c.One, x.at(f.Ratio)), max(c.One, x.at(f.Ratio))
		end, anchor := to+6, "start" // where the bar leads to
		if f.Ratio < 1 {
			end, anchor = from-6, "end"
		}
		name := r.label() + ": " + f.Name
		c.Bars = append(c.Bars, bar{
			Y: c.Bottom + 4, Middle: c.Bottom + barStep/2, X: px(from), Width: px(max(to-from, 1)), End: px(end), Anchor: anchor,
			Label: short(r.barLabel(f), 40), Value: number(f.Ratio),
			Title: fmt.Sprintf("%s: %s, %s times %s (%s)", name, f.value(), number(f.Ratio), f.Baseline, f.base()),
		})
		c.Table.Rows = append(c.Table.Rows, []string{name, f.value(), f.Baseline, f.base(), number(f.Ratio)})
		c.Bottom += barStep
	}
}

// barLabel names a figure, and what it is compared with where the result has the
// figure more than once.
func (r *Result) barLabel(f *Figure) string {
	same := 0
	for i := range r.Figures {
		if r.Figures[i].Name == f.Name && r.Figures[i].drawn() {
			same++
		}
	}
	if same > 1 {
		return f.Name + " / " + f.Baseline
	}
	return f.Name
}
