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

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/setup"
)

// init does all of it, since until main begins all is on the process's first thread:
// while another becomes the agent, nobody can enter the namespaces of the process. To
// lock main to it would take a thread more.
func init() { //nolint:gochecknoinits // see above
	tell(run(os.Args[1:]))
	os.Exit(1)
}

func main() {}

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
	c, err := boot.DecodeWalls(data)
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
