package bench

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// An outputs names the files that a report is written to, beside the table. Those
// without a name are not written.
type outputs struct {
	json, html, svg string
}

func (o *outputs) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.json, "json", "", "a file to write the report to, as JSON")
	o.pictureFlags(flags)
}

func (o *outputs) pictureFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.html, "html", "", "a file to write the report to, as a page with charts")
	flags.StringVar(&o.svg, "svg", "", "a folder to write the charts to, each as an SVG file")
}

// write writes all of them, also when one could not be written.
func (o *outputs) write(r *Report) error {
	var err error
	if o.json != "" {
		err = errors.Join(err, writeFile(o.json, r.JSON))
	}
	if o.html != "" {
		err = errors.Join(err, writeFile(o.html, r.HTML))
	}
	if o.svg != "" {
		_, failed := r.SVG(o.svg)
		err = errors.Join(err, failed)
	}
	return err
}

// recorded returns the flags and their values, as a report tells them: not
// where it is itself written to, what it tells elsewhere, what is shown
// meanwhile, or a secret.
func recorded(flags *pflag.FlagSet) map[string]string {
	options := map[string]string{}
	flags.VisitAll(func(f *pflag.Flag) {
		unsaid := slices.Contains([]string{"json", "html", "svg", "url", "help", "progress", "quiet"}, f.Name)
		if !unsaid && !strings.Contains(f.Name, "token") {
			options[f.Name] = f.Value.String()
		}
	})
	return options
}
