package kernel

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// LongestHello is how much of what comes first is read at once, in bytes.
const LongestHello = 4 << 10

var errNoHello = errors.New("no kernel came")

// Hello reads what a forked kernel says first, and the process that it is, as the reader's
// namespace numbers it. The file is the reading end of a control channel that tells who
// sends (SO_PASSCRED), and does not do so any more afterwards.
func Hello(f *os.File) (pid int, first []byte, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	first = make([]byte, LongestHello)
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	var n, oobn int
	readErr := raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), first, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if err := errors.Join(readErr, err); err != nil {
		return 0, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || n == 0 || len(messages) == 0 {
		return 0, nil, errNoHello
	}
	from, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil || from.Pid <= 1 {
		return 0, nil, errNoHello
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 0) })
	return int(from.Pid), first[:n], nil
}
