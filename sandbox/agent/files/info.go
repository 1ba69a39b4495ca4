//go:build linux

package files

import (
	"encoding/json"
	"os"

	"github.com/sandwarden/sandwarden/sandbox"
)

// stat tells of a file; of a symlink itself.
func (h *helper) stat() error { return h.tell(os.Lstat) }

func (h *helper) tell(stat func(string) (os.FileInfo, error)) error {
	info, err := stat(h.path)
	if err != nil {
		return err
	}
	return json.NewEncoder(h.out).Encode(describe(h.path, h.path, info))
}

// describe tells of the file at a path under a name.
func describe(name, path string, info os.FileInfo) sandbox.FileInfo {
	out := sandbox.FileInfo{
		Path: name, Type: typeOf(info.Mode()), Size: info.Size(),
		Mode: uint32(info.Mode().Perm()), Modified: info.ModTime().UTC(),
	}
	if out.Type == sandbox.Symlink {
		out.Target, _ = os.Readlink(path) // one that is gone by now leads nowhere
	}
	return out
}

func typeOf(mode os.FileMode) sandbox.FileType {
	switch {
	case mode.IsRegular():
		return sandbox.RegularFile
	case mode.IsDir():
		return sandbox.Directory
	case mode.Type() == os.ModeSymlink:
		return sandbox.Symlink
	}
	return sandbox.OtherFile
}
