package agent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
)

func TestInfos(t *testing.T) {
	const most = 3
	for name, c := range map[string]struct{ in, want string }{
		"an entry":             {`{"path":"a/b","type":"file","size":3,"mode":420}`, `a/b file 3`},
		"two":                  {`{"path":"a","type":"directory"}` + "\n" + `{"path":"b","type":"symlink","more":true}`, `a directory 0, b symlink 0 +`},
		"more than asked for":  {strings.Repeat(`{"path":"a"}`+"\n", most+1), "nonsense"},
		"another type":         {`{"path":"a","type":"door"}`, `a other 0`},
		"less than nothing":    {`{"path":"a","size":-5}`, `a other 0`},
		"no JSON":              {`hello`, "nonsense"},
		"an absolute path":     {`{"path":"/etc/passwd"}`, "nonsense"},
		"a way out":            {`{"path":"../x"}`, "nonsense"},
		"the directory itself": {`{"path":"."}`, "nonsense"},
		"no path":              {`{"type":"file"}`, "nonsense"},
		"a line without end":   {`{"path":"` + strings.Repeat("x", 100<<10) + `"}`, "nonsense"},
		"bytes that are no text": {
			"{\"path\":\"a\xff\"}", "a\uFFFD other 0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := io.ReadAll(agent.NewInfos(iotest.HalfReader(strings.NewReader(c.in+"\n")), "", most))
			got := "nonsense"
			if err == nil {
				got = words(t, out)
			}
			if got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
	if _, err := io.ReadAll(agent.NewInfos(strings.NewReader(`{"path":"a"}`), "", most)); err == nil {
		t.Error("a line that was cut is taken for whole")
	}
	out, err := io.ReadAll(agent.NewInfos(strings.NewReader(`{"path":"/other","type":"file","more":true}`+"\n"), "/work/asked", 1))
	if got := words(t, out); err != nil || got != "/work/asked file 0" {
		t.Errorf("of one file: %q, %v", got, err)
	}
}

// words tells entries in few.
func words(t *testing.T, data []byte) string {
	t.Helper()
	var all []string
	for _, info := range decode(t, data) {
		s := fmt.Sprint(info.Path, " ", info.Type, " ", info.Size)
		if info.More {
			s += " +"
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

func decode(t *testing.T, data []byte) []sandbox.FileInfo {
	t.Helper()
	var all []sandbox.FileInfo
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var info sandbox.FileInfo
		if err := d.Decode(&info); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%v in %q", err, data)
		}
		all = append(all, info)
	}
}

// Whatever a sandbox says of files: it is refused, or within the bounds.
func FuzzInfos(f *testing.F) {
	f.Add([]byte(`{"path":"a","type":"symlink","size":1,"mode":511,"modified":"2026-01-31T15:36:30Z","target":"b"}` + "\n"))
	f.Add([]byte(`{"path":"a","size":1e99}` + "\n" + `{"path":"` + strings.Repeat("y/", 5000) + `z"}` + "\n"))
	f.Add([]byte("{\"path\":\"\xff\xfe\",\"mode\":4294967295,\"modified\":\"0000-01-01T00:00:00+23:59\"}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 10
		out, _ := io.ReadAll(agent.NewInfos(bytes.NewReader(data), "", most))
		all := decode(t, out)
		if len(all) > most || bytes.Count(out, []byte("\n")) != len(all) {
			t.Fatalf("%d entries in %q", len(all), out)
		}
		for _, info := range all {
			if !fs.ValidPath(info.Path) || len(info.Path) > sandbox.MaxPath || len(info.Target) > sandbox.MaxPath || !utf8.ValidString(info.Target) {
				t.Errorf("path %q, target %q", info.Path, info.Target)
			}
			if info.Size < 0 || info.Mode > 0o777 {
				t.Errorf("%+v", info)
			}
		}
	})
}
