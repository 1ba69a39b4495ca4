package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/bench"
)

// A subcommand is one row of the table that dispatching, help and completion
// follow.
type subcommand struct {
	name, help string
	also       []string              // other spellings
	words      []string              // that it takes, for completion
	flags      func() *pflag.FlagSet // nil is none
	run        func(*program, context.Context, []string) error
}

// subcommands is the table, in the order of the help.
func subcommands() []subcommand {
	return []subcommand{
		{
			name: "serve", help: "start the daemon", run: (*program).serve,
			flags: func() *pflag.FlagSet { c, _ := serveCommand(); return c.flags },
		},
		{
			name: "config", help: "print the effective configuration; --check only checks it", run: (*program).config,
			flags: func() *pflag.FlagSet { c, _ := configCommand(); return c.flags },
		},
		{
			name: "doctor", help: "say what this host can enforce, and how to get what is missing", run: (*program).doctor,
			flags: func() *pflag.FlagSet { return newCommand("doctor").flags },
		},
		{name: "exec", help: "run a command in a session, with live output", flags: execFlags, run: (*program).exec},
		{name: "run", help: "run code in a session, with live output", flags: runFlags, run: (*program).runCode},
		{name: "logs", help: "print the output of an execution or a session", flags: logsFlags, run: (*program).logsOf},
		{name: "cp", help: "copy files and directories in and out of sessions", flags: cpFlags, run: (*program).cp},
		{name: "sessions", help: "list, show or end sessions", words: sessionVerbs(), flags: sessionsFlags, run: (*program).sessions},
		{
			name: "executions", help: "list what runs in a session, or show one execution", words: executionVerbs(),
			flags: executionsFlags, run: (*program).executions,
		},
		{
			name: "bench", help: "measure a daemon, or one of its own: " + list(bench.Workloads()) + "; compare or export reports", words: bench.Words(), flags: bench.Flags,
			run: func(p *program, ctx context.Context, args []string) error {
				return bench.Main(ctx, args, p.environ, p.stdout, p.stderr)
			},
		},
		{
			name: "purge", help: "end the sandboxes that a daemon left behind", run: (*program).purge,
			flags: func() *pflag.FlagSet { return newCommand("purge").flags },
		},
		{
			name: "token", help: "make, list or revoke the tokens of clients", words: tokenVerbs(), run: (*program).token,
			flags: func() *pflag.FlagSet { return newCommand("token").flags },
		},
		{
			name: "keygen", help: "make a key for clients of the microsandbox API", run: (*program).keygen,
			flags: func() *pflag.FlagSet { c, _, _ := keygenCommand(); return c.flags },
		},
		{name: "completion", help: "print what makes a shell complete this command: " + list(shells()), words: shells(), run: (*program).completion},
		{
			name: "version", also: []string{"--version"}, help: "print the version",
			run: func(p *program, _ context.Context, _ []string) error { return p.print(versionLine() + "\n") },
		},
		{
			name: "help", also: []string{"--help", "-h"}, help: "print this",
			run: func(p *program, _ context.Context, _ []string) error { return p.print(help()) },
		},
	}
}

// list joins names as a sentence does.
func list(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// help is what the command is for, in one page.
func help() string {
	var b strings.Builder
	b.WriteString("sandwarden serves sandboxes over MCP.\n\nUsage: sandwarden <command> [flags]\n\n")
	for _, s := range subcommands() {
		fmt.Fprintf(&b, "  %-10s  %s\n", s.name, s.help)
	}
	b.WriteString(`
sandwarden <command> --help lists the flags. sandwarden config --help lists
every setting, with its name in the file and in the environment. exec, run,
logs, cp, sessions and executions ask the daemon at SANDWARDEN_URL, or
http://localhost:8775, with the token in SANDWARDEN_TOKEN.
`)
	return b.String()
}

// find returns the subcommand of that name.
func find(name string) (subcommand, bool) {
	all := subcommands()
	i := slices.IndexFunc(all, func(s subcommand) bool { return s.name == name || slices.Contains(s.also, name) })
	if i < 0 {
		return subcommand{}, false
	}
	return all[i], true
}

// oldNames are those under which users of the original start the daemon, and
// the second is how they find it among the processes.
func oldNames() []string { return []string{"mcp-server", "mcp_server"} }

// underOwnName returns arguments as if the program had been started as
// sandwarden: one of the old names without a subcommand means serve, whose help
// it also gives.
func underOwnName(args []string) []string {
	if len(args) == 0 {
		return []string{"sandwarden"}
	}
	rest := slices.Clone(args[1:])
	if slices.Contains(oldNames(), filepath.Base(args[0])) {
		known := false
		if len(rest) > 0 {
			_, known = find(rest[0])
		}
		if !known || rest[0] == "--help" || rest[0] == "-h" {
			rest = append([]string{"serve"}, rest...)
		}
	}
	return append([]string{"sandwarden"}, rest...)
}

// dispatch runs the command that the arguments name.
func (p *program) dispatch(ctx context.Context, args []string) error {
	args = underOwnName(args)
	if len(args) < 2 {
		return p.print(help())
	}
	s, ok := find(args[1])
	if !ok {
		return &usageError{what: fmt.Sprintf("there is no command %q", args[1]), usage: "Run sandwarden help for the commands.\n"}
	}
	return s.run(p, ctx, args[2:])
}
