package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/transport/client"
)

const executionsUsage = `Usage:
  sandwarden executions ls SESSION  list what ran and runs in a session, the newest first
  sandwarden executions show ID     tell all of one
`

func executionVerbs() []string { return []string{"ls", "show"} }

// An executionsCommand is the subcommand executions.
type executionsCommand struct {
	*remote

	status string
	limit  int
}

func newExecutionsCommand() *executionsCommand {
	c := &executionsCommand{remote: newRemote("executions", executionsUsage)}
	c.flags.StringVar(&c.status, "status", "", "of ls: those with this status alone")
	c.flags.IntVar(&c.limit, "limit", 100, "of ls: how many at most")
	return c
}

func executionsFlags() *pflag.FlagSet { return newExecutionsCommand().flags }

// executions lists and shows executions.
func (p *program) executions(ctx context.Context, args []string) error {
	e := newExecutionsCommand()
	rest, done, err := e.parse(p, args, 1)
	if err != nil || done {
		return err
	}
	c, err := p.connect(e.remote)
	if err != nil {
		return err
	}
	defer c.Close()
	switch verb := rest[0]; {
	case len(rest) != 2:
	case verb == "ls":
		return p.listExecutions(ctx, c, e, rest[1])
	case verb == "show" && e.json:
		return p.printJSON(ctx, c, client.ExecutionPath(rest[1]), nil)
	case verb == "show":
		return p.printFacts(ctx, c, client.ExecutionPath(rest[1]))
	}
	return e.wrong("executions: wrong arguments")
}

func (p *program) listExecutions(ctx context.Context, c *client.Client, e *executionsCommand, session string) error {
	query := url.Values{"limit": {strconv.Itoa(e.limit)}}
	if e.status != "" {
		query.Set("status", e.status)
	}
	path := client.SessionPath(session) + "/executions"
	if e.json {
		return p.printJSON(ctx, c, path, query)
	}
	var list struct {
		Executions []client.Execution `json:"executions"`
	}
	if err := c.JSON(ctx, http.MethodGet, path, query, nil, &list); err != nil {
		return toldBy(err)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "EXECUTION\tSTATUS\tEXIT\tBEGAN\tTOOK\tOUTPUT\tWHAT")
	for i := range list.Executions {
		x := &list.Executions[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", plain(x.ID), plain(x.Status), exitOf(x), shortTime(x.Queued), tookOf(x), x.Output.Total, whatOf(x)) //nolint:errcheck // Flush tells
	}
	return table.Flush()
}

// exitOf is how an execution ended, as a column.
func exitOf(x *client.Execution) string {
	switch {
	case x.Cause != "":
		return plain(x.Cause)
	case x.ExitCode != nil:
		return strconv.Itoa(*x.ExitCode)
	}
	return "-"
}

// tookOf is how long an execution ran, or has run.
func tookOf(x *client.Execution) string {
	switch {
	case x.Started == nil:
		return "-"
	case x.Ended != nil:
		return x.Ended.Sub(*x.Started).Round(time.Millisecond).String()
	}
	return time.Since(*x.Started).Round(time.Second).String()
}

// whatOf is the beginning of what an execution runs, on one line.
func whatOf(x *client.Execution) string {
	const most = 60
	what := x.Code
	if len(x.Command) > 0 {
		what = strings.Join(x.Command, " ")
	}
	runes := []rune(plain(strings.Join(strings.Fields(what), " ")))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}
