//go:build linux

// Command sandwarden-init builds the walls of a sandbox around itself and becomes
// the agent, or enters a template's tree and becomes a zygote. The daemon carries it
// inside and starts it; it is of no use by hand. It is apart from the agent since it
// starts once more for every sandbox, and so has to be small.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/setup"
)

// init keeps main on the process's first thread: while another becomes the agent,
// nobody can enter the namespaces of the process.
func init() { runtime.LockOSThread() } //nolint:gochecknoinits // later is too late

func main() {
	err := run(os.Args[1:])
	tell(err)
	os.Exit(1)
}

// run returns only with the reason for which it failed.
func run(args []string) error {
	zygote := len(args) == 1 && args[0] == setup.ZygoteWord
	if !zygote && os.Getpid() != 1 {
		return errors.New("sandwarden-init is started by sandwarden; there is nothing to do by hand")
	}
	data, err := readConfig()
	if err != nil {
		return err
	}
	c, err := boot.DecodeConfig(data)
	if err != nil {
		return err
	}
	if zygote {
		return setup.RunZygote(c)
	}
	return setup.Run(c, data)
}

// readConfig closes the descriptor, too: it holds the session's secret.
func readConfig() ([]byte, error) {
	f := os.NewFile(boot.ConfigFD, "config")
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

// tell writes what failed to the daemon, if it still listens, else to stderr.
func tell(err error) {
	if os.Getpid() == 1 {
		if _, failed := fmt.Fprint(os.NewFile(boot.ReadyFD, "ready"), err); failed == nil {
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
}
