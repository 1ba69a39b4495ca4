package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/transport/client"
)

const sessionsUsage = `Usage:
  sandwarden sessions ls            list sessions, the oldest first
  sandwarden sessions show NAME     tell all of one
  sandwarden sessions stop NAME...  end sessions with all that is in them
`

func sessionVerbs() []string { return []string{"ls", "show", "stop"} }

// A sessionsCommand is the subcommand sessions.
type sessionsCommand struct {
	*remote

	labels           []string
	template, status string
}

func newSessionsCommand() *sessionsCommand {
	c := &sessionsCommand{remote: newRemote("sessions", sessionsUsage)}
	c.flags.StringArrayVar(&c.labels, "label", nil, "of ls: those with this label alone, as name=value")
	c.flags.StringVar(&c.template, "template", "", "of ls: those of this template alone")
	c.flags.StringVar(&c.status, "status", "", "of ls: those with this status alone")
	return c
}

func sessionsFlags() *pflag.FlagSet { return newSessionsCommand().flags }

// sessions lists, shows and ends sessions.
func (p *program) sessions(ctx context.Context, args []string) error {
	s := newSessionsCommand()
	rest, done, err := s.parse(p, args, 1)
	if err != nil || done {
		return err
	}
	c, err := p.connect(s.remote)
	if err != nil {
		return err
	}
	defer c.Close()
	switch verb, names := rest[0], rest[1:]; {
	case verb == "ls" && len(names) == 0:
		return p.listSessions(ctx, c, s)
	case verb == "show" && len(names) == 1:
		return p.showSession(ctx, c, s, names[0])
	case verb == "stop" && len(names) > 0:
		return p.stopSessions(ctx, c, names)
	}
	return s.wrong("sessions: wrong arguments")
}

// A remoteSession is what the list needs of a session.
type remoteSession struct {
	Name     string    `json:"session_id"`
	Template string    `json:"template"`
	Flavor   string    `json:"flavor"`
	Status   string    `json:"status"`
	Created  time.Time `json:"created_at"`
	LastUsed time.Time `json:"last_accessed"`
	Running  int       `json:"running"`
}

func (p *program) listSessions(ctx context.Context, c *client.Client, s *sessionsCommand) error {
	query := url.Values{"label": s.labels}
	for name, value := range map[string]string{"template": s.template, "status": s.status} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if s.json {
		return p.printJSON(ctx, c, "/v1/sessions", query)
	}
	var list struct {
		Sessions []remoteSession `json:"sessions"`
	}
	if err := c.JSON(ctx, http.MethodGet, "/v1/sessions", query, nil, &list); err != nil {
		return toldBy(err)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SESSION\tTEMPLATE\tFLAVOR\tSTATUS\tRUNNING\tCREATED\tLAST USED")
	for _, s := range list.Sessions {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", plain(s.Name), plain(s.Template), plain(s.Flavor), plain(s.Status), //nolint:errcheck // Flush tells
			s.Running, shortTime(s.Created), shortTime(s.LastUsed))
	}
	return table.Flush()
}

// shortTime is a time as people read it.
func shortTime(t time.Time) string { return t.Local().Format(time.DateTime) }

func (p *program) showSession(ctx context.Context, c *client.Client, s *sessionsCommand, name string) error {
	if s.json {
		return p.printJSON(ctx, c, client.SessionPath(name), nil)
	}
	return p.printFacts(ctx, c, client.SessionPath(name))
}

func (p *program) stopSessions(ctx context.Context, c *client.Client, names []string) error {
	for _, name := range names {
		if err := c.JSON(ctx, http.MethodDelete, client.SessionPath(name), nil, nil, nil); err != nil {
			return toldBy(err)
		}
	}
	return nil
}
