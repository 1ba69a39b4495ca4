package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"regexp"
	"strings"
	"syscall"
)

// envFileVariable names the files of variables to read, with commas.
const envFileVariable = "SANDWARDEN_ENV_FILE"

// standardEnvFile is read where it is, when none is named.
const standardEnvFile = ".env"

// An envFile is what a file of variables says of our settings.
type envFile struct {
	name   string
	values map[string]string
}

// readEnvFiles reads the files of variables: those that are named, which must
// be there, or else the standard one.
func (r *reading) readEnvFiles() ([]envFile, error) {
	var files []envFile
	seen := &replacer{environ: r.environ, seen: map[string]string{}, left: largestFile}
	for name := range strings.SplitSeq(r.environ[envFileVariable], ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		data, err := r.sources.ReadFile(name)
		if err != nil && !errors.Is(err, ErrShared) { // who names a file trusts it
			return nil, fmt.Errorf("cannot read the file of variables %s: %w", quote(name), reason(err))
		}
		files = append(files, r.envFile(name, data, seen))
	}
	if len(files) > 0 {
		return files, nil
	}
	data, err := r.sources.ReadFile(standardEnvFile)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EISDIR): // a Python environment is a folder of this name
		return nil, nil
	case err != nil && !errors.Is(err, ErrShared):
		return nil, fmt.Errorf("cannot read the file of variables %s: %w (%s=/dev/null reads none)", standardEnvFile, reason(err), envFileVariable)
	}
	file := r.envFile(standardEnvFile, data, seen)
	switch {
	case len(file.values) == 0:
		return nil, nil // of another program
	case err != nil:
		return nil, fmt.Errorf("%s sets %s, and others than this user may change it: take that right from them, or set %s=%s to trust it",
			standardEnvFile, strings.Join(file.names(r.rows), ", "), envFileVariable, standardEnvFile)
	}
	return []envFile{file}, nil
}

// names are the variables that a file sets, in the order of the table.
func (f envFile) names(rows []setting) []string {
	var all []string
	for i := range rows {
		for _, name := range rows[i].env {
			if f.values[name] != "" {
				all = append(all, name)
			}
		}
	}
	return all
}

// envFile takes out of a file what the table knows. The rest may be meant for
// other programs, so nothing is said of it. A line that cannot be read is a
// fault when it names one of ours.
func (r *reading) envFile(name string, data []byte, seen *replacer) envFile {
	file := envFile{name: name, values: map[string]string{}}
	known := map[string]bool{}
	for i := range r.rows {
		for _, variable := range r.rows[i].env {
			known[variable] = true
		}
	}
	for b := range variables(string(data)) {
		if b.wrong {
			for _, variable := range ourNames.FindAllString(b.text, -1) {
				if known[variable] {
					r.faults = append(r.faults, fmt.Sprintf("%s, line %d, is not NAME=value with the quotes closed, so %s has no value", name, b.line, variable))
				}
			}
			continue
		}
		value := b.text
		if !b.literal {
			value = seen.replaced(value)
		}
		seen.seen[b.name] = value
		if seen.left < 0 {
			r.faults = append(r.faults, fmt.Sprintf("%s, line %d, replaces more than a file of variables needs", name, b.line))
			break
		}
		if known[b.name] && value != "" {
			file.values[b.name] = value
		}
	}
	return file
}

// ourNames finds what can be a name of the table.
var ourNames = regexp.MustCompile(`[A-Z][A-Z0-9_]+`)

// A binding is one statement of a file of variables.
type binding struct {
	name, text string
	literal    bool // in single quotes: nothing in it is replaced
	wrong      bool // it is no statement; text is its line
	line       int
}

// The grammar is that of python-dotenv, with which users of the original wrote
// their files. Libraries for Go know another one: they replace $NAME without
// braces, which cuts keys and passwords that have a dollar in them.
var (
	envBlank    = regexp.MustCompile(`^\s*`)
	envKey      = regexp.MustCompile(`^(?:export[^\S\r\n]+)?(?:'([^']+)'|([^'=#\s][^=#\s]*))[^\S\r\n]*`)
	envSingle   = regexp.MustCompile(`^[^\S\r\n]*'((?:\\'|[^'])*)'`)
	envDouble   = regexp.MustCompile(`^[^\S\r\n]*"((?:\\"|[^"])*)"`)
	envUnquoted = regexp.MustCompile(`^[^\r\n]*`)
	envComment  = regexp.MustCompile(`[^\S\r\n]+#.*`)
	envEnd      = regexp.MustCompile(`^(?:[^\S\r\n]*#[^\r\n]*)?[^\S\r\n]*(?:\r\n|\n|\r|$)`)
	envRest     = regexp.MustCompile(`^[^\r\n]*(?:\r\n|\n|\r|$)`)
	envVariable = regexp.MustCompile(`\$\{([^}:]*)(?::-([^}]*))?\}`)
)

// variables yields the statements of a file, one after the other.
func variables(text string) iter.Seq[binding] {
	return func(yield func(binding) bool) {
		rest, line := strings.TrimPrefix(text, "\ufeff"), 1
		for {
			blank := envBlank.FindString(rest)
			line += strings.Count(blank, "\n")
			rest = rest[len(blank):]
			if rest == "" {
				return
			}
			b, length := statement(rest)
			b.line = line
			line += strings.Count(rest[:length], "\n")
			rest = rest[length:]
			if (b.name != "" || b.wrong) && !yield(b) {
				return
			}
		}
	}
}

// statement reads one, and returns how long it is. It has no name where it is a
// comment, or names a variable without giving it a value.
func statement(text string) (b binding, length int) {
	rest := text
	if key := envKey.FindStringSubmatch(rest); key != nil {
		b.name = key[1] + key[2]
		rest = rest[len(key[0]):]
	}
	if after, ok := strings.CutPrefix(rest, "="); ok && b.name != "" {
		var written string
		written, b.text, b.literal = assigned(after)
		rest = after[len(written):]
	} else {
		b.name = ""
	}
	if end := envEnd.FindStringIndex(rest); end != nil {
		return b, len(text) - len(rest) + end[1]
	}
	line := envRest.FindString(text)
	return binding{text: line, wrong: true}, len(line)
}

// assigned reads the value at the beginning of a text: how it is written there,
// and what it says.
func assigned(text string) (written, value string, literal bool) {
	if m := envSingle.FindStringSubmatch(text); m != nil {
		return m[0], strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(m[1]), true
	}
	if m := envDouble.FindStringSubmatch(text); m != nil {
		return m[0], strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`, `\a`, "\a", `\b`, "\b",
			`\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\v`, "\v").Replace(m[1]), false
	}
	written = envUnquoted.FindString(text)
	if strings.HasPrefix(strings.TrimSpace(written), `'`) || strings.HasPrefix(strings.TrimSpace(written), `"`) {
		return "", "", false // a quote without a second: no end of a line is here
	}
	return written, strings.TrimSpace(envComment.ReplaceAllString(written, "")), false
}

// A replacer puts values in the place of ${NAME} and ${NAME:-otherwise}. What
// the environment says goes before what a file says; empty is unset.
type replacer struct {
	environ, seen map[string]string
	left          int // bytes; values made of values could fill any memory
}

func (r *replacer) replaced(value string) string {
	return envVariable.ReplaceAllStringFunc(value, func(found string) string {
		m := envVariable.FindStringSubmatch(found)
		with := cmp.Or(r.environ[m[1]], r.seen[m[1]], m[2])
		if r.left -= len(with); r.left < 0 {
			return ""
		}
		return with
	})
}
