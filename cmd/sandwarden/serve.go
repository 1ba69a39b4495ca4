package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/sandwarden/sandwarden/config"
)

// What a client may do on a connection. There is no limit on writing: answers
// and streams have theirs, which know what they wait for.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// How long the end may take beyond the drain timeout: answers that are being
// written, and what the backend itself holds.
const (
	answerGrace  = time.Second
	backendGrace = 500 * time.Millisecond
)

// serve runs the daemon until ctx ends.
func (p *program) serve(ctx context.Context, args []string) error {
	c, report, done, err := p.serveConfiguration(args)
	if done || err != nil {
		return err
	}
	log := p.logs(c)
	defer log.Close() //nolint:errcheck // what it could not write was told
	served, err := p.serveWith(ctx, c, report, log)
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
func (p *program) serveWith(ctx context.Context, c config.Config, report config.Report, log *logs) (served bool, err error) {
	logger := log.Logger
	if moved, err := p.move(ctx, p, c, logger); moved {
		return false, err
	}
	manager := newNotifier(logger)
	defer p.heed(ctx, manager, log)()
	locks, err := lockDirectories(c.StateDir, c.RuntimeDir)
	if err != nil {
		return false, err
	}
	defer func() { err = closed(err, locks) }()
	p.begin(ctx, c, report, logger)
	listeners, err := listen(ctx, c.Host, c.Port, logger)
	if err != nil {
		return false, err
	}
	defer closeAll(listeners)
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx until all is drained
	defer end()
	d, err := p.newDaemon(ctx, life, c, logger)
	if err != nil {
		return false, err
	}
	logger.InfoContext(ctx, "serving", "addr", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	failed := d.start(listeners)
	p.announce(c, d.backend, log)
	manager.ready(baseURL(c), d.backend.Ready())
	defer manager.watch(life, d.sessions.Overview)()
	select {
	case <-ctx.Done():
		logger.InfoContext(life, "shutting down", "signal", signalOf(ctx), "sessions", "destroy")
	case err = <-failed:
	}
	manager.stopping()
	return true, errors.Join(err, d.stop(life, c.DrainTimeout, logger))
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
		return "SIGINT"
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
func (p *program) serveConfiguration(args []string) (c config.Config, report config.Report, done bool, err error) {
	command, check := serveCommand()
	wantsHelp, err := command.parse(args)
	switch {
	case err != nil:
		return c, report, true, err
	case wantsHelp:
		return c, report, true, p.print(command.usage())
	case *check:
		return c, report, true, p.check(command)
	}
	c, report, err = p.configuration(command)
	return c, report, err != nil, err
}

// heed keeps the daemon alive when its terminal or the reader of its log goes
// away, and opens the file of the log anew on SIGHUP. It returns how to stop
// that.
func (p *program) heed(ctx context.Context, manager *notifier, log *logs) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGPIPE)
	ended := make(chan struct{})
	go func() { // ends when signals is closed, by stop
		defer close(ended)
		for s := range signals {
			if s == syscall.SIGHUP {
				manager.reload(func() { reopen(ctx, log) })
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-ended
	}
}

// reopen is what SIGHUP asks for.
func reopen(ctx context.Context, log *logs) {
	if log.file == nil {
		log.InfoContext(ctx, "nothing to reload on this signal", "signal", "SIGHUP")
		return
	}
	if err := log.Reopen(); err != nil {
		log.ErrorContext(ctx, "log file not opened anew", "err", err)
		return
	}
	log.InfoContext(ctx, "log file opened anew", "signal", "SIGHUP")
}

// newServer makes the HTTP server around a handler.
func newServer(life context.Context, handler http.Handler, logger *slog.Logger) *http.Server {
	connections := &connLog{logger: logger.With("part", "http"), most: maxConnections}
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return life },
		ConnState:         connections.state,
		ErrorLog:          slog.NewLogLogger(connections, slog.LevelInfo),
	}
}

// start serves all listeners. The channel gets the first one's failure.
func (d *daemon) start(listeners []net.Listener) <-chan error {
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { // ends with the server
			if err := d.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("cannot serve %s any more: %w", l.Addr(), err)
			}
		}()
	}
	return failed
}

// stop ends the daemon: first no new connection, then every session with its
// callers answered, then what is left of the connections, at last the backend.
func (d *daemon) stop(life context.Context, drain time.Duration, logger *slog.Logger) error {
	began := time.Now()
	d.handler.Drain()
	whole, cancel := context.WithTimeout(life, drain+answerGrace) // of which the sessions take drain
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- d.server.Shutdown(whole) }() // closes the listeners at once

	draining, cancelDraining := context.WithTimeout(life, drain)
	defer cancelDraining()
	err := d.sessions.Close(draining)
	if err != nil {
		err = fmt.Errorf("not all sandboxes could be ended (the next start ends them): %w", err)
	}
	logger.InfoContext(life, "sessions ended", "dur", time.Since(began))
	err = errors.Join(err, d.handler.Shutdown(whole)) // streams that no session has ended
	if <-answered != nil {                            // somebody does not read the answer
		err = errors.Join(err, d.server.Close())
	}
	closing, cancelClosing := context.WithTimeout(life, backendGrace)
	defer cancelClosing()
	return errors.Join(err, d.backend.Close(closing))
}
