package bench

import (
	"fmt"
	"strings"
)

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
