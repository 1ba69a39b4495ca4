package bench

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// maxText bounds names, versions and addresses, in characters.
const maxText = 300

// clean makes text that somebody else wrote fit for a line of a report: valid,
// short, and without what moves a terminal's cursor or turns the reading
// direction. To escape it is still the affair of each form.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.Is(unicode.Cf, r), r >= 0xfffe && r <= 0xffff: // invisible, or not a character
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	s = strings.TrimSpace(s)
	if runes := []rune(s); len(runes) > maxText {
		return strings.TrimSpace(string(runes[:maxText-1])) + "…"
	}
	return s
}

// clean returns a report all of whose text is clean. The histograms are shared.
func (r *Report) clean() *Report {
	own := *r
	own.URL, own.Daemon, own.Machine = clean(r.URL), clean(r.Daemon), r.Machine.clean()
	own.Options = nil
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		if own.Options == nil {
			own.Options = map[string]string{}
		}
		own.Options[clean(name)] = clean(r.Options[name])
	}
	own.Results = nil
	for _, result := range r.Results {
		own.Results = append(own.Results, result.clean())
	}
	own.Notes = nil
	for _, note := range r.Notes {
		own.Notes = append(own.Notes, clean(note))
	}
	return &own
}

func (r *Result) clean() *Result {
	own := *r
	own.Workload, own.Arrival = clean(r.Workload), clean(r.Arrival)
	own.Figures = slices.Clone(r.Figures)
	for i := range own.Figures {
		f := &own.Figures[i]
		f.Name, f.Unit, f.Better, f.Baseline = clean(f.Name), clean(f.Unit), clean(f.Better), clean(f.Baseline)
	}
	own.Bases = slices.Clone(r.Bases)
	for i := range own.Bases {
		own.Bases[i].Name = clean(own.Bases[i].Name)
	}
	own.Series = slices.Clone(r.Series)
	for i := range own.Series {
		s := &own.Series[i]
		s.Name, s.XUnit, s.Unit = clean(s.Name), clean(s.XUnit), clean(s.Unit)
	}
	return &own
}
