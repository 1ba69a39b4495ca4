//go:build linux

package files

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A walker goes through the tree below a directory, name by name in their
// order, a directory before what is in it.
type walker struct {
	root      string
	recursive bool
	lenient   bool // a directory that may not be read is passed over
	visit     func(name string, info os.FileInfo) error
}

// errEnough ends a walk that has seen what it is for.
var errEnough = errors.New("enough")

func (w *walker) walk(below string) error {
	entries, err := os.ReadDir(filepath.Join(w.root, below))
	if below != "" && (errors.Is(err, fs.ErrNotExist) || w.lenient && errors.Is(err, fs.ErrPermission)) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := w.enter(filepath.Join(below, entry.Name()), entry); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) enter(name string, entry os.DirEntry) error {
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went just now
	}
	if err != nil {
		return err
	}
	if err := w.visit(name, info); err != nil {
		return err
	}
	if w.recursive && info.IsDir() {
		return w.walk(name)
	}
	return nil
}

// list tells of what is in a directory. It is one entry behind, to know of the
// last whether there are others.
func (h *helper) list() error {
	limit := h.r.Limit
	if limit == 0 {
		limit = sandbox.UsualEntries
	}
	out := bufio.NewWriter(h.out)
	lines := json.NewEncoder(out)
	var held *sandbox.FileInfo
	told := 0
	w := &walker{root: h.path, recursive: h.r.Recursive, lenient: true, visit: func(name string, info os.FileInfo) error {
		if told == limit {
			held.More = true
			return errEnough
		}
		if held != nil {
			if err := lines.Encode(held); err != nil {
				return err
			}
		}
		next := describe(name, filepath.Join(h.path, name), info)
		held = &next
		told++
		return nil
	}}
	if err := w.walk(""); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if held != nil {
		if err := lines.Encode(held); err != nil {
			return err
		}
	}
	return out.Flush()
}
