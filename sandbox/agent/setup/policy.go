//go:build linux

package setup

import (
	"encoding/json"
	"path/filepath"

	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// Policy returns how the tenant's processes are locked down, as a zygote reads
// it: what lockDown does to the agent, and so to all that it starts. preimport
// are the modules that the zygote loads beside its own, between is the machine code that it
// forks by, see Between of package kernel.
func Policy(c boot.Walls, preimport []string, between []byte) ([]byte, error) {
	handled := handledRights()
	p := struct {
		Filter         []byte      `json:"filter"`
		Handled        uint64      `json:"handled"`
		Shared         [][2]any    `json:"shared"` // path and rights, of what the zygote sees as a sandbox does
		Rules          [][2]any    `json:"rules"`  // the same of what is mounted later
		Limits         [][2]uint64 `json:"limits"` // resource and value
		LastCapability int         `json:"last_capability"`
		UserNamespace  bool        `json:"user_namespace"`
		Preimport      []string    `json:"preimport"`
		Between        []byte      `json:"between"`
	}{Filter: c.Filter, Handled: handled, LastCapability: lastCapability(), UserNamespace: c.UserNS, Preimport: append([]string{}, preimport...), Between: between}
	for path, rights := range allowed(handled, c.Volumes) {
		rules := &p.Rules
		if isShared(path) {
			rules = &p.Shared
		}
		*rules = append(*rules, [2]any{path, rights})
	}
	for resource, limit := range limitsOf(c) {
		p.Limits = append(p.Limits, [2]uint64{uint64(resource), limit})
	}
	return json.Marshal(p)
}

// isShared tells whether what has a rule is of the template's tree: rules are of files,
// not of paths.
func isShared(path string) bool {
	return path == "/" || filepath.Dir(path) == "/dev" && path != "/dev/shm" && path != "/dev/pts"
}
