package bench

import (
	"fmt"
	"io"
	"os"
)

// Words returns what the command can begin with: the workloads, and what can
// be done with reports afterwards.
func Words() []string { return append(Workloads(), "compare", "export") }

// afterwards returns what works on reports that have been written, or nil for
// any other word.
func afterwards(word string) func(args []string, stdout io.Writer) error {
	switch word {
	case "compare":
		return compareMain
	case "export":
		return exportMain
	}
	return nil
}

func readReportFile(name string) (*Report, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := ReadReport(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}
