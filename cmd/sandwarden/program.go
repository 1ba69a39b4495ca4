package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
)

// A program is one run of the command, with all that it may touch.
type program struct {
	args, environ  []string
	stdin          io.Reader // nil is that of the process
	stdout, stderr io.Writer
	open           opener
	move           mover
}

// A mover runs the program again where it has the rights to make sandboxes, and
// reports whether it did: then that other run is over, and with it this one.
type mover func(context.Context, *program, config.Config, *slog.Logger) (moved bool, err error)

// An opener makes the backend that a configuration asks for. It lives until it
// is closed; the context is for its making and its life. The sandboxes that are
// claimed are left for it to adopt.
type opener func(ctx context.Context, c config.Config, claimed []sandbox.ID, logger *slog.Logger) (sandbox.Backend, error)

// run is the whole program. It returns the exit status: 0, 1 when something
// failed, 2 when the command line was wrong.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if err := awaitIDs(environ); err != nil {
		fmt.Fprintln(stderr, "sandwarden: "+err.Error())
		return 1
	}
	p := &program{args: args, environ: environ, stdout: stdout, stderr: stderr, open: openBackend, move: moveInside}
	return p.run(ctx)
}

func (p *program) run(ctx context.Context) int {
	err := p.dispatch(ctx, p.args)
	switch bad, isUsage := errors.AsType[*usageError](err); {
	case err == nil:
		return 0
	case isUsage:
		fmt.Fprintf(p.stderr, "sandwarden: %s\n%s", bad.what, bad.usage) //nolint:errcheck // nobody is left to tell
		return 2
	}
	if told, ok := errors.AsType[exitError](err); ok {
		return int(told)
	}
	text := err.Error()
	if _, ok := errors.AsType[*config.Error](err); !ok {
		text = "sandwarden: " + text
	}
	fmt.Fprintln(p.stderr, text)
	return 1
}

// An exitError is the exit status of a process that did the work in our place,
// and has said all there is to say.
type exitError int

// Error implements error.
func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// A usageError is a command line that makes no sense.
type usageError struct{ what, usage string }

// Error returns what is wrong.
func (e *usageError) Error() string { return e.what }

func (p *program) print(text string) error {
	_, err := io.WriteString(p.stdout, text)
	return err
}

// A command is one subcommand's own flags and what it does with them.
type command struct {
	name  string
	flags *pflag.FlagSet
}

// newCommand makes a subcommand that takes the settings' flags.
func newCommand(name string) *command {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are ours to tell
	flags.SortFlags = false
	config.AddFlags(flags)
	return &command{name: name, flags: flags}
}

// parse reads a subcommand's arguments. It reports whether only help is wanted.
func (c *command) parse(args []string) (wantsHelp bool, err error) {
	err = c.flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return true, nil
	case err == nil && c.flags.NArg() > 0:
		err = fmt.Errorf("%s takes no argument %q", c.name, c.flags.Arg(0))
	}
	if err != nil {
		return false, &usageError{what: err.Error(), usage: c.usage()}
	}
	return false, nil
}

func (c *command) usage() string {
	return "Usage: sandwarden " + c.name + " [flags]\n" + c.flags.FlagUsages()
}

// configuration loads the configuration that a parsed command asks for.
func (p *program) configuration(c *command) (config.Config, config.Report, error) {
	return config.Load(config.Sources{Flags: c.flags, Environ: p.environ, UID: os.Getuid()})
}

// configCommand makes the subcommand config.
func configCommand() (c *command, check *bool) {
	c = newCommand("config")
	return c, c.flags.Bool("check", false, "only say whether the configuration is valid")
}

// config prints or checks the configuration.
func (p *program) config(_ context.Context, args []string) error {
	c, check := configCommand()
	wantsHelp, err := c.parse(args)
	switch {
	case err != nil:
		return err
	case wantsHelp:
		if err := p.print(c.usage() + "\n"); err != nil {
			return err
		}
		return config.Help(p.stdout)
	case *check:
		return p.check(c)
	}
	_, report, err := p.configuration(c)
	if err != nil {
		return err
	}
	p.warn(report)
	return report.Print(p.stdout)
}

// check says whether the configuration is valid, in the words of the original.
func (p *program) check(c *command) error {
	_, report, err := p.configuration(c)
	p.warn(report)
	if err != nil {
		return err
	}
	return p.print("Configuration is valid\n")
}

// warn tells of warnings where there is no log yet.
func (p *program) warn(report config.Report) {
	for _, warning := range report.Warnings {
		fmt.Fprintln(p.stderr, "warning: "+warning)
	}
}

// logs is the log that a configuration asks for. Only one process may have its
// file.
func (p *program) logs(c config.Config) *logs {
	o := logOptionsOf(c)
	o.NoColor = p.variable("NO_COLOR") != ""
	return newLogs(p.stderr, o)
}

// logger is the log of a command that a person waits for: the console alone.
func (p *program) logger(c config.Config) *slog.Logger {
	o := logOptionsOf(c)
	return newLogs(p.stderr, logOptions{Level: o.Level, Format: o.Format, Plain: o.Plain, NoColor: p.variable("NO_COLOR") != ""}).Logger
}

// variable is one of the environment that is not a setting.
func (p *program) variable(name string) string {
	for _, pair := range p.environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}
