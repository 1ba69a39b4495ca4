package bench

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

// newFlags returns a set that is parsed by [parse], which tells what is wrong.
func newFlags(name string) *pflag.FlagSet {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// parse parses the flags of a command. Where they ask for help it writes how the
// command is used, after which there is nothing left to do.
func parse(flags *pflag.FlagSet, args []string, usage string, stdout io.Writer) (helped bool, err error) {
	err = flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		_, err = io.WriteString(stdout, usage+flags.FlagUsages())
		return true, err
	}
	if err != nil {
		err = fmt.Errorf("%w (sandwarden %s --help shows the flags)", err, flags.Name())
	}
	return false, err
}
