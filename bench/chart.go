package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The parts of a chart, in the units of its drawing.
const (
	chartWidth  = 760
	chartHeight = 340
	plotLeft    = 64
	plotRight   = chartWidth - 20
	plotTop     = 62 // below the title and the legend
	plotBottom  = chartHeight - 48
	barsLeft    = 330 // what a bar is of stands before it
	barsRight   = chartWidth - 70
	barStep     = 24
	drawnBases  = 3    // beside a latency; more would not be told apart, and are in the table
	maxPath     = 2000 // points of a line; more are thinned
)

// A chart is all that the drawing of one has, placed.
type chart struct {
	Slug          string // a name for files and in the page
	Title, Desc   string
	Width, Height int
	Left, Right   int // of the plot
	Top, Bottom   int
	XTicks        []tick
	YTicks        []tick
	XLabel        string
	YLabel        string
	Legend        []legend // where there is more than one line
	Lines         []line
	Groups        []group // of bars
	Bars          []bar
	One           float64 // where the ratio 1 is, of bars
	Table         table   // the same numbers
}

type (
	legend struct {
		X     int
		Class string
		Name  string
	}
	line struct {
		Class string
		Path  string
		Marks []mark
	}
	mark struct {
		X, Y string
		Text string
	}
	bar struct {
		Y, Middle           int
		X, Width            string
		End, Anchor         string // of the value beside it
		Label, Value, Title string
	}
	group struct {
		Middle int
		Label  string
	}
	table struct {
		Head []string
		Rows [][]string
		Note string
	}
)

func newChart(slug, title string) *chart {
	return &chart{
		Slug: slug, Title: title, Width: chartWidth, Height: chartHeight,
		Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom,
	}
}

func px(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// charts returns all that can be drawn of a report.
func (r *Report) charts() []*chart {
	var all []*chart
	for _, result := range r.Results {
		all = append(all, result.charts()...)
	}
	if c := ratios(r.Results); c != nil {
		all = append(all, c)
	}
	distinct(all)
	return all
}

// charts returns those of one result: its latency, and each series.
func (r *Result) charts() []*chart {
	var all []*chart
	if r.Latency != nil && r.Latency.TotalCount() > 0 {
		all = append(all, r.percentiles())
	}
	for i := range r.Series {
		if c := r.drawSeries(&r.Series[i]); c != nil {
			all = append(all, c)
		}
	}
	return all
}

// distinct makes the charts' names so.
func distinct(all []*chart) {
	taken := map[string]bool{}
	for _, c := range all {
		name := c.Slug
		for n := 2; taken[name]; n++ {
			name = c.Slug + "-" + strconv.Itoa(n)
		}
		taken[name] = true
		c.Slug = name
	}
}

// slug makes a name for a file of text from anywhere: lower-case letters,
// digits and single dashes.
func slug(parts ...string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.Join(parts, "-")) {
		if b.Len() >= 80 {
			break
		}
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	if s := strings.Trim(b.String(), "-"); s != "" {
		return s
	}
	return "chart"
}

// quantiles are those that tables and marks name.
func quantiles() []struct {
	name string
	at   float64
} {
	return []struct {
		name string
		at   float64
	}{{"p50", 50}, {"p90", 90}, {"p95", 95}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}}
}

