package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/transport/msb/key"
)

const keygenUsage = `Usage:
  sandwarden keygen [--expire 24h] [--namespace NS]

Makes a key for clients of the microsandbox API, and prints it: it is not kept.
It is signed with the secret in the file of the setting msb.key_file, which is
made when it is not there. Removing that file makes all older keys worthless: a
running daemon makes another on SIGHUP.
`

// keygenCommand makes the subcommand keygen.
func keygenCommand() (c *command, expire, namespace *string) {
	c = newCommand("keygen")
	expire = c.flags.String("expire", "24h", "how long the key lives: 1s, 2m, 3h, 4d, 5w, 6mo or 7y")
	namespace = c.flags.String("namespace", "", "the namespace that it is for; all, when there is none")
	return c, expire, namespace
}

// keygen makes a key, in the words of msb server keygen.
func (p *program) keygen(_ context.Context, args []string) error {
	c, expire, namespace := keygenCommand()
	err := c.flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return p.print(keygenUsage)
	case err != nil:
		return &usageError{what: err.Error(), usage: keygenUsage}
	case c.flags.NArg() > 0:
		return &usageError{what: fmt.Sprintf("keygen takes no argument %q", c.flags.Arg(0)), usage: keygenUsage}
	}
	life, err := key.ParseLife(*expire)
	if err != nil {
		return explained(err)
	}
	settings, _, err := p.configuration(c)
	if err != nil {
		return err
	}
	return p.newKey(settings.MSBKeyFile, *namespace, life)
}

func (p *program) newKey(file, namespace string, life time.Duration) error {
	if namespace == "" {
		namespace = key.Everywhere
	}
	if err := key.CheckNamespace(namespace); err != nil { // before a file is made
		return explained(err)
	}
	keeper, err := key.Open(file)
	if err != nil {
		return explained(err)
	}
	text, expires, err := keeper.New(namespace, life, time.Now())
	if err != nil {
		return explained(err)
	}
	return p.print(fmt.Sprintf("Token: %s\nToken expires: %s\nNamespace: %s\n", text, expires.UTC().Format("2006-01-02 15:04:05 UTC"), namespace))
}
