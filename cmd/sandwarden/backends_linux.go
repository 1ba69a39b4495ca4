package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/native/doctor"
)

// openBackend makes the backend that a configuration asks for.
func openBackend(ctx context.Context, c config.Config, claimed []sandbox.ID, logger *slog.Logger) (sandbox.Backend, error) {
	if c.Backend == microsandbox.Name {
		return openServer(ctx, c, claimed, logger)
	}
	options := nativeOptions(c, logger)
	options.Claimed = claimed
	return native.New(ctx, options)
}

// nativeOptions are the parts of a configuration that the backend follows.
func nativeOptions(c config.Config, logger *slog.Logger) native.Options {
	return native.Options{
		StateDir:        c.StateDir,
		RuntimeDir:      c.RuntimeDir,
		Interpreters:    interpreters(c),
		OrphanGrace:     c.OrphanGrace,
		CgroupParent:    c.CgroupParent,
		OrphanInterval:  c.OrphanInterval,
		ConnectTimeout:  c.ConnectionTimeout,
		Volumes:         c.Volumes,
		Trusted:         trusted(c),
		Secret:          secrets(c),
		AllowUnenforced: c.AllowUnenforcedLimits,
		PoolMin:         c.PoolMin,
		PoolMax:         c.PoolMax,
		PoolShare:       c.PoolShare,
		NoZygote:        !c.Zygote,
		Preimport:       c.Preimport,
		ZygoteForks:     c.ZygoteForks,
		Logger:          logger.With("part", "native"),
	}
}

// interpreters are those that were chosen; the others are looked for.
func interpreters(c config.Config) map[sandbox.Language]string {
	chosen := map[sandbox.Language]string{sandbox.Python: c.PythonPath, sandbox.Node: c.NodePath, sandbox.Bash: c.BashPath}
	for language, path := range chosen {
		if path == "" {
			delete(chosen, language)
		}
	}
	return chosen
}

// configured reads the arguments of a command that takes only settings. It is
// done when they asked for help.
func (p *program) configured(name string, args []string) (c config.Config, done bool, err error) {
	command := newCommand(name)
	wantsHelp, err := command.parse(args)
	switch {
	case err != nil:
		return c, true, err
	case wantsHelp:
		return c, true, p.print(command.usage())
	}
	c, report, err := p.configuration(command)
	if err == nil {
		p.warn(report)
	}
	return c, false, err
}

// purge ends the sandboxes that a daemon left behind. No daemon may run.
func (p *program) purge(ctx context.Context, args []string) (err error) {
	c, done, err := p.configured("purge", args)
	if done || err != nil {
		return err
	}
	c = p.settle(ctx, c)
	if moved, err := p.move(ctx, p, c, p.logger(c)); moved {
		return err
	}
	locks, err := lockDirectories(c.StateDir, c.RuntimeDir)
	if err != nil {
		return err
	}
	defer func() { err = closed(err, locks) }()
	ended, err := purgeBackends(ctx, c, p.logger(c))
	if err != nil {
		return err
	}
	store, err := ledger.Open(recordDir(c), ledgerOptions(c, p.logger(c)))
	if err == nil {
		err = store.Conclude(sandbox.CauseKilled, "the sandboxes were purged")
	}
	if err != nil {
		return err
	}
	left, err := purgeLines(ctx, c, p.logger(c))
	if err != nil {
		return err
	}
	return p.print(fmt.Sprintf("ended %d sandboxes\n", ended+left))
}

// purgeBackends ends what the daemon of a state directory left, here and at the
// server where it made sandboxes.
func purgeBackends(ctx context.Context, c config.Config, logger *slog.Logger) (int, error) {
	ended, err := native.Purge(ctx, nativeOptions(c, logger))
	if c.Backend != microsandbox.Name || knownInstance(c.StateDir) == "" {
		return ended, err
	}
	stopped, failed := microsandbox.Purge(ctx, serverOptions(c, knownInstance(c.StateDir), logger))
	if failed != nil {
		failed = fmt.Errorf("at %s: %w", withoutPassword(c.ServerURL), explained(failed))
	}
	return ended + stopped, errors.Join(err, failed)
}

// purgeLines ends what daemons of single clients left that were killed: each had
// directories of its own, which nobody has locked any more.
func purgeLines(ctx context.Context, c config.Config, logger *slog.Logger) (ended int, err error) {
	names, err := filepath.Glob(filepath.Join(c.StateDir, "stdio-*"))
	for _, name := range names {
		own := c
		own.StateDir, own.RuntimeDir = name, filepath.Join(c.RuntimeDir, filepath.Base(name))
		locks, lockErr := lockDirectories(own.StateDir, own.RuntimeDir)
		if lockErr != nil {
			continue // its daemon lives
		}
		n, purgeErr := purgeBackends(ctx, own, logger)
		ended += n
		err = errors.Join(err, purgeErr, locks.release())
		if purgeErr == nil { // else its id is needed to find what is left
			err = errors.Join(err, forget(own))
		}
	}
	return ended, err
}

// doctor says what this host can enforce.
func (p *program) doctor(ctx context.Context, args []string) error {
	c, done, err := p.configured("doctor", args)
	if done || err != nil {
		return err
	}
	c = p.settle(ctx, c)
	findings := checkBackend(ctx, c)
	if err := doctor.Render(p.stdout, findings); err != nil {
		return err
	}
	if slices.ContainsFunc(findings, func(f doctor.Finding) bool { return f.Level == doctor.Refuse }) {
		return errors.New("no sandbox can be made here")
	}
	return nil
}

// doctorOptions are what a configuration says of the places to look at.
func doctorOptions(c config.Config) doctor.Options {
	chosen := interpreters(c)
	options := doctor.Options{StateDir: c.StateDir, RuntimeDir: c.RuntimeDir, Interpreters: doctor.Interpreters(), Sessions: c.MaxSessions, CgroupParent: c.CgroupParent}
	if self, err := os.Executable(); err == nil {
		options.Executable = self
	}
	for i := range options.Interpreters {
		for _, t := range sandbox.Templates() {
			if path := chosen[t.Language]; path != "" && t.Name == options.Interpreters[i].Template {
				options.Interpreters[i].Paths = []string{path}
			}
		}
	}
	return options
}

// trusted are the files that this program believes at its next start, also
// those that are not there yet.
func trusted(c config.Config) []string {
	files := append([]string{"sandwarden.yaml", ".env", c.TLSCert, c.LogFile}, c.Files...)
	if self, err := os.Executable(); err == nil {
		files = append(files, self)
	}
	return absolute(files)
}

// secrets are files that nobody but the daemon may see.
func secrets(c config.Config) []string {
	return absolute([]string{c.TokensFile, c.TLSKey, c.MSBKeyFile})
}

func absolute(files []string) []string {
	var all []string
	for _, file := range files {
		if path, err := filepath.Abs(file); err == nil && file != "" {
			all = append(all, path)
		}
	}
	return all
}
