//go:build linux

package guest

import (
	"errors"
	"os"
	"strconv"
	"syscall"
)

// JoinWord is the first argument of the agent's program when it is to enter a
// cgroup and then become another program.
const JoinWord = "join"

// Join enters the cgroup whose cgroup.procs is the descriptor args[0], then
// becomes the program args[1] with the arguments that follow.
func Join(args, environ []string) error {
	if len(args) < 3 {
		return errors.New("join: a descriptor, a path and arguments are needed")
	}
	fd, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "join")
	if _, err := f.WriteAt([]byte("0"), 0); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syscall.Exec(args[1], args[2:], environ)
}
