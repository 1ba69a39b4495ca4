//go:build linux

package doctor

import (
	"fmt"
	"strings"
)

// longestRuntimeDir leaves room for the name of a socket in the 107 bytes that
// its path may have.
const longestRuntimeDir = 64

// directories looks at where the daemon is to keep its things.
func (h *host) directories() []Finding {
	var found []Finding
	if dir := h.opts.StateDir; dir != "" {
		found = append(found, h.stateDir(dir))
	}
	if dir := h.opts.RuntimeDir; dir != "" {
		found = append(found, h.runtimeDir(dir))
	}
	return found
}

func (h *host) stateDir(dir string) Finding {
	f := Finding{Name: "state directory", Value: dir}
	if why, _ := h.unusable(dir); why != "" {
		f.Level, f.Why, f.Remedy = Refuse, why, "name another directory by SANDWARDEN_STATE_DIR"
	}
	return f
}

func (h *host) runtimeDir(dir string) Finding {
	f := Finding{Name: "runtime directory", Value: dir}
	why, noexec := h.unusable(dir)
	switch {
	case why != "":
	case noexec:
		why = "it is mounted noexec, and what runs in sandboxes is mounted below it"
	case len(dir) > longestRuntimeDir:
		why = fmt.Sprintf("its path has %d bytes, and those of sockets below it would be longer than the kernel takes; %d fit", len(dir), longestRuntimeDir)
	}
	if why != "" {
		f.Level, f.Why, f.Remedy = Refuse, why, "name another directory by SANDWARDEN_RUNTIME_DIR"
	}
	return f
}

// unusable returns why nothing can be kept in a directory, and "" if something
// can.
func (h *host) unusable(dir string) (why string, noexec bool) {
	if !strings.HasPrefix(dir, "/") {
		return "it must be an absolute path", false
	}
	noexec, readonly, err := h.mounted(dir)
	if err == nil {
		err = h.writable(dir)
	}
	switch {
	case err != nil:
		return "it cannot be made or written to: " + short(err), false
	case readonly:
		return "it is mounted read-only", false
	}
	return "", noexec
}
