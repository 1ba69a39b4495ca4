package config

import (
	_ "embed"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"
)

// report tells what each setting has and from where.
func (r *reading) report() Report {
	report := Report{File: r.file, EnvFiles: r.envFiles, Warnings: r.warnings, NewlyEffective: r.newlyEffective()}
	for i := range r.rows {
		s := &r.rows[i]
		v := r.origins[s.key]
		shown := Value{Key: s.key, Text: plain(v.text), Source: "default"}
		switch {
		case v.text == "" && s.unset != "":
			shown.Text = "(" + s.unset + ")"
		case s.secret:
			shown.Text = "***"
		case s.key == "server_url":
			shown.Text = withoutPassword(shown.Text)
		}
		switch v.from {
		case fromFile, fromEnvFile:
			shown.Source = "file " + v.file
		case fromEnvironment:
			shown.Source = "environment " + v.name
		case fromFlags:
			shown.Source = "flag " + v.name
		case fromDefaults:
		}
		report.Values = append(report.Values, shown)
	}
	return report
}

// withoutPassword is a URL as people may see it.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return text
	}
	return u.Redacted()
}

// Print writes the effective settings, one a line, with their sources.
func (r Report) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range r.Values {
		fmt.Fprintf(table, "%s\t%s\t%s\n", v.Key, v.Text, v.Source) //nolint:errcheck // Flush tells
	}
	return table.Flush()
}

// Help writes the table: each setting with its names, its default and what it
// means.
func Help(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY IN THE FILE\tENVIRONMENT\tFLAG\tDEFAULT\tMEANING")
	for _, s := range documented() {
		key, flag := s.key, s.flag
		if s.flagOnly {
			key = "-"
		}
		if flag != "" {
			flag = "--" + flag
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", key, strings.Join(s.env, ", "), flag, s.unlessSet(), s.help) //nolint:errcheck // Flush tells
	}
	return table.Flush()
}

// documented is the table as it is on every host.
func documented() []setting {
	return settings(directories{state: "standard place", runtime: "standard place"})
}

// unlessSet is the default for people.
func (s *setting) unlessSet() string {
	if s.initial == "" {
		return s.unset
	}
	return s.initial
}

//go:embed configuration.md.tmpl
var page string

// Markdown writes docs/configuration.md.
func Markdown(w io.Writer) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	var chapters []chapter
	for _, g := range groups() {
		c := chapter{Title: g}
		for _, s := range documented() {
			if s.group == g {
				c.Rows = append(c.Rows, s.markdown())
			}
		}
		chapters = append(chapters, c)
	}
	var newly []string
	for _, s := range documented() {
		if s.revived != "" {
			newly = append(newly, s.revived)
		}
	}
	slices.Sort(newly)
	return t.Execute(w, map[string]any{"Chapters": chapters, "NewlyEffective": newly})
}

// A chapter is a part of the page, and each row of it a line of its table.
type chapter struct {
	Title string
	Rows  []string
}

// markdown is the setting as a line of a table.
func (s *setting) markdown() string {
	var names []string
	for _, name := range s.env {
		names = append(names, "`"+name+"`")
	}
	if s.flag != "" {
		names = append(names, "`--"+s.flag+"`")
	}
	key, initial, reload := "`"+s.key+"`", s.unset, "no"
	if s.flagOnly {
		key = "(a flag only)"
	}
	if s.initial != "" {
		initial = "`" + s.initial + "`"
	}
	if s.key == "state_dir" || s.key == "runtime_dir" {
		initial = "see below"
	}
	if s.reload {
		reload = "yes"
	}
	help := s.help
	if s.revived != "" {
		help += " (newly effective: `" + s.revived + "`)"
	}
	cells := []string{key, strings.Join(names, "<br>"), initial, s.rule.says, help, reload}
	return "| " + strings.Join(cells, " | ") + " |"
}
