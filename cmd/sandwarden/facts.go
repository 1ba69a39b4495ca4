package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sandwarden/sandwarden/transport/client"
)

// printFacts prints the members of what stands at a path, one a line.
func (p *program) printFacts(ctx context.Context, c *client.Client, path string) error {
	var facts map[string]any
	if err := c.JSON(ctx, http.MethodGet, path, nil, nil, &facts); err != nil {
		return toldBy(err)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		fmt.Fprintf(table, "%s\t%s\n", plain(name), plain(fact(facts[name]))) //nolint:errcheck // Flush tells
	}
	return table.Flush()
}

// fact is a value of JSON on one line.
func fact(v any) string {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(strings.TrimSuffix(v, "\n"), "\n", " ")
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, name+"="+fact(v[name]))
		}
		return strings.Join(parts, " ")
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}
