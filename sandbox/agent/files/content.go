//go:build linux

package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// openRegular opens a regular file and refuses all others. It does not wait for
// the other end of a pipe, or a device.
func openRegular(path string, flags int, mode os.FileMode) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NONBLOCK|syscall.O_NOCTTY, mode)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault{code: wire.FaultCode_WRONG_TYPE}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// read gives a range of a file.
func (h *helper) read() error {
	f, info, err := openRegular(h.path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	from := h.r.From
	if from < 0 {
		from = max(0, info.Size()+from)
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	var source io.Reader = f
	if h.r.Size > 0 {
		source = io.LimitReader(f, h.r.Size)
	}
	_, err = io.Copy(h.out, source)
	return err
}

// write takes a file. One that finds no room is given back what it had before,
// so that the sandbox has room to go on.
func (h *helper) write() error {
	f, info, err := h.openToWrite()
	if err != nil {
		return err
	}
	var before int64
	if h.r.Append {
		before = info.Size()
	} else if err := f.Truncate(0); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = io.Copy(f, h.in)
	if err != nil {
		_ = f.Truncate(before)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return h.tell(os.Stat)
}

// openToWrite opens the file that is to be written. Folders on the way are made.
func (h *helper) openToWrite() (*os.File, os.FileInfo, error) {
	flags := os.O_WRONLY | os.O_CREATE
	if h.r.Append {
		flags |= os.O_APPEND
	}
	if h.r.Exclusive {
		flags |= os.O_EXCL
	}
	f, info, err := openRegular(h.path, flags, h.mode(0o644))
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(filepath.Dir(h.path), 0o755) == nil {
		return openRegular(h.path, flags, h.mode(0o644))
	}
	return f, info, err
}
