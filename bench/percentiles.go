package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

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
