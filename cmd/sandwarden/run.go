package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/transport/client"
)

const runUsage = `Usage:
  sandwarden run [flags] FILE|-

Runs code in the interpreter of a session, with its output as it comes, and
exits with its status. Variables stay in the session. Ctrl-C interrupts the
code; when that does not end it, a second one leaves it to itself. Without a
session or a template, the ending .js of a file means node, and .sh means bash.
`

// maxSource bounds the code that is read.
const maxSource = 16 << 20

// A runCommand is the subcommand run.
type runCommand struct {
	*liveRun

	run client.Run
}

func newRunCommand() *runCommand {
	r := &runCommand{}
	r.liveRun = newLiveRun("run", runUsage, &r.run)
	r.flags.SetInterspersed(true)
	return r
}

func runFlags() *pflag.FlagSet { return newRunCommand().flags }

// runCode runs code.
func (p *program) runCode(ctx context.Context, args []string) error {
	r := newRunCommand()
	rest, done, err := r.parse(p, args, 1)
	if err != nil || done {
		return err
	}
	if len(rest) > 1 {
		return r.wrong("run takes one file")
	}
	code, err := p.source(rest[0])
	if err != nil {
		return err
	}
	r.run.Code = &code
	if r.session == "" && r.run.Template == "" {
		r.run.Template = templateOf(rest[0])
	}
	return p.live(ctx, r.liveRun, r.run, nil)
}

// templateOf is the template for a file by its ending; "" is the default one.
func templateOf(name string) string {
	switch filepath.Ext(name) {
	case ".js", ".mjs", ".cjs":
		return "node"
	case ".sh", ".bash":
		return "bash"
	}
	return ""
}

// source reads code from a file, or from standard input.
func (p *program) source(name string) (string, error) {
	var in io.Reader = os.Stdin
	switch {
	case name != "-":
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	case p.stdin != nil:
		in = p.stdin
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSource+1))
	if err == nil && len(data) > maxSource {
		err = errors.New("it is too large to be code")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(data), nil
}
