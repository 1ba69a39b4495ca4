package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

const (
	pidMax = "/proc/sys/kernel/pid_max"

	tasksEach       = 10 // that a session may have, with some to spare
	descriptorsEach = 3  // of the daemon, with those of its clients
	pidsForMany     = 131072

	// Those that are not of sessions.
	otherTasks       = 20_000
	otherDescriptors = 2048
)

// apart keeps a signal of the terminal from a program, whose end is ours to ask
// for; but if we are killed it is asked to end.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// raise lets the machine have as many tasks, and programs that we start as many
// descriptors, as so many sessions need. Only root can; for others it does
// nothing. What cannot be raised is told by note: fewer sessions may do. What it
// returns takes it back.
func raise(sessions int, note func(string)) (restore func() error) {
	if os.Geteuid() != 0 {
		return func() error { return nil }
	}
	descriptors, err := raiseDescriptors(uint64(max(sessions, 0)*descriptorsEach + otherDescriptors))
	if err != nil {
		note(err.Error())
	}
	pids, err := raisePids(sessions*tasksEach + otherTasks)
	if err != nil {
		note(err.Error())
	}
	return func() error { return errors.Join(pids(), descriptors()) }
}

// raiseDescriptors returns what takes it back, also with an error.
func raiseDescriptors(want uint64) (restore func() error, err error) {
	restore = func() error { return nil }
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil || was.Cur >= want {
		return restore, err
	}
	back := func() error { return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was) }
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: max(want, was.Max)}); err == nil {
		return back, nil
	}
	if want > was.Max {
		err = fmt.Errorf("a program may have %d descriptors here, and the sessions may need %d", was.Max, want)
	}
	if failed := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: min(want, was.Max), Max: was.Max}); failed != nil {
		return restore, errors.Join(err, failed)
	}
	return back, err
}

// raisePids returns what takes it back, also with an error.
func raisePids(want int) (restore func() error, err error) {
	restore = func() error { return nil }
	text, err := os.ReadFile(pidMax)
	if err != nil {
		return restore, err
	}
	was, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || was >= want {
		return restore, err
	}
	if err := setPids(max(want, pidsForMany)); err != nil {
		return restore, fmt.Errorf("this machine may have %d tasks, and the sessions may need %d: %w", was, want, err)
	}
	return func() error { return setPids(was) }, nil
}

func setPids(n int) error {
	return os.WriteFile(pidMax, []byte(strconv.Itoa(n)+"\n"), 0o644) //nolint:gosec // it is there
}
