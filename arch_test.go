// Package sandwarden_test checks what no compiler checks: that the folders use
// one another as ARCHITECTURE.md draws it. It stands in the repository root.
package sandwarden_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the picture in ARCHITECTURE.md")

const module = "github.com/sandwarden/sandwarden"

// uses is the picture: what the packages of a row may import of ours. A row
// ending in /* is for all that is below the folder; a row for one of them wins
// over it. To change an arrow, change it here, run go test -update, and say in
// an ADR why.
var uses = map[string][]string{
	"sandbox":              nil,
	"sandbox/*":            {"sandbox", "sandbox/agent"}, // one technique each, and sandboxtest
	"sandbox/agent":        {"sandbox"},
	"actors":               {"sandbox"},
	"supervision":          {"actors", "sandbox"},
	"transport":            {"sandbox"},
	"config":               {"sandbox"}, // for the names of flavors; cmd makes Options of a Config
	"bench":                nil,         // a client of the daemon
	"cmd/*":                {"actors", "bench", "config", "sandbox", "sandbox/*", "sandbox/agent", "supervision", "transport"},
	"cmd/sandwarden-agent": {"sandbox", "sandbox/agent"}, // one runs in every sandbox, so it stays small
	"cmd/sandwarden-init":  {"sandbox", "sandbox/agent"}, // one runs in every sandbox, so it stays small
}

// homes says which rows or folders may import a library of others. A library
// that is not listed may be used by all.
var homes = map[string][]string{
	"github.com/asynkron/protoactor-go":       {"actors", "supervision"},
	"github.com/mark3labs/mcp-go":             {"bench", "transport"},
	"github.com/danielgtaylor/huma":           {"transport"},
	"github.com/golang-jwt/jwt":               {"transport"},
	"github.com/prometheus/client_golang":     {"transport"},
	"github.com/knadh/koanf":                  {"config"},
	"github.com/go-viper/mapstructure":        {"config"},
	"github.com/lmittmann/tint":               {"cmd/sandwarden"},
	"github.com/coreos/go-systemd":            {"cmd/sandwarden"},
	"github.com/DeRuina/timberjack":           {"cmd/sandwarden"},
	"github.com/containerd/ttrpc":             {"sandbox/agent"},
	"github.com/landlock-lsm/go-landlock":     {"sandbox/agent"},
	"github.com/elastic/go-seccomp-bpf":       {"sandbox/native"},
	"github.com/moby/profiles":                {"sandbox/native"},
	"gvisor.dev/gvisor":                       {"sandbox/native"},
	"github.com/HdrHistogram/hdrhistogram-go": {"bench"},
}

type pkg struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string // not those of tests, which may reach further
}

// packages lists the packages of the module that are more than tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,GoFiles,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if len(p.GoFiles) > 0 {
			pkgs = append(pkgs, p)
		}
	}
}

// row is the row of uses that a package of ours falls under: its own, that of
// the folder it is in with /*, or that of its top folder.
func row(importPath string) string {
	top, _, below := strings.Cut(member(importPath), "/")
	if _, ok := uses[member(importPath)]; ok || !below {
		return member(importPath)
	}
	if _, ok := uses[top+"/*"]; ok {
		return top + "/*"
	}
	return top
}

// member is what counts as one thing: sandbox/gvisor/oci is part of
// sandbox/gvisor, and may use all of it.
func member(importPath string) string {
	parts := strings.Split(strings.TrimPrefix(importPath, module+"/"), "/")
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		from := row(p.ImportPath)
		allowed, ok := uses[from]
		if !ok {
			t.Errorf("%s is in no row of the picture", p.ImportPath)
		}
		for _, imp := range p.Imports {
			switch ours := strings.HasPrefix(imp, module+"/"); {
			case !ours:
				for lib, rows := range homes {
					if strings.HasPrefix(imp, lib) && !slices.Contains(rows, from) && !slices.Contains(rows, member(p.ImportPath)) {
						t.Errorf("%s imports %s, which is for %v only", p.ImportPath, imp, rows)
					}
				}
			case member(imp) == member(p.ImportPath), slices.Contains(allowed, row(imp)):
			case row(imp) == from && !strings.HasSuffix(from, "/*"):
			default:
				t.Errorf("%s imports %s, but %s may use only %v", p.ImportPath, imp, from, allowed)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		want := "Package " + path.Base(p.ImportPath) + " "
		if strings.HasPrefix(row(p.ImportPath), "cmd/") {
			want = "Command " + path.Base(p.ImportPath) + " "
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: package comment is %q, want one that starts with %q", p.ImportPath, p.Doc, want)
		}
	}
}

// The block that starts with ```deps in ARCHITECTURE.md is drawn from uses, so
// that the picture cannot lie.
func TestPicture(t *testing.T) {
	const file, begin, end = "ARCHITECTURE.md", "```deps\n", "```\n"
	var want strings.Builder
	for _, from := range slices.Sorted(maps.Keys(uses)) {
		want.WriteString(strings.TrimSpace(from+" -> "+strings.Join(uses[from], " ")) + "\n")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no block that starts with %q", file, begin)
	}
	if got == want.String() {
		return
	}
	if !*update {
		t.Fatalf("%s draws\n%s\nwant, as go test -update writes it,\n%s", file, got, want.String())
	}
	if err := os.WriteFile(file, []byte(before+begin+want.String()+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}
