//go:build linux

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// interpreters looks for what the templates run.
func (h *host) interpreters(ctx context.Context) []Finding {
	found := make([]Finding, 0, len(h.opts.Interpreters)+1)
	usable := 0
	for _, i := range h.opts.Interpreters {
		f := h.interpreter(ctx, i)
		if f.Level == OK {
			usable++
		}
		found = append(found, f)
	}
	if usable == 0 {
		found = append(found, Finding{
			Name: "templates", Level: Refuse, Value: "none can be used", Why: "a sandbox without an interpreter runs nothing",
			Remedy: "install one of the interpreters above",
		})
	}
	return found
}

// interpreter takes the first path that can be used, and says of the last that
// is there why it cannot.
func (h *host) interpreter(ctx context.Context, i Interpreter) Finding {
	f := Finding{Name: "template " + i.Template, Level: Warn, Value: "not installed"}
	f.Why = "sessions of this template run it"
	f.Cost = "the template cannot be used"
	f.Remedy = fmt.Sprintf("sudo apt-get install %s (or as your distribution calls it); it must be in /usr/bin", i.Package)
	for _, place := range i.Paths {
		target, err := h.resolve(place)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = h.exposed(target)
		}
		if err != nil {
			f.Value = fmt.Sprintf("%s: %s", place, short(err))
			continue
		}
		version, err := h.version(ctx, place)
		if err != nil {
			f.Value = fmt.Sprintf("%s does not run: %v", place, err)
			continue
		}
		at := place
		if target != place {
			at += " -> " + target
		}
		return Finding{Name: f.Name, Value: fmt.Sprintf("%s (%s)", version, at)}
	}
	return f
}

// exposed returns why a file cannot be used inside: sandboxes see /usr without
// what is locally installed, and run as nobody in particular.
func (h *host) exposed(file string) error {
	clean := path.Clean(file)
	switch {
	case strings.HasPrefix(clean, "/usr/local/"), strings.HasPrefix(clean, "/usr/src/"):
		return fmt.Errorf("it leads to %s, which sandboxes do not see", clean)
	case !strings.HasPrefix(clean, "/usr/") && !strings.HasPrefix(clean, "/bin/"):
		return fmt.Errorf("it leads to %s, outside of /usr, as the shims of version managers do", clean)
	}
	const forAll = 0o005 // read and execute
	for dir := path.Dir(clean); dir != "/"; dir = path.Dir(dir) {
		info, err := fsStat(h.root, strings.TrimPrefix(dir, "/"))
		if err != nil {
			return err
		}
		if info.Mode().Perm()&forAll != forAll {
			return fmt.Errorf("%s is closed to other users", dir)
		}
	}
	info, err := fsStat(h.root, strings.TrimPrefix(clean, "/"))
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&forAll != forAll {
		return fmt.Errorf("%s is no program that everyone may run", clean)
	}
	return nil
}
