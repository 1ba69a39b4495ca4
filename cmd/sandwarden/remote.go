package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/transport/client"
)

// The variables that say where the daemon is, and who asks.
const (
	urlVariable   = "SANDWARDEN_URL"
	tokenVariable = "SANDWARDEN_TOKEN"
	localDaemon   = "http://localhost:8775"
)

// A remote is a subcommand that asks a daemon.
type remote struct {
	name       string
	usage      string
	flags      *pflag.FlagSet
	url, token string
	json       bool
}

// newRemote makes a subcommand with the flags that all of them have.
func newRemote(name, usage string) *remote {
	r := &remote{name: name, usage: usage, flags: pflag.NewFlagSet(name, pflag.ContinueOnError)}
	r.flags.SetOutput(io.Discard) // errors are ours to tell
	r.flags.SortFlags = false
	r.flags.StringVar(&r.url, "url", "", "where the daemon is; default "+urlVariable+", else "+localDaemon)
	r.flags.StringVar(&r.token, "token", "", "who asks; default "+tokenVariable+", which other users of this machine cannot see")
	r.flags.BoolVar(&r.json, "json", false, "print what the daemon answers, as JSON")
	return r
}

// parse reads the arguments. What remains are those that are no flags, at least
// so many; help was printed when done is true.
func (r *remote) parse(p *program, args []string, least int) (rest []string, done bool, err error) {
	err = r.flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return nil, true, p.print(r.text())
	case err != nil:
		return nil, false, r.wrong(err.Error())
	case r.flags.NArg() < least:
		return nil, false, r.wrong(r.name + ": something is missing")
	}
	return r.flags.Args(), false, nil
}

// text is the help of the subcommand.
func (r *remote) text() string { return r.usage + "\nFlags:\n" + r.flags.FlagUsages() }

// wrong is the error of a command line that makes no sense.
func (r *remote) wrong(what string) error { return &usageError{what: what, usage: r.text()} }

// connect returns a client of the daemon that the flags or the environment name.
func (p *program) connect(r *remote) (*client.Client, error) {
	o := client.Options{URL: r.url, Token: r.token}
	if o.URL == "" {
		o.URL = p.variable(urlVariable)
	}
	if o.URL == "" {
		o.URL = localDaemon
	}
	if o.Token == "" {
		o.Token = p.variable(tokenVariable)
	}
	return client.New(o)
}

// printJSON prints what the daemon answers to a question.
func (p *program) printJSON(ctx context.Context, c *client.Client, path string, query url.Values) error {
	var answer json.RawMessage
	if err := c.JSON(ctx, http.MethodGet, path, query, nil, &answer); err != nil {
		return toldBy(err)
	}
	return p.print(escaped(string(answer)) + "\n")
}

// escaped is JSON with what a terminal would act upon in its own escapes: it has
// such characters inside of strings alone.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf || printable(r):
			b.WriteRune(r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	return b.String()
}

func printable(r rune) bool { return r == ' ' || unicode.IsPrint(r) && !unicode.In(r, unicode.Cf) }

// toldBy is the error of a daemon, whose words may have come from a sandbox.
func toldBy(err error) error { return errors.New(plain(err.Error())) }

// plain is a text without what moves the cursor of a terminal, changes its
// colours or its title, or turns the direction of writing.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if printable(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// complain tells on standard error of what is worse than it should be.
func (p *program) complain(format string, args ...any) {
	fmt.Fprintln(p.stderr, "sandwarden: "+plain(fmt.Sprintf(format, args...)))
}
