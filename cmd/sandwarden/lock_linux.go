package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// locks are the directories that this daemon has for itself. The kernel gives
// them back when the process ends, however it ends.
type locks []*os.File

// lockDirectories makes the directories where they are missing and takes them,
// or says which daemon has one.
func lockDirectories(directories ...string) (taken locks, err error) {
	for _, directory := range directories {
		file, err := lockDirectory(directory)
		if err != nil {
			return nil, errors.Join(err, taken.release())
		}
		taken = append(taken, file)
	}
	return taken, nil
}

// lockDirectory takes one directory. It must be ours: in a place such as /tmp
// somebody else could have made it.
func lockDirectory(directory string) (*os.File, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory %s: %w; choose others with SANDWARDEN_STATE_DIR and SANDWARDEN_RUNTIME_DIR", directory, err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(directory, &stat); err != nil {
		return nil, fmt.Errorf("cannot look at %s: %w", directory, err)
	}
	if int(stat.Uid) != os.Geteuid() || stat.Mode&0o022 != 0 {
		return nil, fmt.Errorf("the directory %s must belong to this user and be writable by nobody else: run chown and chmod 700, or choose another", directory)
	}
	name := filepath.Join(directory, "lock")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", directory, err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = fmt.Errorf("another sandwarden%s uses %s: stop it, or choose other directories with SANDWARDEN_STATE_DIR and SANDWARDEN_RUNTIME_DIR", holder(name), directory)
		return nil, errors.Join(err, file.Close())
	}
	err = errors.Join(file.Truncate(0), writeAt(file, strconv.Itoa(os.Getpid())+"\n"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", directory, err), file.Close())
	}
	return file, nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// holder says who has the lock, as far as it wrote that down.
func holder(name string) string {
	data, err := os.ReadFile(name)
	pid, bad := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || bad != nil {
		return ""
	}
	return " (pid " + strconv.Itoa(pid) + ")"
}

// release gives the directories back. The files stay: to remove one could take
// it from a daemon that has just opened it.
func (l locks) release() error {
	var err error
	for _, file := range l {
		err = errors.Join(err, file.Close())
	}
	return err
}