// percentiles draws the whole distribution as HdrHistogram's plots do: to the
// right each further nine takes the same place, so that the tail is seen.
func (r *Result) percentiles() *chart {
	c := newChart(slug(r.label(), "latency"), "Latency: "+r.label())
	c.XLabel, c.YLabel = "percentile", "ms"
	lines := []Baseline{{r.Workload, r.Latency}}
	for _, base := range r.Bases {
		if len(lines) <= drawnBases && base.Latency.TotalCount() > 0 {
			lines = append(lines, base)
		}
	}
	var xs, ys []float64
	curves := make([][][2]float64, len(lines))
	for i, l := range lines {
		curves[i] = curve(l.Latency)
		for _, p := range curves[i] {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
	}
	x := newScale(append(xs, 1, 10), true, plotLeft, plotRight)
	y := newScale(ys, spans(ys), plotBottom, plotTop)
	for _, t := range []tick{{1, "0 %"}, {2, "50 %"}, {10, "90 %"}, {100, "99 %"}, {1e3, "99.9 %"}, {1e4, "99.99 %"}, {1e5, "99.999 %"}, {1e6, "99.9999 %"}} {
		if t.Place <= x.high {
			c.XTicks = append(c.XTicks, tick{x.at(t.Place), t.Label})
		}
	}
	c.YTicks = y.ticks()
	place, letters := plotLeft, 28
	if len(lines) > 3 {
		letters = 20
	}
	for i, l := range lines {
		class := "own"
		if i > 0 {
			class = "base" + strconv.Itoa(i)
		}
		c.Lines = append(c.Lines, draw(class, curves[i], &x, &y, marksOf(l.Name, l.Latency, &x, &y)))
		if len(lines) > 1 {
			name := short(l.Name, letters)
			c.Legend = append(c.Legend, legend{place, class, name})
			place += 46 + 7*len([]rune(name)) // about what it takes
		}
	}
	c.Desc = r.describe()
	c.Table = r.distribution()
	return c
}

// curve returns the points of a distribution: 1/(1-quantile), and the value in
// milliseconds.
func curve(h *hdrhistogram.Histogram) [][2]float64 {
	const perDecade = 40
	last := math.Log10(float64(h.TotalCount()))
	var at []float64
	for i := 0; float64(i)/perDecade < last; i++ {
		at = append(at, math.Pow(10, float64(i)/perDecade))
	}
	at = append(at, float64(h.TotalCount())) // beyond it there is nothing
	quantiles := make([]float64, len(at))
	for i, x := range at {
		quantiles[i] = 100 * (1 - 1/x)
	}
	points := make([][2]float64, len(at))
	for i, v := range h.ValueAtPercentilesSlice(quantiles) {
		points[i] = [2]float64{at[i], millis(v)}
	}
	points[0][1] = millis(h.Min())
	points[len(points)-1][1] = millis(h.Max())
	return points
}

// marksOf are dots at the quantiles that have a name, with their values.
func marksOf(what string, h *hdrhistogram.Histogram, x, y *scale) []mark {
	var marks []mark
	for _, q := range quantiles() {
		place := 1 / (1 - q.at/100)
		if place > float64(h.TotalCount())*1.001 {
			break
		}
		v := millis(h.ValueAtQuantile(q.at))
		marks = append(marks, mark{px(x.at(place)), px(y.at(v)), fmt.Sprintf("%s %s: %s ms", what, q.name, number(v))})
	}
	return marks
}

// describe says in words what the curve shows.
func (r *Result) describe() string {
	h := r.Latency
	var text strings.Builder
	fmt.Fprintf(&text, "Latency of %s by percentile, of %d: median %s ms, p99 %s ms, longest %s ms.", r.label(), h.TotalCount(),
		number(millis(h.ValueAtQuantile(50))), number(millis(h.ValueAtQuantile(99))), number(millis(h.Max())))
	for _, base := range r.Bases {
		fmt.Fprintf(&text, " Beside it %s: median %s ms, p99 %s ms.", base.Name,
			number(millis(base.Latency.ValueAtQuantile(50))), number(millis(base.Latency.ValueAtQuantile(99))))
	}
	return text.String()
}

// distribution is the table of a curve.
func (r *Result) distribution() table {
	t := table{Head: []string{"", "count", "min", "mean"}}
	for _, q := range quantiles() {
		t.Head = append(t.Head, q.name)
	}
	t.Head = append(t.Head, "max")
	add := func(name string, h *hdrhistogram.Histogram) {
		if h.TotalCount() == 0 {
			return
		}
		row := []string{name, strconv.FormatInt(h.TotalCount(), 10), number(millis(h.Min())), number(h.Mean() / 1000)}
		for _, q := range quantiles() {
			row = append(row, number(millis(h.ValueAtQuantile(q.at))))
		}
		t.Rows = append(t.Rows, append(row, number(millis(h.Max()))))
	}
	add(r.label(), r.Latency)
	for _, base := range r.Bases {
		add(base.Name, base.Latency)
	}
	t.Note = "In milliseconds."
	return t
}

// drawSeries draws one series, or nothing if it has no points.
func (r *Result) drawSeries(s *Series) *chart {
	points := make([][2]float64, 0, len(s.Points))
	for _, p := range s.Points {
		if finite(p[0], p[1]) {
			points = append(points, p)
		}
	}
	if len(points) == 0 {
		return nil
	}
	shown := thin(points, maxPath)
	c := newChart(slug(r.label(), s.Name), s.Name+": "+r.label())
	c.XLabel, c.YLabel = s.XUnit, s.Unit
	var xs, ys []float64
	for _, p := range shown {
		xs, ys = append(xs, p[0]), append(ys, p[1])
	}
	x := newScale(xs, spans(xs), plotLeft, plotRight)
	y := newScale(ys, spans(ys), plotBottom, plotTop)
	c.XTicks, c.YTicks = x.ticks(), y.ticks()
	var marks []mark
	if len(shown) <= 60 { // else they would be the line
		for _, p := range shown {
			marks = append(marks, mark{px(x.at(p[0])), px(y.at(p[1])), fmt.Sprintf("%s %s: %s %s", number(p[0]), s.XUnit, number(p[1]), s.Unit)})
		}
	}
	c.Lines = []line{draw("own", shown, &x, &y, marks)}
	first, last := points[0], points[len(points)-1]
	c.Desc = fmt.Sprintf("%s of %s over %s, %s: from %s %s at %s to %s %s at %s.", s.Name, r.label(), s.XUnit, plural(len(points), "point"),
		number(first[1]), s.Unit, number(first[0]), number(last[1]), s.Unit, number(last[0]))
	c.Table = s.table(points)
	return c
}

// table has the points of a series, or a part of very many.
func (s *Series) table(points [][2]float64) table {
	const most = 200
	t := table{Head: []string{s.XUnit, strings.TrimSpace(s.Name + " " + s.Unit)}}
	if len(points) > most {
		t.Note = fmt.Sprintf("%d of %d points.", most, len(points))
	}
	for _, p := range thin(points, most) {
		t.Rows = append(t.Rows, []string{number(p[0]), number(p[1])})
	}
	return t
}

// thin returns at most n points, evenly chosen, the first and the last among
// them.
func thin(points [][2]float64, n int) [][2]float64 {
	if len(points) <= n {
		return points
	}
	few := make([][2]float64, n)
	for i := range few {
		few[i] = points[i*(len(points)-1)/(n-1)]
	}
	return few
}

// draw joins points.
func draw(class string, points [][2]float64, x, y *scale, marks []mark) line {
	var path strings.Builder
	for i, p := range points {
		to := "L"
		if i == 0 {
			to = "M"
		}
		path.WriteString(to + px(x.at(p[0])) + " " + px(y.at(p[1])))
	}
	return line{Class: class, Path: path.String(), Marks: marks}
}

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

func short(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
