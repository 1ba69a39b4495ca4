//go:build linux

// Command sandwarden-agent is PID 1 of every sandbox that we make, and a guest in
// those of a microsandbox server. The daemon carries it inside and starts it; it
// is of no use by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/files"
	"github.com/sandwarden/sandwarden/sandbox/agent/guest"
	"github.com/sandwarden/sandwarden/sandbox/agent/relay"
)

func main() {
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	tell(err)
	if errors.Is(err, relay.ErrGone) {
		os.Exit(relay.StatusGone)
	}
	os.Exit(1)
}

// run chooses what to be. Only a helper returns without a reason.
func run(args []string) error {
	switch {
	case len(args) > 0 && args[0] == guest.JoinWord:
		return guest.Join(args[1:], os.Environ())
	case len(args) > 0 && args[0] == files.Word:
		return files.Run(args[1:], os.Stdin, os.Stdout)
	case len(args) == 3 && args[0] == agent.VisitWord:
		return guest.Visit(context.Background(), args[1], args[2], os.Environ())
	case len(args) == 3 && args[0] == agent.ServeWord:
		return guest.Serve(context.Background(), args[1], args[2], os.Environ())
	case len(args) > 0 && args[0] == agent.RelayWord:
		return relay.Run(context.Background(), args[1:], os.Stdout)
	case os.Getpid() != 1:
		return errors.New("sandwarden-agent is started by sandwarden; there is nothing to do by hand")
	}
	c, err := readConfig()
	if err != nil {
		return err
	}
	return guest.Run(context.Background(), c)
}

// readConfig reads the configuration and closes its descriptor: it holds the
// session's secret, and no child may ever see it.
func readConfig() (boot.Config, error) {
	f := os.NewFile(boot.ConfigFD, "config")
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return boot.Config{}, err
	}
	return boot.DecodeConfig(data)
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
