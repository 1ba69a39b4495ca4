package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/sandwarden/sandwarden/config"
)

// reloadLimit bounds one reload.
const reloadLimit = 10 * time.Second

// heed keeps the process alive when its terminal or the reader of its log goes
// away. It returns the signals that ask for a reload, and how to stop it.
func heed() (hangups <-chan os.Signal, stop func()) {
	hups, pipes := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	signal.Notify(pipes, syscall.SIGPIPE) // nobody reads it
	return hups, func() {
		signal.Stop(hups)
		signal.Stop(pipes)
	}
}

// A reloader does what SIGHUP asks of a daemon that serves: it opens the file of
// the log anew, reads the configuration, the tokens and the certificate again,
// and says what cannot change before a restart.
type reloader struct {
	program *program
	command *command      // with the flags of the start
	config  config.Config // in effect, as it was given
	daemon  *daemon
	log     *logs
	manager *notifier
}

// run reloads at each signal until it is stopped.
func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				r.manager.reload(func() { r.reload(ctx) })
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (r *reloader) reload(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	reopen(ctx, r.log)
	next, report, err := r.program.configuration(r.command)
	if err != nil {
		r.log.ErrorContext(ctx, "failed to reload the configuration; the old one stays", "err", err)
		next = r.config // whose tokens and certificate may have changed all the same
	}
	for _, warning := range report.Warnings {
		r.log.WarnContext(ctx, warning, "part", "config") //nolint:sloglint // the text is the message
	}
	changed, fixed := config.Changed(r.config, next)
	if err := r.apply(ctx, next); err != nil {
		r.log.ErrorContext(ctx, "failed to reload; the old stays where that is so", "err", err)
	}
	r.log.InfoContext(ctx, "configuration reloaded", "signal", "SIGHUP", "changed", changed)
	if len(fixed) > 0 {
		r.log.WarnContext(ctx, "settings have changed that need a restart", "keys", fixed)
	}
}

// reopen opens the file of the log anew, which somebody may have moved.
func reopen(ctx context.Context, log *logs) {
	if log.file == nil {
		return
	}
	if err := log.Reopen(); err != nil {
		log.ErrorContext(ctx, "log file not opened anew", "err", err)
		return
	}
	log.InfoContext(ctx, "log file opened anew", "signal", "SIGHUP")
}

// apply puts what can be changed into effect, each part for itself.
func (r *reloader) apply(ctx context.Context, next config.Config) error {
	var errs []error
	next.Host, next.Port, next.InsecureListen = r.config.Host, r.config.Port, r.config.InsecureListen // where we listen is fixed
	if next.TokensFile == "" && r.config.TokensFile != "" && !r.config.InsecureListen && !config.IsLoopback(r.config.Host) {
		next.TokensFile, next.MSBDev = r.config.TokensFile, r.config.MSBDev
		errs = append(errs, errors.New("the daemon listens beyond this machine, so tokens stay needed until it is started anew"))
	}
	next.MSBListen, next.MSBKeyFile = r.config.MSBListen, r.config.MSBKeyFile
	next.MSBDev = next.MSBDev && config.IsHere(next.MSBListen)
	errs = append(errs, r.daemon.api.setKeys(next))
	if policy, err := policyOf(next); err != nil {
		errs = append(errs, err)
	} else {
		r.daemon.handler.SetPolicy(policy)
	}
	if r.daemon.cert != nil && next.TLSCert != "" {
		errs = append(errs, r.daemon.cert.move(next.TLSCert, next.TLSKey))
	}
	r.log.SetLevel(next.LogLevel)
	errs = append(errs, r.daemon.sessions.Tune(ctx, supervisionOptions(next, r.daemon.backend, r.daemon.meter, r.log.Logger)))
	r.config = next
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}
