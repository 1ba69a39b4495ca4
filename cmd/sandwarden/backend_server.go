package main

import (
	"context"
	"log/slog"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox"
)

// openServer makes the backend whose sandboxes are those of a server.
func openServer(ctx context.Context, c config.Config, claimed []sandbox.ID, logger *slog.Logger) (sandbox.Backend, error) {
	instance, err := instanceOf(c.StateDir, logger)
	if err != nil {
		return nil, err
	}
	options := serverOptions(c, instance, logger)
	options.Claimed = claimed
	return microsandbox.New(ctx, options)
}

// serverOptions are the parts of a configuration that the backend follows, for
// the daemon of an instance.
func serverOptions(c config.Config, instance string, logger *slog.Logger) microsandbox.Options {
	return microsandbox.Options{
		URL: c.ServerURL, Key: c.APIKey, Instance: instance,
		Images:         map[sandbox.Language]string{sandbox.Python: c.PythonImage, sandbox.Node: c.NodeImage, sandbox.Bash: c.BashImage},
		Volumes:        c.Volumes,
		ConnectTimeout: c.ConnectionTimeout,
		RequestTimeout: c.RequestTimeout,
		StartTimeout:   c.SandboxStartTimeout,
		OrphanInterval: c.OrphanInterval,
		Logger:         logger.With("part", microsandbox.Name),
	}
}
