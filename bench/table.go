package bench

import (
	"fmt"
	"io"
	"strings"
)

// writeScales writes a table of what each operation costs at each number of
// sessions, for the results that have looked at several.
func writeScales(w io.Writer, results []*Result) error {
	var b strings.Builder
	for _, r := range results {
		var lines []Series
		for _, s := range r.Series {
			if s.XUnit == "sessions" && len(s.Points) > 1 {
				lines = append(lines, s)
			}
		}
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s, at each number of sessions:\n\n", r.Workload)
			scaleTable(&b, lines)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// scaleTable writes lines that have their points at the same places.
func scaleTable(b *strings.Builder, lines []Series) {
	head, rule := []string{"sessions"}, []string{"---:"}
	for _, s := range lines {
		name := s.Name
		if s.Unit != "" {
			name += ", " + s.Unit
		}
		head, rule = append(head, name), append(rule, "---:")
	}
	row(b, head...)
	b.WriteString("|" + strings.Join(rule, "|") + "|\n")
	for i, p := range lines[0].Points {
		cells := []string{fmt.Sprintf("%.0f", p[0])}
		for _, s := range lines {
			if i < len(s.Points) {
				cells = append(cells, number(s.Points[i][1]))
			}
		}
		row(b, cells...)
	}
}
