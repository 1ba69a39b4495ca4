package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// A place is a layer that values come from.
type place int

const (
	fromDefaults place = iota
	fromFile
	fromEnvFile
	fromEnvironment
	fromFlags
)

// A given is the text of one setting as a rule sees it.
type given struct {
	text  string
	items []any  // of a list in the configuration file; text has them with commas
	name  string // as the source spells the setting
	from  place
	file  string // that it stands in
}

// asVariable reports whether the value is that of a variable, of which the
// original spoke.
func (v given) asVariable() bool { return v.from == fromEnvironment || v.from == fromEnvFile }

// where says in which source a value stands.
func (v given) where() string {
	switch v.from {
	case fromFile, fromEnvFile:
		return "in " + v.file
	case fromEnvironment:
		return "in the environment"
	case fromFlags:
		return "on the command line"
	case fromDefaults:
	}
	return "by default"
}

// A reading is one configuration while it is read.
type reading struct {
	sources  Sources
	environ  map[string]string
	rows     []setting
	file     string
	envFiles []string
	origins  map[string]given // what each setting has, with its text
	unknown  []string         // keys of the file that no setting has
	faults   []string
	warnings []string
}

func newReading(s Sources) *reading {
	r := &reading{sources: s, environ: map[string]string{}, origins: map[string]given{}}
	for _, pair := range s.Environ {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := r.environ[name]; ok && !twice {
			r.environ[name] = value
		}
	}
	if s.ReadFile == nil {
		r.sources.ReadFile = r.read
	}
	r.rows = settings(defaultDirectories(r.environ, s.UID))
	return r
}

// layers merges what the five places say, and remembers who said it last.
func (r *reading) layers() error {
	if err := r.merge(r.defaults(), given{from: fromDefaults}, (*setting).variable); err != nil {
		return err
	}
	written, err := r.written()
	if err != nil {
		return err
	}
	if err := r.merge(written, given{from: fromFile, file: r.file}, func(s *setting) string { return s.key }); err != nil {
		return err
	}
	if err := r.mergeEnvFiles(); err != nil {
		return err
	}
	r.warnOfNames()
	if err := r.merge(r.environment(r.environ), given{from: fromEnvironment}, naming(r.environ)); err != nil {
		return err
	}
	if r.sources.Flags == nil {
		return nil
	}
	return r.merge(r.flags(), given{from: fromFlags}, func(s *setting) string { return "--" + s.flag })
}

// mergeEnvFiles merges the files of variables, each over the one before.
func (r *reading) mergeEnvFiles() error {
	files, err := r.readEnvFiles()
	if err != nil {
		return err
	}
	for _, f := range files {
		r.envFiles = append(r.envFiles, f.name)
		if err := r.merge(r.environment(f.values), given{from: fromEnvFile, file: f.name}, naming(f.values)); err != nil {
			return err
		}
	}
	return nil
}

// merge loads one layer. What is given there is like v, and name is how that
// layer spells a setting.
func (r *reading) merge(p koanf.Provider, v given, name func(*setting) string) error {
	k := koanf.New(delimiter)
	if err := k.Load(p, nil); err != nil {
		return fmt.Errorf("merge settings: %w", err)
	}
	for i := range r.rows {
		s := &r.rows[i]
		if !k.Exists(s.key) {
			continue
		}
		v.name = name(s)
		v.items = nil
		if s.rule.items {
			v.items, _ = k.Get(s.key).([]any)
		}
		text, err := textOf(k.Get(s.key))
		if err != nil && v.items == nil {
			r.fault(fmt.Errorf("%s %w", v.name, err), v)
			continue
		}
		if text == "" && v.from == fromFile && v.items == nil {
			continue // as unset as a name in the environment without a value
		}
		v.text = text
		r.origins[s.key] = v
	}
	return nil
}

// defaults is the first layer: it names every setting.
func (r *reading) defaults() layer {
	all := layer{}
	for i := range r.rows {
		all[r.rows[i].key] = r.rows[i].initial
	}
	return all
}

// written is the layer of the file. Keys that no setting has are kept aside.
func (r *reading) written() (layer, error) {
	name, data, err := r.find()
	if name == "" || err != nil {
		return nil, err
	}
	r.file = name
	k := koanf.New(delimiter)
	if err := k.Load(content(data), yaml.Parser()); err != nil {
		return nil, fmt.Errorf("%s is not the YAML that is expected: %s", name, plain(err.Error()))
	}
	known := map[string]bool{}
	for i := range r.rows {
		known[r.rows[i].key] = !r.rows[i].flagOnly
	}
	all := layer{}
	for key, value := range k.All() {
		if known[key] {
			all[key] = value
		} else if !isEmpty(value) {
			r.unknown = append(r.unknown, key)
		}
	}
	slices.Sort(r.unknown)
	return all, nil
}

// environment is the layer of those variables that the table knows. Of a
// setting with two names the first that is not empty counts.
func (r *reading) environment(values map[string]string) koanf.Provider {
	key := map[string]string{}
	for i := range r.rows {
		if s := &r.rows[i]; !s.flagOnly {
			key[naming(values)(s)] = s.key
		}
	}
	return env.Provider(delimiter, env.Opt{
		EnvironFunc: func() []string {
			var pairs []string
			for _, name := range slices.Sorted(maps.Keys(values)) {
				pairs = append(pairs, name+"="+values[name])
			}
			return pairs
		},
		TransformFunc: func(name, value string) (string, any) {
			if value == "" {
				return "", nil
			}
			return key[name], value
		},
	})
}

