package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// warnOfNames tells of names in the environment that look like ours and are
// not. They may be of another program, so they are no fault.
func (r *reading) warnOfNames() {
	var known []string
	for i := range r.rows {
		known = append(known, r.rows[i].env...)
	}
	known = append(known, elsewhere()...)
	for _, name := range slices.Sorted(maps.Keys(r.environ)) {
		ours := strings.HasPrefix(name, "MSB_") || strings.HasPrefix(name, "MCP_") || strings.HasPrefix(name, "SANDWARDEN_")
		switch {
		case r.environ[name] == "" || slices.Contains(known, name):
		case ours && !isServiceLink(name, r.environ[name]):
			r.warnings = append(r.warnings, plain(name)+" is set, but there is no such setting"+suggestion(name, known))
		}
	}
}

// linkName is a variable that Kubernetes or Docker makes for a service, beside
// NAME_PORT.
var linkName = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// isServiceLink reports whether a variable that looks like ours was put into
// the environment for a service that is called like us.
func isServiceLink(name, value string) bool {
	return linkName.MatchString(name) || strings.HasSuffix(name, "_PORT") && serviceLink.MatchString(value)
}

// refuseUnknownKeys makes faults of the keys of the file that no setting has.
func (r *reading) refuseUnknownKeys() {
	var known []string
	for i := range r.rows {
		if !r.rows[i].flagOnly {
			known = append(known, r.rows[i].key)
		}
	}
	for _, key := range r.unknown {
		text := "unknown key " + quote(key) + " in " + r.file
		if slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key+delimiter) }) {
			text += ": it is a section, with settings below it"
		} else {
			text += suggestion(key, known)
		}
		r.faults = append(r.faults, text)
	}
}

// suggestion names what may have been meant.
func suggestion(name string, known []string) string {
	const likely = 3 // letters that differ
	best, least := "", likely+1
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" || len(name) > 100 {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// distance counts the letters that must be added, dropped or changed.
func distance(a, b string) int {
	const long = 100
	if len(a) > long || len(b) > long {
		return long
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
