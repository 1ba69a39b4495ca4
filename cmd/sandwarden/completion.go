package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// shells are those that can be taught to complete the command.
func shells() []string { return []string{"bash", "zsh", "fish"} }

// completion prints what makes a shell complete the command, as it is now: the
// text holds the table, and asks no program later.
func (p *program) completion(_ context.Context, args []string) error {
	usage := "Usage: sandwarden completion " + strings.Join(shells(), "|") + "\n"
	switch {
	case slices.Equal(args, []string{"--help"}), slices.Equal(args, []string{"-h"}):
		return p.print(usage)
	case len(args) != 1:
		return &usageError{what: "completion takes the name of one shell", usage: usage}
	}
	switch args[0] {
	case "bash":
		return p.print(bashCompletion())
	case "zsh":
		return p.print(zshCompletion())
	case "fish":
		return p.print(fishCompletion())
	}
	return &usageError{what: fmt.Sprintf("completion does not know the shell %q", args[0]), usage: usage}
}

// eachFlag calls f for the flags of a subcommand.
func (s *subcommand) eachFlag(f func(*pflag.Flag)) {
	if s.flags != nil {
		s.flags().VisitAll(f)
	}
	if s.name != "help" && s.name != "version" {
		f(&pflag.Flag{Name: "help", Usage: "print how it is used", NoOptDefVal: "true"})
	}
}

// takesValue reports whether a flag is followed by its value.
func takesValue(f *pflag.Flag) bool { return f.NoOptDefVal == "" && f.Value.Type() != "bool" }

// bashCompletion is one function. After a flag that takes a value it offers
// nothing, so that bash offers files.
func bashCompletion() string {
	var b, names strings.Builder
	b.WriteString("# bash completion for sandwarden\n_sandwarden() {\n" +
		"  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command='' words='' valued=''\n" +
		"  COMPREPLY=()\n" +
		"  [ \"$COMP_CWORD\" -lt 2 ] || command=${COMP_WORDS[1]}\n" +
		"  case ${COMP_WORDS[0]##*/}:$command in " + strings.Join(oldNames(), ":-*|") + ":-*) command=serve ;; esac\n" +
		"  case $command in\n")
	var serve string
	for _, s := range subcommands() {
		words, valued := slices.Clone(s.words), []string{}
		s.eachFlag(func(f *pflag.Flag) {
			words = append(words, "--"+f.Name)
			if takesValue(f) {
				valued = append(valued, "--"+f.Name)
			}
		})
		fmt.Fprintf(&b, "  %s)\n    words='%s'\n    valued='%s' ;;\n", s.name, strings.Join(words, " "), strings.Join(valued, " "))
		fmt.Fprintf(&names, "%s ", s.name)
		if s.name == "serve" {
			serve = strings.Join(words, " ")
		}
	}
	fmt.Fprintf(&b, "  '')\n    words='%s--help --version'\n", names.String())
	fmt.Fprintf(&b, "    case ${COMP_WORDS[0]##*/} in %s) words=\"$words %s\" ;; esac ;;\n  esac\n", strings.Join(oldNames(), "|"), serve)
	b.WriteString("  case \" $valued \" in *\" $previous \"*) return ;; esac\n" +
		"  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n" +
		"complete -o default -F _sandwarden sandwarden " + strings.Join(oldNames(), " ") + "\n")
	return b.String()
}

// zshCompletion leaves the arguments' forms to _arguments.
func zshCompletion() string {
	quote := strings.NewReplacer("'", `'\''`, ":", `\:`, "[", `\[`, "]", `\]`).Replace
	var b, commands strings.Builder
	b.WriteString("#compdef sandwarden " + strings.Join(oldNames(), " ") + "\n_sandwarden() {\n  local -a commands\n  commands=(\n")
	for _, s := range subcommands() {
		fmt.Fprintf(&b, "    '%s:%s'\n", s.name, quote(s.help))
		fmt.Fprintf(&commands, "  %s)\n    _arguments", s.name)
		s.eachFlag(func(f *pflag.Flag) {
			value := ""
			if takesValue(f) {
				value = ":value:_files"
			}
			fmt.Fprintf(&commands, " \\\n      '--%s[%s]%s'", f.Name, quote(f.Usage), value)
		})
		if len(s.words) > 0 {
			fmt.Fprintf(&commands, " \\\n      '1:word:(%s)'", strings.Join(s.words, " "))
		}
		commands.WriteString(" ;;\n")
	}
	b.WriteString("  )\n  if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then\n    _describe command commands\n    return\n  fi\n" +
		"  local command=$words[2]\n  if [[ $command == -* ]]; then\n    command=serve\n  else\n    shift words\n    ((CURRENT--))\n  fi\n  case $command in\n")
	b.WriteString(commands.String())
	b.WriteString("  esac\n}\n" + // loaded as a function of this name, or read by source
		"if [ \"${funcstack[1]}\" = _sandwarden ]; then _sandwarden; else compdef _sandwarden sandwarden " + strings.Join(oldNames(), " ") + "; fi\n")
	return b.String()
}

// fishCompletion is one line for each thing there is.
func fishCompletion() string {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace
	var b strings.Builder
	b.WriteString("# fish completion for sandwarden\n")
	for _, program := range append([]string{"sandwarden"}, oldNames()...) {
		for _, s := range subcommands() {
			fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -f -a %s -d '%s'\n", program, s.name, quote(s.help))
			within := fmt.Sprintf("complete -c %s -n '__fish_seen_subcommand_from %s'", program, s.name)
			s.eachFlag(func(f *pflag.Flag) {
				value := " -f"
				if takesValue(f) {
					value = " -r"
				}
				fmt.Fprintf(&b, "%s -l %s%s -d '%s'\n", within, f.Name, value, quote(f.Usage))
			})
			if len(s.words) > 0 {
				fmt.Fprintf(&b, "%s -f -a '%s'\n", within, strings.Join(s.words, " "))
			}
		}
	}
	return b.String()
}