// naming tells the name by which variables set a setting, or its first name.
func naming(values map[string]string) func(*setting) string {
	return func(s *setting) string {
		for _, name := range s.env {
			if values[name] != "" {
				return name
			}
		}
		return s.variable()
	}
}

func (r *reading) flags() koanf.Provider {
	key := map[string]string{}
	for i := range r.rows {
		if r.rows[i].flag != "" {
			key[r.rows[i].flag] = r.rows[i].key
		}
	}
	return posflag.ProviderWithFlag(r.sources.Flags, delimiter, nil, func(f *pflag.Flag) (string, any) {
		return key[f.Name], f.Value.String()
	})
}

// parse applies the rules, in the order of the table. A value that a rule
// refuses is a fault, and its default takes its place, so that what stands
// together can be checked all the same. The faults of our own settings are
// returned, as they are told after all that the original knew.
func (r *reading) parse() (typed map[string]any, ours []string) {
	typed = map[string]any{}
	for i := range r.rows {
		s := &r.rows[i]
		v := r.origins[s.key]
		value, err := s.rule.parse(v)
		if err != nil {
			if s.ours {
				ours = append(ours, r.named(err, v))
			} else {
				r.fault(err, v)
			}
			r.origins[s.key] = given{text: s.initial, name: s.variable()}
			if again, err := s.rule.parse(r.origins[s.key]); err == nil {
				value = again
			}
		}
		typed[s.key] = value
	}
	return typed, ours
}

// fault remembers what is wrong with a value.
func (r *reading) fault(err error, v given) { r.faults = append(r.faults, r.named(err, v)) }

// named is the text of a fault, with the name and the source of the value where
// its first line does not say them.
func (r *reading) named(err error, v given) string {
	text, more, _ := strings.Cut(err.Error(), "\n")
	lacks := !strings.Contains(text, v.name)
	switch {
	case v.file != "" && lacks:
		text += " (" + v.name + " in " + v.file + ")"
	case v.file != "":
		text += " (in " + v.file + ")"
	case v.from == fromEnvironment && lacks:
		text += " (" + v.name + " in the environment)"
	case lacks:
		text += " (" + v.name + ")"
	}
	if more != "" {
		text += "\n" + more
	}
	return text
}

// textOf writes a value of YAML as the environment would have it.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool, int, int64, uint64, float64, time.Time:
		return fmt.Sprint(v), nil
	case []any:
		items := make([]string, 0, len(v))
		for _, item := range v {
			text, err := textOf(item)
			if err != nil {
				return "", err
			}
			items = append(items, text)
		}
		return strings.Join(items, ","), nil
	}
	return "", errors.New("must be a plain value")
}

// isEmpty reports whether a section has nothing in it.
func isEmpty(value any) bool {
	section, ok := value.(map[string]any)
	return value == nil || ok && len(section) == 0
}

// layer is a layer that is at hand: koanf.Provider for a map with whole keys.
type layer map[string]any

// Read returns the map, nested as koanf wants it.
func (l layer) Read() (map[string]any, error) {
	nested := map[string]any{}
	for key, value := range l {
		parts := strings.Split(key, delimiter)
		at := nested
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = value
	}
	return nested, nil
}

// ReadBytes is not how a layer is read.
func (l layer) ReadBytes() ([]byte, error) { return nil, errors.ErrUnsupported }

// content is the text of a file as a koanf.Provider.
type content []byte

// ReadBytes returns the text.
func (c content) ReadBytes() ([]byte, error) { return c, nil }

// Read is not how a text is read.
func (c content) Read() (map[string]any, error) { return nil, errors.ErrUnsupported }

// read reads a file of this host. In a namespace of our own the owners of files
// are not what they are, and the run that made it has looked at them.
func (r *reading) read(name string) ([]byte, error) {
	data, err := readFile(name, r.sources.UID)
	if errors.Is(err, ErrShared) && r.environ[namespaceVariable] != "" {
		return data, nil
	}
	return data, err
}

// largestFile is more than any configuration needs.
const largestFile = 1 << 20

// readFile reads a file that is not too large, also when it is a device. With
// the text it says whether others than this user may change it.
func readFile(name string, uid int) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, largestFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > largestFile:
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("larger than 1 MiB")}
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if isShared(stat, uid) {
		return data, &fs.PathError{Op: "read", Path: name, Err: ErrShared}
	}
	return data, nil
}

// isShared reports whether others than a user, and root, may change a file. Of
// an ordinary user's files the group is trusted: it mostly is the user's own,
// and many systems give it the right to write.
func isShared(stat fs.FileInfo, uid int) bool {
	others := fs.FileMode(0o002)
	if uid == 0 {
		others = 0o022
	}
	owner, known := ownerOf(stat)
	return stat.Mode().Perm()&others != 0 || known && owner != 0 && owner != uid
}
