//go:build linux

package native

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// kernelEnds are the files of a kernel that is forked: the control socket, stdout
// and stderr. The agent gets the one end of each when it starts, the zygote the
// other when it forks; the daemon keeps none.
type kernelEnds struct {
	agent, zygote []*os.File
}

func openKernelEnds() (*kernelEnds, error) {
	k := &kernelEnds{}
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	k.add(sockets)
	// So the agent learns from the kernel of the host who speaks first.
	err = unix.SetsockoptInt(sockets[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	for len(k.agent) < boot.KernelFiles && err == nil {
		var pipe [2]int
		if err = unix.Pipe2(pipe[:], unix.O_CLOEXEC); err == nil {
			k.add(pipe)
		}
	}
	for _, f := range k.agent {
		err = errors.Join(err, unix.SetNonblock(int(f.Fd()), true)) // for the agent's poller
	}
	if err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

func (k *kernelEnds) add(pair [2]int) {
	k.agent = append(k.agent, os.NewFile(uintptr(pair[0]), "kernel"))
	k.zygote = append(k.zygote, os.NewFile(uintptr(pair[1]), "kernel"))
}

// close closes what the daemon still has. It may be nil, and closed before.
func (k *kernelEnds) close() error {
	if k == nil {
		return nil
	}
	var errs []error
	for _, f := range append(append([]*os.File{}, k.agent...), k.zygote...) {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
