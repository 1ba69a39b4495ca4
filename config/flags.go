package config

import "github.com/spf13/pflag"

// configFlag names the file to read.
const configFlag = "config"

// AddFlags adds the flags of the table, and --config, to a set. They take any
// text: what is wrong with it [Load] says, in the words of all other sources.
func AddFlags(flags *pflag.FlagSet) {
	flags.VarPF(&text{kind: "file"}, configFlag, "", "configuration file, in YAML")
	for _, s := range settings(directories{}) {
		if s.flag == "" {
			continue
		}
		kind := "value"
		if s.switches {
			kind = "bool" // shown without a value
		}
		f := flags.VarPF(&text{kind: kind}, s.flag, "", s.help)
		if s.switches {
			f.NoOptDefVal = "true"
		}
	}
}

// text is a flag's value as it was written.
type text struct{ value, kind string }

// String returns what was written.
func (t *text) String() string { return t.value }

// Set takes what is written.
func (t *text) Set(value string) error {
	t.value = value
	return nil
}

// Type is the word for the value in the help.
func (t *text) Type() string { return t.kind }
