package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
)

// serve runs the daemon until ctx ends.
func (p *program) serve(ctx context.Context, args []string) error {
	command, c, report, done, err := p.serveConfiguration(args)
	if done || err != nil {
		return err
	}
	defer spareProcessors()()
	log := p.logs(c)
	defer log.Close() //nolint:errcheck // what it could not write was told
	served, err := p.serveWith(ctx, command, c, report, log)
	switch { // the console gets it from our caller
	case err == nil, told(err):
	case served:
		log.aside.ErrorContext(ctx, "daemon failed", "err", err)
	default:
		log.aside.ErrorContext(ctx, "daemon not started", "err", err)
	}
	return err
}

// serveWith makes the parts in the order in which they need one another, and
// ends them in the opposite one. It tells whether there was a time in between.
func (p *program) serveWith(ctx context.Context, command *command, c config.Config, report config.Report, log *logs) (served bool, err error) {
	logger := log.Logger
	given := c // what a reload is compared with
	c, own := settled(ctx, c)
	if moved, err := p.move(ctx, p, c, logger); moved {
		return false, err
	}
	manager := newNotifier(logger)
	hangups, unheed := heed() // from now on they end nothing
	defer unheed()
	if c.Transport == stdio {
		if c, err = privately(c); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, forget(c)) }()
	}
	locks, err := lockDirectories(c.StateDir, c.RuntimeDir)
	if err != nil {
		return false, err
	}
	defer func() { err = closed(err, locks) }()
	p.begin(ctx, c, report, logger)
	if own != "" {
		logger.WarnContext(ctx, own, "part", "config") //nolint:sloglint // the text is the message
	}
	listeners, err := p.listeners(ctx, c, logger)
	if err != nil {
		return false, err
	}
	defer closeAll(listeners)
	api, c, err := listenAPI(ctx, c, logger)
	if err != nil {
		return false, err
	}
	defer closeAll(api)
	unprofile, err := profile(ctx, c, logger)
	if err != nil {
		return false, err
	}
	defer unprofile()
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx until all is drained
	defer end()
	d, err := p.newDaemon(ctx, life, c, logger)
	if err != nil {
		return false, err
	}
	failed := p.startServing(ctx, c, d, listeners, api, logger)
	r := &reloader{program: p, command: command, config: given, daemon: d, log: log, manager: manager}
	defer r.run(life, hangups)()
	p.announce(c, d.backend, log)
	manager.ready(baseURL(c), d.backend.Ready())
	defer manager.watch(life, d.sessions.Overview)()
	keep := p.keeps(c, d.backend)
	select {
	case <-ctx.Done():
		signal := signalOf(ctx)
		keep = keep && signal != interrupted
		logger.InfoContext(life, "shutting down", "signal", signal, "sessions", map[bool]string{true: "keep", false: "destroy"}[keep])
	case err = <-failed:
	}
	manager.stopping()
	return true, errors.Join(err, d.stop(life, c.DrainTimeout, keep, logger))
}

// keeps tells whether sessions outlive this daemon: not where nobody would come
// back for them, or the next daemon could not take them over.
func (p *program) keeps(c config.Config, backend sandbox.Backend) bool {
	return c.ShutdownSessions == "keep" && c.Transport != stdio && os.Getpid() != 1 && backend.Capabilities().Survives
}

// interrupted is the signal of somebody at a terminal, who is done.
const interrupted = "SIGINT"

// listeners opens what clients connect to: nothing for a client on standard
// input.
func (p *program) listeners(ctx context.Context, c config.Config, logger *slog.Logger) ([]net.Listener, error) {
	if c.Transport == stdio {
		return nil, nil
	}
	return listen(ctx, c, logger)
}

// startServing lets clients in. The channel gets what ends the daemon.
func (p *program) startServing(ctx context.Context, c config.Config, d *daemon, listeners, api []net.Listener, logger *slog.Logger) <-chan error {
	if c.Transport == stdio {
		return d.startLines(ctx, p.stdin, p.stdout)
	}
	logger.InfoContext(ctx, "serving", "addr", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	apiLog(ctx, c, logger)
	return d.start(listeners, api)
}

// begin writes the first lines of the log.
func (p *program) begin(ctx context.Context, c config.Config, report config.Report, logger *slog.Logger) {
	logger.InfoContext(ctx, "starting", "version", release())
	logger.InfoContext(ctx, "configuration", "host", c.Host, "port", c.Port, "cors", c.EnableCORS)
	for _, warning := range report.Warnings {
		logger.WarnContext(ctx, warning, "part", "config") //nolint:sloglint // the text is the message
	}
}

// signalOf is the signal that ended a context.
func signalOf(ctx context.Context) string {
	switch context.Cause(ctx).Error() { // what signal.NotifyContext says
	case "terminated signal received":
		return "SIGTERM"
	case "interrupt signal received":
		return interrupted
	}
	return "no"
}

// closed joins what the end of the locks says to an error.
func closed(err error, l locks) error { return errors.Join(err, l.release()) }

// serveCommand makes the subcommand serve.
func serveCommand() (c *command, check *bool) {
	c = newCommand("serve")
	return c, c.flags.Bool("check-config", false, "only say whether the configuration is valid")
}

// serveConfiguration reads the arguments of serve. It is done when those asked
// for help or a check only.
func (p *program) serveConfiguration(args []string) (command *command, c config.Config, report config.Report, done bool, err error) {
	command, check := serveCommand()
	wantsHelp, err := command.parse(args)
	switch {
	case err != nil:
		return command, c, report, true, err
	case wantsHelp:
		return command, c, report, true, p.print(command.usage())
	case *check:
		return command, c, report, true, p.check(command)
	}
	c, report, err = p.configuration(command)
	return command, c, report, err != nil, err
}
