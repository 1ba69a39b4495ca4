//go:build linux

package files

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// A fault is a failure with its code.
type fault struct {
	code  wire.FaultCode
	about string // name in an archive
}

// Error implements error.
func (f fault) Error() string { return f.code.String() }

// faultOf says what failed, for the daemon; nil for nil.
func faultOf(err error) *wire.Fault {
	if err == nil {
		return nil
	}
	const longest = 256
	if f, ok := errors.AsType[fault](err); ok {
		return &wire.Fault{Code: f.code, About: []byte(f.about)[:min(len(f.about), longest)]}
	}
	return &wire.Fault{Code: codeOf(err)}
}

func codeOf(err error) wire.FaultCode {
	errno, ok := errors.AsType[syscall.Errno](err)
	switch {
	case ok:
		return codeOfErrno(errno)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, tar.ErrFieldTooLong):
		return wire.FaultCode_BAD_ARCHIVE
	case errors.Is(err, fs.ErrExist):
		return wire.FaultCode_EXISTS
	case leftRoot(err):
		return wire.FaultCode_ESCAPES
	}
	return wire.FaultCode_FAILED
}

// leftRoot reports whether an [os.Root] refused to leave its tree: then the
// failure is no system call's.
func leftRoot(err error) bool {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return true
	}
	_, ok := errors.AsType[*os.LinkError](err)
	return ok
}

func codeOfErrno(errno syscall.Errno) wire.FaultCode {
	switch errno { //nolint:exhaustive // what is not named is not foreseen
	case syscall.ENOENT:
		return wire.FaultCode_NO_FILE
	case syscall.EEXIST:
		return wire.FaultCode_EXISTS
	case syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENXIO, syscall.ENODEV, syscall.ESPIPE:
		return wire.FaultCode_WRONG_TYPE
	case syscall.ENOTEMPTY:
		return wire.FaultCode_NOT_EMPTY
	case syscall.EACCES, syscall.EPERM, syscall.EBUSY, syscall.ETXTBSY, syscall.EXDEV:
		return wire.FaultCode_FORBIDDEN
	case syscall.EROFS:
		return wire.FaultCode_READ_ONLY
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
		return wire.FaultCode_NO_ROOM
	case syscall.ENOMEM:
		return wire.FaultCode_NO_MEMORY
	case syscall.EINVAL, syscall.ENAMETOOLONG:
		return wire.FaultCode_BAD_REQUEST
	}
	return wire.FaultCode_FAILED
}
