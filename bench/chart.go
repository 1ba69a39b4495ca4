package bench

import (
	"strconv"
	"strings"
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

func short(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
