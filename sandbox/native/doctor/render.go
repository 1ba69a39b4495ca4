//go:build linux

package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Render writes findings for people: one block each, and a verdict in the end.
func Render(w io.Writer, findings []Finding) error {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Name))
	}
	var out strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&out, "%-6s  %-*s  %s\n", f.Level, width, f.Name, f.Value)
		for _, part := range []struct{ name, text string }{{"why", f.Why}, {"cost", f.Cost}, {"fix", f.Remedy}} {
			name := part.name
			for line := range strings.Lines(part.text) {
				fmt.Fprintf(&out, "        %-4s  %s\n", name, strings.TrimSuffix(line, "\n"))
				name = ""
			}
		}
	}
	fmt.Fprintf(&out, "\n%s\n", verdict(findings))
	_, err := io.WriteString(w, out.String())
	return err
}

// verdict says it all in one line.
func verdict(findings []Finding) string {
	names := make(map[Level][]string)
	for _, f := range findings {
		names[f.Level] = append(names[f.Level], f.Name)
	}
	refused, warned := names[Refuse], names[Warn]
	switch {
	case len(refused) > 0:
		return "verdict: no sandbox can be made here until this is changed: " + strings.Join(refused, ", ")
	case len(warned) == 1:
		return "verdict: sandboxes can be made here; 1 warning: " + warned[0]
	case len(warned) > 1:
		return fmt.Sprintf("verdict: sandboxes can be made here; %d warnings: %s", len(warned), strings.Join(warned, ", "))
	}
	return "verdict: sandboxes can be made here, and nothing is missing"
}
