package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// packTree writes a directory as tar. What is no file, directory or symlink is
// left out, and told of.
func packTree(out io.Writer, root string, complain func(string, ...any)) error {
	archive := tar.NewWriter(out)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, name)
		if err != nil || below == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return packMember(archive, name, filepath.ToSlash(below), info, complain)
	})
	return errors.Join(err, archive.Close())
}

// packMember writes one member. It names neither user nor group: they mean
// nothing inside.
func packMember(archive *tar.Writer, name, below string, info os.FileInfo, complain func(string, ...any)) error {
	head := &tar.Header{Name: below, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
	switch mode := info.Mode(); {
	case mode.IsDir():
		head.Typeflag, head.Name = tar.TypeDir, below+"/"
		return archive.WriteHeader(head)
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		head.Typeflag, head.Linkname = tar.TypeSymlink, target
		return archive.WriteHeader(head)
	case !mode.IsRegular():
		complain("%s is no file or directory, and left out", name)
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return err
	}
	head.Typeflag, head.Size = tar.TypeReg, info.Size()
	if err := archive.WriteHeader(head); err != nil {
		return err
	}
	if _, err := io.CopyN(archive, f, head.Size); err != nil {
		return fmt.Errorf("%s became shorter while it was read: %w", name, err)
	}
	return nil
}

// unpackTree makes a directory of a tar that came from a sandbox, and may be made
// to harm: nothing of it gets outside of the directory, no link leads there, no
// device is made, and no file has more than permissions.
func unpackTree(in io.Reader, to string, complain func(string, ...any)) (err error) {
	if err := os.MkdirAll(to, 0o750); err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	u := &unpacking{root: root, complain: complain}
	err = u.all(tar.NewReader(in))
	return errors.Join(err, u.seal()) // the links of a part too
}

// An unpacking reads one archive.
type unpacking struct {
	root     *os.Root // which lets no name get outside, whatever links there are
	complain func(string, ...any)
	links    []string
}

func (u *unpacking) all(archive *tar.Reader) error {
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the copy broke off: %w", err)
		}
		if err := u.member(head, archive); err != nil {
			return errors.New(plain(err.Error()))
		}
	}
}

func (u *unpacking) member(head *tar.Header, content io.Reader) error {
	name := path.Clean(head.Name)
	if name == "." {
		return nil
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		u.complain("%q leads outside, and is left out", head.Name)
		return nil
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o750); err != nil {
		return err
	}
	mode := os.FileMode(head.Mode&0o755) & os.ModePerm
	switch head.Typeflag {
	case tar.TypeDir:
		return u.root.MkdirAll(name, mode|0o700)
	case tar.TypeReg:
		return unpackFile(u.root, name, mode, content)
	case tar.TypeSymlink:
		u.links = append(u.links, name)
		return replaced(u.root, name, func() error { return u.root.Symlink(head.Linkname, name) })
	}
	u.complain("%q is no file, directory or link, and left out", head.Name)
	return nil
}

// seal takes away the links that lead outside. That is seen when all are there:
// one may lead through another. One that leads to nothing inside may stay.
func (u *unpacking) seal() error {
	for _, name := range u.links {
		_, err := u.root.Stat(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		u.complain("the link %q leads outside, and is left out", name)
		if err := u.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unpackFile makes a file anew: what is there may be a link, or shared by others.
func unpackFile(root *os.Root, name string, mode os.FileMode, content io.Reader) error {
	return replaced(root, name, func() error {
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Close())
	})
}

// replaced makes something in place of a file or a link.
func replaced(root *os.Root, name string, create func() error) error {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory here", strings.TrimSuffix(name, "/"))
	default:
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	return create()
}
