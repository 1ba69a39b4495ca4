package kernel

import (
	_ "embed"
	"slices"

	"github.com/sandwarden/sandwarden/sandbox"
)

//go:embed python.py
var pythonDriver []byte

//go:embed zygote.py
var pythonZygote []byte

//go:embed node.cjs
var nodeDriver []byte

//go:embed bash.sh
var bashDriver []byte

// acornSource is the parser that the Node driver is built upon.
//
//go:embed acorn/acorn.cjs
var acornSource []byte

// Driver returns the driver of a language: the name that its file should have,
// and its text, which the caller may keep and change. ok is false for a
// language that has no kernel.
func Driver(lang sandbox.Language) (name string, source []byte, ok bool) {
	switch lang {
	case sandbox.Python:
		return "python.py", slices.Clone(pythonDriver), true
	case sandbox.Node:
		return "node.cjs", withAcorn(nodeDriver), true
	case sandbox.Bash:
		return "bash.sh", slices.Clone(bashDriver), true
	}
	return "", nil, false
}

// Zygote returns the program that forks kernels of a language instead of starting
// them, as Driver does, beside whose file it is to lie. ok is false for a language
// that cannot be forked.
func Zygote(lang sandbox.Language) (name string, source []byte, ok bool) {
	if lang != sandbox.Python {
		return "", nil, false
	}
	return "zygote.py", slices.Clone(pythonZygote), true
}

// withAcorn puts the parser in front of the driver, since a driver is one file:
// it must not depend on what is installed beside the interpreter.
func withAcorn(driver []byte) []byte {
	return slices.Concat(
		[]byte("'use strict';\nconst acorn = (() => { const module = { exports: {} }; const exports = module.exports;\n"),
		acornSource,
		[]byte("\nreturn module.exports; })();\n"),
		driver,
	)
}

// bashLoop is the outermost code of the bash kernel. It is one line, given by
// -c, so that bash names neither our file nor our lines in the errors of a
// cell: it counts the lines of what eval runs from that of the eval. There are
// two loops, as a break in a cell leaves the inner one, and an exit behind, as
// break can leave both. Errors of ours are not for the user.
const bashLoop = `__sandwarden_driver=$1; shift; ` +
	`IFS= read -r -d '' __sandwarden_code <"$__sandwarden_driver"; eval "$__sandwarden_code"; ` +
	`{ while :; do while { __sandwarden_next "$@"; } 2>/dev/null; do eval "$__sandwarden_code"; done; done; exit; } 3>&-`

// Command returns how to start a kernel: its arguments, the first of which is
// the interpreter, and what its environment needs beside the sandbox's own.
func Command(lang sandbox.Language, interpreterPath, driverPath string) (argv, env []string) {
	switch lang {
	case sandbox.Python:
		// -I, so that neither files in the working directory nor variables
		// change the driver's own imports; not -S, as the distribution's
		// packages are to be found.
		return []string{interpreterPath, "-I", "-X", "utf8", driverPath}, []string{"MPLBACKEND=Agg"}
	case sandbox.Node:
		return []string{interpreterPath, driverPath}, nil
	case sandbox.Bash:
		return []string{interpreterPath, "--noprofile", "--norc", "-c", bashLoop, "bash", driverPath}, nil
	}
	return nil, nil
}
