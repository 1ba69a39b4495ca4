package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// volumes is the rule of the folders that sandboxes see. In the environment
// they are a JSON array, a list with commas or a single one; in the file they
// may be a list, too.
func volumes() rule {
	return rule{says: "host:container, with :ro or :rw behind it if need be; several with commas, as a JSON array, or as a list in the file", items: true, parse: parseVolumes}
}

func parseVolumes(v given) (any, error) {
	all := []sandbox.Volume{}
	items, err := mappings(v)
	if err != nil {
		return all, err
	}
	for i, item := range items {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		volume, err := mapping(item)
		if err == nil && slices.ContainsFunc(all, func(v sandbox.Volume) bool { return v.Path == volume.Path }) {
			err = wrongMapping(item, "Another volume has this container path")
		}
		if err != nil {
			return []sandbox.Volume{}, fmt.Errorf("Invalid volume mapping at position %d in %s: %w\nGot: %s\n"+ //nolint:staticcheck // a text of the original
				"Expected format: 'host_path:container_path' (e.g., './data:/workspace')", i, v.name, err, quote(item))
		}
		all = append(all, volume)
	}
	return all, nil
}

// mapping reads one volume. Its host path stays as it was written.
func mapping(item string) (sandbox.Volume, error) {
	parts := strings.Split(item, ":")
	var access sandbox.Access
	if last := len(parts) - 1; last >= 2 {
		switch a := sandbox.Access(strings.TrimSpace(parts[last])); a {
		case sandbox.ReadOnly, sandbox.ReadWrite:
			access, parts = a, parts[:last]
		case sandbox.AccessAny:
		}
	}
	if len(parts) == 1 {
		return sandbox.Volume{}, wrongMapping(item, "Expected 'host_path:container_path'")
	}
	on, in := strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1])
	switch {
	case on == "" || in == "" && len(parts) == 2:
		return sandbox.Volume{}, wrongMapping(item, "Both paths must be non-empty")
	case len(parts) > 2:
		return sandbox.Volume{}, wrongMapping(item, "There is one colon between the paths, and no other but before ro or rw at the end")
	case strings.ContainsRune(item, 0):
		return sandbox.Volume{}, wrongMapping(item, "A path cannot contain this character")
	case !path.IsAbs(in):
		return sandbox.Volume{}, wrongMapping(item, "The container path must begin with /")
	case path.Clean(in) == "/":
		return sandbox.Volume{}, wrongMapping(item, "The container path cannot be / itself")
	}
	return sandbox.Volume{HostPath: on, Path: path.Clean(in), Access: access}, nil
}

func wrongMapping(item, why string) error {
	return fmt.Errorf("Invalid volume mapping format: %s. %s", plain(item), why) //nolint:staticcheck // a text of the original
}

// mappings takes a value apart into the texts of volumes.
func mappings(v given) ([]string, error) {
	if v.items != nil {
		return texts(v.name, v.items)
	}
	text := unquoted(strings.TrimSpace(v.text))
	switch {
	case strings.HasPrefix(text, "{"):
		return nil, fmt.Errorf("%s must be an array of strings, not a JSON object. Got: %s\nExample: ['./data:/workspace', './shared:/sandbox/shared']", v.name, repr(text))
	case strings.HasPrefix(text, "["):
		return array(v.name, text)
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = unquoted(strings.TrimSpace(items[i]))
	}
	return items, nil
}

// unquoted takes off the pair of quotes around a value that files of variables
// leave there when a program reads them which knows no quotes. Two items that
// have quotes of their own are left alone.
func unquoted(text string) string {
	if len(text) < 2 || text[0] != text[len(text)-1] || text[0] != '"' && text[0] != '\'' {
		return text
	}
	inner := strings.TrimSpace(text[1 : len(text)-1])
	if strings.HasPrefix(inner, "[") || strings.HasPrefix(inner, "{") || !strings.ContainsRune(inner, rune(text[0])) {
		return inner
	}
	return text
}

// array reads a JSON array of strings. The texts of its faults are those of the
// original, with what Python said.
func array(name, text string) ([]string, error) {
	switch {
	case !strings.HasSuffix(text, "]"):
		return nil, fmt.Errorf("%s appears to be JSON array but is malformed: missing closing bracket. Got: %s", name, repr(text))
	case strings.Count(text, "[") != strings.Count(text, "]"):
		return nil, fmt.Errorf("%s has mismatched brackets. Got: %s", name, repr(text))
	}
	items, err := parseJSONArray(text)
	if bad, ok := errors.AsType[*jsonError](err); ok {
		return nil, fmt.Errorf("Invalid JSON format in %s: %w\nHelpful suggestions:\n%s", name, bad, strings.Join(suggestions(text, bad), "\n")) //nolint:staticcheck // a text of the original
	}
	return texts(name, items)
}

// suggestions are what the original had to say about text that is not JSON.
func suggestions(text string, err *jsonError) []string {
	var all []string
	if err.what == expectingValue && !strings.Contains(text, `"`) {
		all = append(all, "- Strings in JSON arrays must be quoted with double quotes",
			`  Example: ['/path/to/host:/path/in/container'] should be ["/path/to/host:/path/in/container"]`)
	}
	if err.what == expectingComma {
		all = append(all, "- Check that the JSON array is properly closed with ']'",
			"- Multiple items in JSON arrays must be separated by commas")
	}
	if strings.Count(text, `"`)%2 != 0 {
		all = append(all, "- Check that all quotes are properly paired")
	}
	if all == nil {
		all = []string{
			`- Ensure the value is valid JSON array format: ["item1", "item2"]`,
			"- Or use comma-separated format: item1,item2", "- Or use single value format: item1",
		}
	}
	return all
}

// texts are the items of a list that must all be strings.
func texts(name string, items []any) ([]string, error) {
	var all []string
	for i, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("%s item %d must be a string, got %s. All volume mappings must be strings like 'host_path:container_path'", name, i, typeOf(item))
		}
		all = append(all, text)
	}
	return all, nil
}

// typeOf is Python's name for the type of a value of JSON or YAML.
func typeOf(value any) string {
	switch value.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case float64:
		return "float"
	case string:
		return "str"
	case []any:
		return "list"
	case map[string]any, map[any]any:
		return "dict"
	case time.Time:
		return "datetime"
	}
	return "int"
}
