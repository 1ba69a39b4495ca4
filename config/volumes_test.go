package config_test

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
)

func TestLoad_Volumes(t *testing.T) {
	one := []sandbox.Volume{{HostPath: "./data", Path: "/workspace"}}
	two := []sandbox.Volume{{HostPath: "./data", Path: "/workspace"}, {HostPath: "/srv/models", Path: "/models", Access: sandbox.ReadOnly}}
	for name, test := range map[string]struct {
		file, env string
		want      []sandbox.Volume
	}{
		"one":                         {env: "./data:/workspace", want: one},
		"spaces around":               {env: "  ./data : /workspace ", want: one},
		"read only":                   {env: "a:/b:ro", want: []sandbox.Volume{{HostPath: "a", Path: "/b", Access: sandbox.ReadOnly}}},
		"writable":                    {env: "a:/b:rw", want: []sandbox.Volume{{HostPath: "a", Path: "/b", Access: sandbox.ReadWrite}}},
		"host path as written":        {env: "~/../x/./y//:/b/../c/", want: []sandbox.Volume{{HostPath: "~/../x/./y//", Path: "/c"}}},
		"commas":                      {env: "./data:/workspace, /srv/models:/models:ro", want: two},
		"empty between commas":        {env: ",./data:/workspace,,", want: one},
		"JSON":                        {env: `["./data:/workspace", "/srv/models:/models:ro"]`, want: two},
		"JSON with room":              {env: "\n[ \"./data:/workspace\" ]\t", want: one},
		"JSON with escapes":           {env: `["\u002e\/d\u00e4t\u00e4:/\ud83d\ude00"]`, want: []sandbox.Volume{{HostPath: "./dätä", Path: "/😀"}}},
		"JSON with a comma in a path": {env: `["a,b:/c"]`, want: []sandbox.Volume{{HostPath: "a,b", Path: "/c"}}},
		"JSON of nothing":             {env: `[]`, want: []sandbox.Volume{}},
		"JSON of empty items":         {env: `["", " "]`, want: []sandbox.Volume{}},
		"quoted JSON":                 {env: `'["./data:/workspace"]'`, want: one},
		"JSON in double quotes":       {env: `"["./data:/workspace"]"`, want: one},
		"quoted":                      {env: `"./data:/workspace"`, want: one},
		"quoted list":                 {env: `'./data:/workspace,/srv/models:/models:ro'`, want: two},
		"list of quoted":              {env: `"./data:/workspace","/srv/models:/models:ro"`, want: two},
		"quotes around nothing":       {env: `""`, want: []sandbox.Volume{}},
		"only spaces":                 {env: "  ", want: []sandbox.Volume{}},
		"list in the file":            {file: "volumes:\n- ./data:/workspace\n- /srv/models:/models:ro\n", want: two},
		"comma in the file's list":    {file: "volumes: ['a,b:/c']", want: []sandbox.Volume{{HostPath: "a,b", Path: "/c"}}},
		"text in the file":            {file: "volumes: ./data:/workspace,/srv/models:/models:ro", want: two},
		"JSON in the file":            {file: `volumes: '["./data:/workspace"]'`, want: one},
		"empty list in the file":      {file: "volumes: []", want: []sandbox.Volume{}},
		"environment over file":       {file: "volumes: [a:/b]", env: "./data:/workspace", want: one},
		"switched off":                {file: "volume_mapping: false", env: "./data:/workspace", want: []sandbox.Volume{}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := load(t, test.file, []string{"MSB_SHARED_VOLUME_PATH=" + test.env})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, c.Volumes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The texts are those of the original where it had one, to the letter.
func TestLoad_VolumeFaults(t *testing.T) {
	const (
		expected = "\nExpected format: 'host_path:container_path' (e.g., './data:/workspace')"
		double   = "- Strings in JSON arrays must be quoted with double quotes\n  Example: ['/path/to/host:/path/in/container'] should be [\"/path/to/host:/path/in/container\"]"
		commas   = "- Check that the JSON array is properly closed with ']'\n- Multiple items in JSON arrays must be separated by commas"
		paired   = "- Check that all quotes are properly paired"
		forms    = "- Ensure the value is valid JSON array format: [\"item1\", \"item2\"]\n- Or use comma-separated format: item1,item2\n- Or use single value format: item1"
	)
	badJSON := func(what string, hints ...string) string {
		return "Invalid JSON format in MSB_SHARED_VOLUME_PATH: " + what + "\nHelpful suggestions:\n" + strings.Join(hints, "\n")
	}
	badMapping := func(at, item, why string) string {
		return "Invalid volume mapping at position " + at + " in MSB_SHARED_VOLUME_PATH: Invalid volume mapping format: " + item + ". " + why + "\nGot: '" + item + "'" + expected
	}
	const colons = "There is one colon between the paths, and no other but before ro or rw at the end"
	for name, test := range map[string]struct{ file, env, want string }{
		"object":              {env: `{"a":"b"}`, want: `MSB_SHARED_VOLUME_PATH must be an array of strings, not a JSON object. Got: '{"a":"b"}'` + "\nExample: ['./data:/workspace', './shared:/sandbox/shared']"},
		"not closed":          {env: `["/a"`, want: `MSB_SHARED_VOLUME_PATH appears to be JSON array but is malformed: missing closing bracket. Got: '["/a"'`},
		"single quotes":       {env: `['/a'`, want: `MSB_SHARED_VOLUME_PATH appears to be JSON array but is malformed: missing closing bracket. Got: "['/a'"`},
		"brackets":            {env: `[["/a:/b"]`, want: `MSB_SHARED_VOLUME_PATH has mismatched brackets. Got: '[["/a:/b"]'`},
		"no double quote":     {env: `[/a:/b]`, want: badJSON("Expecting value: line 1 column 2 (char 1)", double)},
		"single in brackets":  {env: `['/a:/b']`, want: badJSON("Expecting value: line 1 column 2 (char 1)", double)},
		"no comma":            {env: `["/a:/b" "/c:/d"]`, want: badJSON("Expecting ',' delimiter: line 1 column 10 (char 9)", commas)},
		"odd quotes":          {env: `["/a:/b]`, want: badJSON("Unterminated string starting at: line 1 column 2 (char 1)", paired)},
		"odd and no comma":    {env: `["/a:/b" "]`, want: badJSON("Expecting ',' delimiter: line 1 column 10 (char 9)", commas, paired)},
		"comma at the end":    {env: `["/a:/b",]`, want: badJSON("Expecting value: line 1 column 10 (char 9)", forms)},
		"extra data":          {env: `["/a:/b"][]`, want: badJSON("Extra data: line 1 column 10 (char 9)", forms)},
		"on another line":     {env: "[\n\"/ä:/b\",\n  x]", want: badJSON("Expecting value: line 3 column 3 (char 13)", forms)},
		"control character":   {env: "[\"a\tb\"]", want: badJSON("Invalid control character at: line 1 column 4 (char 3)", forms)},
		"bad escape":          {env: `["C:\data:/w"]`, want: badJSON(`Invalid \escape: line 1 column 5 (char 4)`, forms)},
		"bad unicode":         {env: `["\u12x4"]`, want: badJSON(`Invalid \uXXXX escape: line 1 column 4 (char 3)`, forms)},
		"short unicode":       {env: `["\u1"]`, want: badJSON(`Invalid \uXXXX escape: line 1 column 4 (char 3)`, forms)},
		"name in an object":   {env: `[{a:1}]`, want: badJSON("Expecting property name enclosed in double quotes: line 1 column 3 (char 2)", forms)},
		"colon in an object":  {env: `[{"a"}]`, want: badJSON("Expecting ':' delimiter: line 1 column 6 (char 5)", forms)},
		"comma in an object":  {env: `[{"a":1 "b"}]`, want: badJSON("Expecting ',' delimiter: line 1 column 9 (char 8)", commas)},
		"a number":            {env: `[1]`, want: `MSB_SHARED_VOLUME_PATH item 0 must be a string, got int. All volume mappings must be strings like 'host_path:container_path'`},
		"a float":             {env: `["a:/b", -1.5e3]`, want: `MSB_SHARED_VOLUME_PATH item 1 must be a string, got float. All volume mappings must be strings like 'host_path:container_path'`},
		"no number at all":    {env: `[NaN]`, want: `MSB_SHARED_VOLUME_PATH item 0 must be a string, got float. All volume mappings must be strings like 'host_path:container_path'`},
		"a boolean":           {env: `[true]`, want: `MSB_SHARED_VOLUME_PATH item 0 must be a string, got bool. All volume mappings must be strings like 'host_path:container_path'`},
		"null":                {env: `[null]`, want: `MSB_SHARED_VOLUME_PATH item 0 must be a string, got NoneType. All volume mappings must be strings like 'host_path:container_path'`},
		"a list":              {env: `[["a:/b"]]`, want: `MSB_SHARED_VOLUME_PATH item 0 must be a string, got list. All volume mappings must be strings like 'host_path:container_path'`},
		"an object":           {env: `[{"a": "/b", "c": {}}]`, want: `MSB_SHARED_VOLUME_PATH item 0 must be a string, got dict. All volume mappings must be strings like 'host_path:container_path'`},
		"no colon":            {env: `foo`, want: badMapping("0", "foo", "Expected 'host_path:container_path'")},
		"no colon in the 2nd": {env: `a:/b,foo`, want: badMapping("1", "foo", "Expected 'host_path:container_path'")},
		"no host path":        {env: `:/b`, want: badMapping("0", ":/b", "Both paths must be non-empty")},
		"no container path":   {env: `/a:`, want: badMapping("0", "/a:", "Both paths must be non-empty")},
		"only an access":      {env: `/a::ro`, want: badMapping("0", "/a::ro", "Both paths must be non-empty")},
		"relative container":  {env: `/a:b`, want: badMapping("0", "/a:b", "The container path must begin with /")},
		"the root":            {env: `/a:/b/..`, want: badMapping("0", "/a:/b/..", "The container path cannot be / itself")},
		"twice":               {env: `/a:/b,/c:/b/`, want: badMapping("1", "/c:/b/", "Another volume has this container path")},
		"of Windows":          {env: `C:\data:/workspace`, want: badMapping("0", `C:\data:/workspace`, colons)},
		"of Windows, ro":      {env: `C:/data:/workspace:ro`, want: badMapping("0", `C:/data:/workspace:ro`, colons)},
		"unknown access":      {env: `/a:/b:z`, want: badMapping("0", "/a:/b:z", colons)},
		"a colon at the end":  {env: `/a:/b:`, want: badMapping("0", "/a:/b:", colons)},
		"a number in YAML":    {file: "volumes: [a:/b, 7]", want: `volumes item 1 must be a string, got int. All volume mappings must be strings like 'host_path:container_path' (in sandwarden.yaml)`},
		"a mapping in YAML":   {file: "volumes:\n- /a: /b", want: `volumes item 0 must be a string, got dict. All volume mappings must be strings like 'host_path:container_path' (in sandwarden.yaml)`},
		"no colon in YAML":    {file: "volumes: [foo]", want: "Invalid volume mapping at position 0 in volumes: Invalid volume mapping format: foo. Expected 'host_path:container_path' (in sandwarden.yaml)\nGot: 'foo'" + expected},
		"NUL in YAML":         {file: `volumes: ["a\0b:/c"]`, want: "Invalid volume mapping at position 0 in volumes: Invalid volume mapping format: a\\x00b:/c. A path cannot contain this character (in sandwarden.yaml)\nGot: 'a\\x00b:/c'" + expected},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, test.file, []string{"MSB_SHARED_VOLUME_PATH=" + test.env})
			bad, ok := errors.AsType[*config.Error](err)
			if !ok {
				t.Fatalf("error = %v, want %q", err, test.want)
			}
			if diff := cmp.Diff([]string{test.want}, bad.Faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever stands in the variable, reading it neither panics nor yields a
// volume that a sandbox could not have, nor a fault with lines of the value's
// making.
func FuzzVolumes(f *testing.F) {
	for _, text := range []string{
		"./data:/workspace", "a:/b:ro,c:/d", `["a:/b", "\u00e4:/c:rw"]`, `'["/a:/b"]'`, `{"a":1}`, `[[[[`, `[{"a":[1,-2.5e3,null]}]`, `["\ud83d"]`, `C:\x:/y`, "\x00:\n", `"`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := config.Load(config.Sources{Environ: []string{"MSB_SHARED_VOLUME_PATH=" + text}, ReadFile: only("", "")})
		if bad, ok := errors.AsType[*config.Error](err); ok {
			if lines := strings.Split(bad.Error(), "\n"); len(bad.Faults) != 1 || len(lines) > 6 {
				t.Errorf("faults %q", bad.Faults)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range c.Volumes {
			if v.HostPath == "" || !path.IsAbs(v.Path) || v.Path == "/" || path.Clean(v.Path) != v.Path || strings.ContainsAny(v.HostPath+v.Path, ":\x00") {
				t.Errorf("%q gave %+v", text, v)
			}
		}
	})
}
