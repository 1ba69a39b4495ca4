//go:build linux

package guest

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// An input is the stdin of a command, written by offset: a piece that is sent
// twice is written once.
type input struct {
	mu     sync.Mutex
	file   *os.File // nil once closed
	offset uint64
}

// openInput makes a pipe. theirs is the child's end.
func openInput() (ours *input, theirs *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(p[1], true); err != nil {
		return nil, nil, err
	}
	return &input{file: os.NewFile(uintptr(p[1]), "stdin")}, os.NewFile(uintptr(p[0]), "stdin"), nil
}

var errStdin = errors.New("stdin is closed, or the offset leaves a hole")

// write takes what the pipe takes now, and returns how much of data is known
// to be written.
func (in *input) write(offset uint64, data []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.file == nil || offset > in.offset {
		return 0, errStdin
	}
	known := int(min(in.offset-offset, uint64(len(data))))
	n, err := in.writeNow(data[known:])
	in.offset += uint64(n)
	return known + n, err
}

func (in *input) writeNow(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	raw, err := in.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var failed error
	err = raw.Control(func(fd uintptr) { n, failed = unix.Write(int(fd), data) })
	switch {
	case err != nil:
		return 0, err
	case errors.Is(failed, syscall.EAGAIN):
		return 0, nil
	case failed != nil:
		return 0, failed
	}
	return n, nil
}

func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.file != nil {
		_ = in.file.Close()
		in.file = nil
	}
}
