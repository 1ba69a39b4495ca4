package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// SVG writes each chart of the report to a file of its own in a folder, which
// is made if need be, and returns their names. They stay readable on a light
// and on a dark page. Files of the same names are replaced.
func (r *Report) SVG(folder string) ([]string, error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	var names []string
	for _, c := range r.clean().charts() {
		name := filepath.Join(folder, c.Slug+".svg") // a slug leads nowhere else
		err := writeFile(name, func(w io.Writer) error { return parsed().ExecuteTemplate(w, "file", c) })
		if err != nil {
			return names, fmt.Errorf("the chart %s: %w", c.Title, err)
		}
		names = append(names, name)
	}
	return names, nil
}

// writeFile makes a file anew, if there is something to write.
func writeFile(name string, write func(io.Writer) error) (err error) {
	var all bytes.Buffer
	if err := write(&all); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = all.WriteTo(f)
	return err
}
