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
	"syscall"

	"github.com/sandwarden/sandwarden/sandbox"
)

// chunk is how much is handed on at once.
const chunk = 64 << 10

// pack gives a tree as tar. Names are relative to the path; of a single file
// the name is its own. What is no file, directory or symlink is left out.
func (h *helper) pack() error {
	info, err := os.Stat(h.path)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(h.out, chunk)
	p := &packing{root: h.path, archive: tar.NewWriter(out)}
	if info.IsDir() {
		w := &walker{root: h.path, recursive: true, visit: p.add}
		err = w.walk("")
	} else {
		p.root = filepath.Dir(h.path)
		err = p.addFile(filepath.Base(h.path), 0)
	}
	if err != nil {
		return err
	}
	return errors.Join(p.archive.Close(), out.Flush())
}

// A packing writes an archive.
type packing struct {
	root    string
	archive *tar.Writer
}

// add adds one member.
func (p *packing) add(name string, info os.FileInfo) error {
	var err error
	switch typeOf(info.Mode()) {
	case sandbox.RegularFile:
		err = p.addFile(name, syscall.O_NOFOLLOW)
	case sandbox.Directory:
		err = p.archive.WriteHeader(header(name+"/", tar.TypeDir, info))
	case sandbox.Symlink:
		err = p.addLink(name, info)
	case sandbox.OtherFile:
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went just now
	}
	return err
}

func (p *packing) addLink(name string, info os.FileInfo) error {
	target, err := os.Readlink(filepath.Join(p.root, name))
	if err != nil {
		return err
	}
	head := header(name, tar.TypeSymlink, info)
	head.Linkname = target
	return p.archive.WriteHeader(head)
}

// addFile adds a file as long as it was at first, whatever is done to it while
// it is read: one that shrinks is filled up.
func (p *packing) addFile(name string, flags int) error {
	f, info, err := openRegular(filepath.Join(p.root, name), os.O_RDONLY|flags, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	head := header(name, tar.TypeReg, info)
	head.Size = info.Size()
	if err := p.archive.WriteHeader(head); err != nil {
		return err
	}
	n, err := io.Copy(p.archive, io.LimitReader(f, head.Size))
	if err != nil {
		return err
	}
	_, err = io.CopyN(p.archive, zeros{}, head.Size-n)
	return err
}

// header names neither user nor group: they mean nothing elsewhere.
func header(name string, kind byte, info os.FileInfo) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
}

// zeros is an endless reader of zeros.
type zeros struct{}

// Read implements [io.Reader].
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
