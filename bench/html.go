package bench

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

//go:embed templates
var templates embed.FS

// parsed are the page and the drawing. What a daemon or a file says goes
// through html/template, which escapes it as the place demands.
var parsed = sync.OnceValue(func() *template.Template { //nolint:gochecknoglobals // it is a constant that takes work
	return template.Must(template.ParseFS(templates, "templates/*"))
})

// The page, as its template takes it.
type (
	page struct {
		When, URL, Daemon, Machine string
		Options                    []option
		Sections                   []section
		Notes                      []string
	}
	option  struct{ Name, Value string }
	section struct {
		Title, Note string
		Figures     []shown
		Charts      []*chart
	}
	shown struct{ Name, Value, Better, Baseline, Base, Ratio string }
)

// HTML writes the report as one page that needs nothing else: no network, no
// script, no font. It is also well-formed XML.
func (r *Report) HTML(w io.Writer) error {
	r = r.clean()
	p := page{
		When: r.Time.UTC().Format(time.RFC3339), URL: r.URL, Daemon: r.Daemon, Machine: r.Machine.String(), Notes: r.Notes,
	}
	if p.Daemon == "" {
		p.Daemon = "it did not say what it is"
	}
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		p.Options = append(p.Options, option{name, r.Options[name]})
	}
	var all []*chart
	for _, result := range r.Results {
		s := result.section()
		p.Sections = append(p.Sections, s)
		all = append(all, s.Charts...)
	}
	if c := ratios(r.Results); c != nil {
		all = append(all, c)
		p.Sections = append([]section{{Title: "Beside the baselines", Note: "A bar to the right of 1 is more than the baseline, one to the left is less: of delays and memory less is better, of rates more.", Charts: []*chart{c}}}, p.Sections...)
	}
	distinct(all)
	return parsed().ExecuteTemplate(w, "page", &p)
}

func (r *Result) section() section {
	s := section{
		Title: r.label(), Note: fmt.Sprintf("n %d, in %s s", r.N, number(r.Wall.Seconds())), Charts: r.charts(),
	}
	for i := range r.Figures {
		f := &r.Figures[i]
		s.Figures = append(s.Figures, shown{f.Name, f.value(), f.Better, f.Baseline, f.base(), f.ratio()})
	}
	return s
}
