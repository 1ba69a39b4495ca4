package main

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/transport/client"
)

const execUsage = `Usage:
  sandwarden exec [flags] [--] COMMAND [ARG...]

Runs a command in a session, with its output as it comes, and exits with its
status. A command without arguments is a line for sh. Standard input is passed
on when it is no terminal, or with -i. Ctrl-C interrupts the command; when that
does not end it, a second one leaves it to itself.
`

// An execCommand is the subcommand exec.
type execCommand struct {
	*liveRun

	run         client.Run
	env         []string
	interactive bool
}

func newExecCommand() *execCommand {
	e := &execCommand{}
	e.liveRun = newLiveRun("exec", execUsage, &e.run)
	e.flags.StringVarP(&e.run.Dir, "workdir", "w", "", "where the command begins; default that of the session")
	e.flags.StringArrayVarP(&e.env, "env", "e", nil, "a variable for the command, as NAME=value, or NAME for the value that it has here")
	e.flags.BoolVarP(&e.interactive, "interactive", "i", false, "pass on standard input from a terminal too")
	e.flags.BoolVar(&e.run.Background, "background", false, "what the command leaves behind may outlive it")
	return e
}

func execFlags() *pflag.FlagSet { return newExecCommand().flags }

// exec runs a command.
func (p *program) exec(ctx context.Context, args []string) error {
	e := newExecCommand()
	rest, done, err := e.parse(p, args, 1)
	if err != nil || done {
		return err
	}
	e.run.Command, e.run.Args = &rest[0], rest[1:]
	if e.run.Env, err = e.environment(p); err != nil {
		return err
	}
	if e.detach {
		return p.live(ctx, e.liveRun, e.run, nil)
	}
	stdin, err := p.input(e.interactive)
	if err != nil {
		return err
	}
	return p.live(ctx, e.liveRun, e.run, stdin)
}

// environment is what the flags give the command.
func (e *execCommand) environment(p *program) (map[string]string, error) {
	env := make(map[string]string, len(e.env))
	for _, pair := range e.env {
		name, value, given := strings.Cut(pair, "=")
		if name == "" {
			return nil, e.wrong("--env takes NAME=value or NAME")
		}
		if !given {
			value = p.variable(name)
		}
		env[name] = value
	}
	return env, nil
}
