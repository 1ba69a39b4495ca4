package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/token"
)

//nolint:gosec // there is no token in it
const tokenUsage = `Usage:
  sandwarden token new NAME       make a token for a principal, and print it: it is shown once
  sandwarden token list           list the tokens, by what finds them
  sandwarden token revoke WHICH   take away the token of an id, or all of a principal's

The file is that of the setting tokens_file (--tokens-file, SANDWARDEN_TOKENS_FILE).
new makes it when it is not there. A running daemon reads it again on SIGHUP.
`

func tokenVerbs() []string { return []string{"new", "list", "revoke"} }

// token works on the file of tokens.
func (p *program) token(_ context.Context, args []string) error {
	c := newCommand("token")
	err := c.flags.Parse(args)
	rest := c.flags.Args()
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return p.print(tokenUsage)
	case err != nil:
		return &usageError{what: err.Error(), usage: tokenUsage}
	case len(rest) == 0:
		return &usageError{what: "token needs one of: " + list(tokenVerbs()), usage: tokenUsage}
	}
	file, err := p.tokensFile(c)
	if err != nil {
		return err
	}
	switch verb, rest := rest[0], rest[1:]; {
	case verb == "new" && len(rest) == 1:
		return p.newToken(file, sandbox.Principal(rest[0]))
	case verb == "list" && len(rest) == 0:
		return p.listTokens(file)
	case verb == "revoke" && len(rest) == 1:
		return p.revokeToken(file, rest[0])
	}
	return &usageError{what: "token: wrong arguments", usage: tokenUsage}
}

// tokensFile is where the tokens are.
func (p *program) tokensFile(c *command) (string, error) {
	settings, _, err := p.configuration(c)
	if err != nil {
		return "", err
	}
	if settings.TokensFile == "" {
		return "", &usageError{what: "no file of tokens is set", usage: tokenUsage}
	}
	return settings.TokensFile, nil
}

func (p *program) newToken(file string, name sandbox.Principal) error {
	text, err := token.Add(file, name, time.Now())
	if err != nil {
		return explained(err)
	}
	fmt.Fprintf(p.stderr, "The token of %s, which is shown only now; its hash is in %s:\n", name, file) //nolint:errcheck // the token is on standard output
	return p.print(text + "\n")
}

func (p *program) listTokens(file string) error {
	all, err := token.Read(file)
	if err != nil {
		return explained(err)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PRINCIPAL\tID\tMADE")
	for _, e := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\n", e.Principal, e.ID, e.Made.Format(time.DateOnly)) //nolint:errcheck // Flush tells
	}
	return table.Flush()
}

func (p *program) revokeToken(file, which string) error {
	n, err := token.Revoke(file, which)
	if err != nil {
		return explained(err)
	}
	return p.print(fmt.Sprintf("revoked %d; a running daemon knows it after SIGHUP\n", n))
}

// explained is an error whose text is for the person at the command.
func explained(err error) error { return errors.New(explain(err)) }
