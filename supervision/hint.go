package supervision

import (
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// hintTail is how much of stderr is looked at: the end, where errors stand.
const hintTail = 4 << 10

// hint is one line on why a run failed and what to do, where the sandbox itself
// is the reason: it has no network, and no more packages than its template. It
// is empty where nothing of that kind is seen.
func hint(result *sandbox.ExecResult) string {
	exit := &result.Exit
	if exit.Code == 0 && exit.Failure == nil {
		return ""
	}
	seen := string(result.Stderr[max(0, len(result.Stderr)-hintTail):])
	if exit.Failure != nil {
		seen += "\n" + exit.Failure.Name + ": " + exit.Failure.Message
	}
	switch {
	case containsAny(seen, "gaierror", "EAI_AGAIN", "ENOTFOUND", "ENETUNREACH", "Could not resolve host",
		"Temporary failure in name resolution", "Name or service not known", "Network is unreachable",
		"NewConnectionError", "bad address", "unable to resolve host"):
		return "This sandbox has no network: bring the data in with the code, and use what is installed."
	case containsAny(seen, "ModuleNotFoundError", "No module named", "Cannot find module", "Cannot find package",
		"ERR_MODULE_NOT_FOUND"):
		return "This package is not installed, and the sandbox has no network to install it from: " +
			"use the standard library, or ask the operator for a template that has it."
	case exit.Code == 127 || containsAny(seen, "command not found", "executable file not found"):
		return "This command is not installed, and the sandbox has no network to install it from: " +
			"use another command, or ask the operator for a template that has it."
	}
	return ""
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
