package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// report tells what each setting has and from where.
func (r *reading) report() Report {
	report := Report{File: r.file, Warnings: r.warnings}
	for i := range r.rows {
		s := &r.rows[i]
		v := r.origins[s.key]
		shown := Value{Key: s.key, Text: plain(v.text), Source: "default"}
		if v.text == "" && s.unset != "" {
			shown.Text = "(" + s.unset + ")"
		}
		switch v.from {
		case fromFile:
			shown.Source = "file " + r.file
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
	for _, s := range settings(directories{state: "standard place", runtime: "standard place"}) {
		initial, flag := s.initial, s.flag
		if initial == "" {
			initial = s.unset
		}
		if flag != "" {
			flag = "--" + flag
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", s.key, strings.Join(s.env, ", "), flag, initial, s.help) //nolint:errcheck // Flush tells
	}
	return table.Flush()
}
