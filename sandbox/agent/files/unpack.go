//go:build linux

package files

import (
	"archive/tar"
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// unpack takes a tree as tar into a directory, which is made. Nothing is written
// outside of it, neither by the names nor through symlinks. Symlinks themselves
// are made as they are: to lead elsewhere is theirs.
func (h *helper) unpack() error {
	if err := os.MkdirAll(h.path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(h.path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fault{code: wire.FaultCode_WRONG_TYPE}
	}
	root, err := os.OpenRoot(h.path)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	u := &unpacking{root: root, directories: map[string]*tar.Header{}}
	if err := u.all(tar.NewReader(bufio.NewReaderSize(h.in, chunk))); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, h.in) // what follows the end is padding
	return err
}

// An unpacking reads an archive.
type unpacking struct {
	root        *os.Root
	directories map[string]*tar.Header // to be given their modes when all is in them
}

func (u *unpacking) all(archive *tar.Reader) error {
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return u.seal()
		}
		if err != nil {
			return fault{code: wire.FaultCode_BAD_ARCHIVE}
		}
		if err := u.member(head, archive); err != nil {
			return fault{code: faultOf(err).GetCode(), about: head.Name}
		}
	}
}

// member makes one member. Devices, pipes and what only describes the archive
// are left out.
func (u *unpacking) member(head *tar.Header, content io.Reader) error {
	if !filepath.IsLocal(head.Name) {
		return fault{code: wire.FaultCode_ESCAPES}
	}
	name := filepath.Clean(head.Name)
	if name == "." {
		return nil // the directory itself, which is there
	}
	switch head.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(name, head, content)
	case tar.TypeDir:
		u.directories[name] = head
		return u.root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		return u.place(name, func() error { return u.root.Symlink(head.Linkname, name) })
	case tar.TypeLink:
		if !filepath.IsLocal(head.Linkname) {
			return fault{code: wire.FaultCode_ESCAPES}
		}
		return u.place(name, func() error { return u.root.Link(filepath.Clean(head.Linkname), name) })
	}
	return nil
}

func (u *unpacking) file(name string, head *tar.Header, content io.Reader) error {
	var f *os.File
	err := u.place(name, func() (err error) {
		f, err = u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, head.FileInfo().Mode().Perm())
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Close()); err != nil {
		_ = u.root.Remove(name) // a part of it serves nobody, and takes room
		return err
	}
	return u.date(name, head.ModTime)
}

// place makes something at a name, instead of what is there. A directory stays.
func (u *unpacking) place(name string, create func() error) error {
	if err := u.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	err := create()
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := u.root.Lstat(name)
	if err == nil && info.IsDir() {
		return fault{code: wire.FaultCode_EXISTS}
	}
	if err := errors.Join(err, u.root.Remove(name)); err != nil {
		return err
	}
	return create()
}

// seal gives the directories their modes and dates, from below upwards.
func (u *unpacking) seal() error {
	names := make([]string, 0, len(u.directories))
	for name := range u.directories {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		head := u.directories[name]
		if err := u.root.Chmod(name, head.FileInfo().Mode().Perm()); err != nil {
			return fault{code: faultOf(err).GetCode(), about: name}
		}
		if err := u.date(name, head.ModTime); err != nil {
			return err
		}
	}
	return nil
}

// date sets when a file was modified. An archive that does not say leaves it.
func (u *unpacking) date(name string, modified time.Time) error {
	if modified.IsZero() || modified.Unix() == 0 {
		return nil
	}
	return u.root.Chtimes(name, time.Time{}, modified)
}
