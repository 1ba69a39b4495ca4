//go:build linux

package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// remove removes what stands at the path; what a symlink leads to stays.
func (h *helper) remove() error {
	if _, err := os.Lstat(h.path); err != nil {
		return err
	}
	if h.r.Recursive {
		return os.RemoveAll(h.path)
	}
	return os.Remove(h.path)
}

// mkdir makes a directory. The mode is its own; parents get the usual one.
func (h *helper) mkdir() error {
	if err := os.MkdirAll(filepath.Dir(h.path), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(h.path, h.mode(0o755))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(h.path)
	if err == nil && !info.IsDir() {
		return fault{code: wire.FaultCode_EXISTS}
	}
	return err
}
