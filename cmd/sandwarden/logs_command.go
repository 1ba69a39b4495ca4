package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/transport/client"
)

const logsUsage = `Usage:
  sandwarden logs [-f] EXECUTION|SESSION

Prints the output of an execution, or of all that are kept of a session, the
oldest first. With -f it goes on until the execution or the session ends.
`

// A logsCommand is the subcommand logs.
type logsCommand struct {
	*remote

	follow bool
}

func newLogsCommand() *logsCommand {
	l := &logsCommand{remote: newRemote("logs", logsUsage)}
	l.flags.BoolVarP(&l.follow, "follow", "f", false, "wait for more")
	return l
}

func logsFlags() *pflag.FlagSet { return newLogsCommand().flags }

// logs prints output.
func (p *program) logsOf(ctx context.Context, args []string) error {
	l := newLogsCommand()
	rest, done, err := l.parse(p, args, 1)
	if err != nil || done {
		return err
	}
	if len(rest) > 1 {
		return l.wrong("logs takes one execution or session")
	}
	c, err := p.connect(l.remote)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := p.logsFrom(ctx, c, l, rest[0]); err != nil && ctx.Err() == nil {
		return toldBy(err)
	}
	return nil
}

// logsFrom prints the output of what has a name.
func (p *program) logsFrom(ctx context.Context, c *client.Client, l *logsCommand, name string) error {
	x, err := c.Execution(ctx, name)
	switch {
	case client.IsNotFound(err):
		return p.logsOfSession(ctx, c, l, name)
	case err != nil:
		return err
	case l.json:
		return p.printJSON(ctx, c, client.ExecutionPath(x.ID)+"/result", nil)
	case l.follow:
		x, err = c.Follow(ctx, x.ID, &output{p: p})
	default:
		err = c.Dump(ctx, x.ID, &output{p: p})
	}
	if err == nil {
		p.complainDropped(&x)
	}
	return err
}

// logsOfSession prints the output of a session.
func (p *program) logsOfSession(ctx context.Context, c *client.Client, l *logsCommand, name string) error {
	const all = 1000
	list, err := c.Executions(ctx, name, all)
	switch {
	case client.IsNotFound(err):
		return errors.New("there is no execution and no session " + name)
	case err != nil:
		return err
	case l.follow:
		return c.Events(ctx, name, p.logEvent)
	}
	for _, x := range slices.Backward(list) {
		if l.json {
			err = p.printJSON(ctx, c, client.ExecutionPath(x.ID)+"/result", nil)
		} else {
			err = c.Dump(ctx, x.ID, &output{p: p})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// logEvent prints the output in an event.
func (p *program) logEvent(e *client.Event) error {
	switch {
	case e.Type == "gap":
		p.complain("%d events are not kept any more", e.To-e.From+1)
	case e.Type == "output" && e.Stream != "display":
		return (&output{p: p}).Output(e.Stream, e.Data())
	}
	return nil
}
