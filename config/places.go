package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
)

// configVariable names the file to read, as --config does.
const configVariable = "SANDWARDEN_CONFIG"

// directories are the standard places for what the daemon writes.
type directories struct{ state, runtime string }

// defaultDirectories are those of the system for root, else those of the user.
// Empty is where a user has none.
func defaultDirectories(environ map[string]string, uid int) directories {
	if uid == 0 {
		return directories{state: "/var/lib/sandwarden", runtime: "/run/sandwarden"}
	}
	d := directories{
		state:   below(environ["XDG_STATE_HOME"], "sandwarden"),
		runtime: below(environ["XDG_RUNTIME_DIR"], "sandwarden"),
	}
	if d.state == "" {
		d.state = below(environ["HOME"], ".local/state/sandwarden")
	}
	if d.runtime == "" {
		d.runtime = "/tmp/sandwarden-" + strconv.Itoa(uid)
	}
	return d
}

// below is name in a directory, or nothing when there is no such directory.
func below(directory, name string) string {
	if !filepath.IsAbs(directory) {
		return "" // as the XDG specification says
	}
	return filepath.Join(directory, name)
}

// find reads the file that was named, which must be there, or else the first
// that is in one of the standard places. The one in the working directory must
// not be a file that others may change: they would rule the daemon of whoever
// starts it there.
func (r *reading) find() (name string, data []byte, err error) {
	if name = r.chosen(); name != "" {
		data, err = r.sources.ReadFile(name)
		if err != nil && !errors.Is(err, ErrShared) {
			return name, nil, fmt.Errorf("cannot read the configuration file %s: %w", quote(name), reason(err))
		}
		return name, data, nil
	}
	for i, name := range r.standardFiles() {
		data, err = r.sources.ReadFile(name)
		switch {
		case err == nil, errors.Is(err, ErrShared) && i > 0:
			return name, data, nil
		case errors.Is(err, ErrShared):
			return name, nil, fmt.Errorf("others than this user may change %s: take that right from them, or name it with --config to trust it", name)
		case !errors.Is(err, fs.ErrNotExist):
			return name, nil, fmt.Errorf("cannot read the configuration file %s: %w", quote(name), reason(err))
		}
	}
	return "", nil, nil
}

// chosen is the file that flags or environment ask for.
func (r *reading) chosen() string {
	if r.sources.Flags != nil {
		if f := r.sources.Flags.Lookup(configFlag); f != nil && f.Changed {
			return f.Value.String()
		}
	}
	return r.environ[configVariable]
}

func (r *reading) standardFiles() []string {
	files := []string{"sandwarden.yaml"}
	home := below(r.environ["XDG_CONFIG_HOME"], "sandwarden/config.yaml")
	if home == "" {
		home = below(r.environ["HOME"], ".config/sandwarden/config.yaml")
	}
	if home != "" {
		files = append(files, home)
	}
	return append(files, "/etc/sandwarden/config.yaml")
}

// reason is what is wrong with a file, without its name a second time.
func reason(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}
