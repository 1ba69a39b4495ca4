package bench

import (
	"errors"
	"io"

	"github.com/spf13/pflag"
)

const exportUsage = `Usage: sandwarden bench export results.json [flags]

Writes a report that --json wrote in other forms: name a file or folder for each.

`

// An exporting holds the flags of export.
type exporting struct {
	computeSDK string
	out        outputs // but for JSON, which it reads
}

func exportFlags(e *exporting) *pflag.FlagSet {
	flags := newFlags("bench export")
	flags.StringVar(&e.computeSDK, "computesdk", "", "export: a file to write in the form of the ComputeSDK benchmark; - is standard output")
	e.out.pictureFlags(flags)
	return flags
}

// exportMain is the command.
func exportMain(args []string, stdout io.Writer) error {
	var e exporting
	flags := exportFlags(&e)
	switch helped, err := parse(flags, args, exportUsage, stdout); {
	case helped || err != nil:
		return err
	case flags.NArg() != 1:
		return errors.New("export takes one report: sandwarden bench export results.json --html FILE")
	case e.computeSDK == "" && e.out == outputs{}:
		return errors.New("export writes nothing: name a file with --computesdk or --html, or a folder with --svg")
	}
	r, err := readReportFile(flags.Arg(0))
	if err != nil {
		return err
	}
	switch e.computeSDK {
	case "":
	case "-":
		err = r.ComputeSDK(stdout)
	default:
		err = writeFile(e.computeSDK, r.ComputeSDK)
	}
	return errors.Join(err, e.out.write(r))
}
