//go:build linux

package doctor

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"slices"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Level says how bad a finding is.
type Level int

// The levels, best first.
const (
	OK     Level = iota
	Warn         // sandboxes can be made, with less than they could have
	Refuse       // no sandbox can be made
)

// String returns the level's name in lower case.
func (l Level) String() string {
	switch l {
	case OK:
		return "ok"
	case Warn:
		return "warn"
	case Refuse:
		return "refuse"
	}
	return "unknown"
}

// A Finding is what was found of one thing. Of one that is OK only Name and
// Value are set.
type Finding struct {
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Value  string `json:"value"`            // as it is
	Why    string `json:"why,omitempty"`    // why it matters
	Remedy string `json:"remedy,omitempty"` // commands, one a line, or a sentence
	Cost   string `json:"cost,omitempty"`   // what it costs to leave it, or to change it
}

// MarshalText makes a level readable in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Options say what to look at. The zero value is ready.
type Options struct {
	StateDir     string        // where records are to be; empty is not checked
	RuntimeDir   string        // where sockets and mounts are to be; empty is not checked
	Interpreters []Interpreter // of the templates; none are the built-in ones
	Executable   string        // the daemon's, for remedies that name it; empty is the usual place
	Sessions     int           // how many are wanted at once; 0 is 5000
	CgroupParent string        // the control group in which those of sandboxes are to be; empty is the usual place
}

func (o Options) withDefaults() Options {
	o.Executable = cmp.Or(o.Executable, "/usr/local/bin/sandwarden")
	o.Sessions = cmp.Or(o.Sessions, 5000)
	if len(o.Interpreters) == 0 {
		o.Interpreters = Interpreters()
	}
	return o
}

// An Interpreter is what a template's kernel runs on.
type Interpreter struct {
	Template string
	Paths    []string // where it may be, best first; the search path is never asked
	Package  string   // of the distribution, that has it
}

// Interpreters returns those of the built-in templates.
func Interpreters() []Interpreter {
	found := make([]Interpreter, 0, len(sandbox.Templates()))
	for _, t := range sandbox.Templates() {
		switch t.Language {
		case sandbox.Python:
			found = append(found, Interpreter{t.Name, []string{"/usr/bin/python3"}, "python3"})
		case sandbox.Node:
			found = append(found, Interpreter{t.Name, []string{"/usr/bin/node", "/usr/bin/nodejs"}, "nodejs"})
		case sandbox.Bash:
			found = append(found, Interpreter{t.Name, []string{"/usr/bin/bash", "/bin/bash"}, "bash"})
		}
	}
	return found
}

// A host is what is looked at. What cannot be read as a file is a function, so
// that tests can be any host.
type host struct {
	opts  Options
	root  fs.FS // "/"
	uid   int
	probe func(ctx context.Context, user bool, flags uintptr) error // makes namespaces in a child
	// groups tells what control groups can do, or why they cannot.
	groups func(ctx context.Context) (version int, unenforced []string, err error)
	// pids is the tightest limit of tasks among the control groups that sessions
	// are to be below; ok is false when there is none.
	pids     func(ctx context.Context) (used, limit int64, dir string, ok bool)
	landlock func() int // its version; 0 is none
	// version asks a program for its version.
	version  func(ctx context.Context, path string) (string, error)
	nofile   func() (hard uint64, err error)
	mounted  func(dir string) (noexec, readonly bool, err error)
	writable func(dir string) error
	memory   func() (total, available int64)
	resolve  func(path string) (string, error) // follows links
}

// Check looks at this host. It takes a second or so, and bounds each step; a
// ctx that ends shortens it, and what was not seen then counts as missing.
func Check(ctx context.Context, opts Options) []Finding {
	return check(ctx, thisHost(opts.withDefaults()))
}

// check runs all checks, in the order in which one would set a host right.
func check(ctx context.Context, h *host) []Finding {
	return slices.Concat(
		h.kernel(),
		h.rights(ctx),
		h.filters(),
		h.controlGroups(ctx),
		h.capacity(ctx),
		h.directories(),
		h.interpreters(ctx),
		h.hardening(),
	)
}

// Worst returns the worst level of some findings.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		worst = max(worst, f.Level)
	}
	return worst
}

// ExitStatus is that of a command that shows findings: 0 when sandboxes can be
// made, and 1 when not.
func ExitStatus(findings []Finding) int {
	if Worst(findings) == Refuse {
		return 1
	}
	return 0
}

// root reports whether the daemon has the rights of root, if need be in a user
// namespace of its own.
func (h *host) isRoot() bool { return h.uid == 0 }

// read returns a file below the root without the space around it, and "" when
// there is none.
func (h *host) read(name string) string {
	data, err := fs.ReadFile(h.root, name)
	if err != nil {
		return ""
	}
	return string(trim(data))
}

func thisHost(opts Options) *host {
	return &host{
		opts: opts, root: os.DirFS("/"), uid: os.Geteuid(),
		probe: makeNamespaces, groups: groupsIn(opts.CgroupParent), pids: pidsIn(opts.CgroupParent), landlock: landlockVersion, version: askVersion,
		nofile: hardNofile, mounted: mountFlags, writable: canWrite, memory: hostMemory, resolve: resolveLinks,
	}
}
