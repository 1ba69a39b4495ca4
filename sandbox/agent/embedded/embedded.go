// Package embedded carries the built agent inside the daemon.
//
// make build puts the program into this folder before it builds the daemon. A
// plain go build finds only the placeholder; then the agent is looked for
// beside the daemon's own program.
package embedded

import (
	"embed"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sandwarden/sandwarden/sandbox"
)

//go:embed *
var files embed.FS

// Agent returns the program for this machine.
func Agent() ([]byte, error) {
	name := "sandwarden-agent-linux-" + runtime.GOARCH
	if program, err := files.ReadFile(name); err == nil {
		return program, nil
	}
	if self, err := os.Executable(); err == nil {
		if program, err := os.ReadFile(filepath.Join(filepath.Dir(self), "sandwarden-agent")); err == nil {
			return program, nil
		}
	}
	return nil, &sandbox.Error{
		Op: "start", Kind: sandbox.Unavailable,
		Detail: "this daemon was built without the agent",
		Remedy: "build it with: make build",
	}
}
