//go:build unix

package key

import (
	"os"
	"syscall"
)

// ownAs gives a new file the owner of its folder, where this process may: what
// root makes for a service is then the service's.
func ownAs(file *os.File, folder string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	stat, err := os.Stat(folder)
	if err != nil {
		return err
	}
	of, ok := stat.Sys().(*syscall.Stat_t)
	if !ok || of.Uid == 0 {
		return nil
	}
	return file.Chown(int(of.Uid), int(of.Gid))
}
