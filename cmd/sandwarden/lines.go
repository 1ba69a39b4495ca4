package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sandwarden/sandwarden/config"
)

// stdio is the transport for a client that starts the daemon for itself and
// speaks over standard input and output.
const stdio = "stdio"

// startLines serves one client. The channel gets the end of its input.
func (d *daemon) startLines(ctx context.Context, in io.Reader, out io.Writer) <-chan error {
	if in == nil {
		in = os.Stdin
	}
	ended := make(chan error, 1)
	go func() { // ends with the input, or with the process
		err := d.handler.ServeLines(ctx, in, out)
		if err != nil {
			err = fmt.Errorf("standard input cannot be read: %w", err)
		}
		ended <- err
	}()
	return ended
}

// privately gives a daemon of one client directories of its own, below those
// of the configuration: there may be one for each client.
func privately(c config.Config) (config.Config, error) {
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return c, err
	}
	own, err := os.MkdirTemp(c.StateDir, "stdio-") // a name that no other daemon has, wherever it runs
	if err != nil {
		return c, err
	}
	c.StateDir, c.RuntimeDir = own, filepath.Join(c.RuntimeDir, filepath.Base(own))
	return c, nil
}

// forget removes them.
func forget(c config.Config) error {
	return errors.Join(os.RemoveAll(c.StateDir), os.RemoveAll(c.RuntimeDir))
}
