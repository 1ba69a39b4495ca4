package sandbox

import (
	"path"
	"strings"
)

// Bounds of a [FileRequest].
const (
	MaxPath      = 4096 // bytes of a path, as the kernel has it
	MaxEntries   = 10000
	UsualEntries = 1000 // of a list, where the request has no Limit
)

// Check returns nil, or why no sandbox can do what the request says: an Error of
// Kind Invalid.
func (r *FileRequest) Check() error {
	switch r.Op {
	case FileRead, FileWrite, FileStat, FileList, FileRemove, FileMkdir, FilePack, FileUnpack:
	default:
		return r.invalid("there is no such operation on files")
	}
	switch {
	case strings.ContainsRune(r.Path, 0):
		return r.invalid("a path has no NUL")
	case len(r.Path) >= MaxPath:
		return r.invalid("the path is too long")
	case r.Size < 0:
		return r.invalid("the size is below 0")
	case r.Mode > 0o777:
		return r.invalid("the mode has more than permission bits")
	case r.Limit < 0 || r.Limit > MaxEntries:
		return r.invalid("the limit is not within 0 and 10000")
	case r.Op == FileRemove && rooted(r.Absolute()):
		return r.invalid("this directory is the sandbox's own and stays")
	}
	return nil
}

// Absolute is the path as the sandbox takes it.
func (r *FileRequest) Absolute() string {
	if path.IsAbs(r.Path) {
		return path.Clean(r.Path)
	}
	return path.Join("/work", r.Path)
}

// Takes reports whether the operation takes bytes.
func (r *FileRequest) Takes() bool { return r.Op == FileWrite || r.Op == FileUnpack }

// rooted reports whether a path is one that no sandbox is without.
func rooted(absolute string) bool {
	return absolute == "/" || absolute == "/work" || absolute == "/tmp"
}

func (r *FileRequest) invalid(detail string) error {
	return &Error{Op: string(r.Op), Kind: Invalid, Detail: detail}
}
