// Package embedded carries the built programs of a sandbox inside the daemon.
//
// make build puts them into this folder before it builds the daemon. A plain go
// build finds only the placeholder; then they are looked for beside the daemon's
// own program.
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

// Agent returns the program that is PID 1 of a sandbox, for this machine.
func Agent() ([]byte, error) { return program("sandwarden-agent") }

// Init returns the program that builds the walls and becomes the agent.
func Init() ([]byte, error) { return program("sandwarden-init") }

func program(name string) ([]byte, error) {
	if program, err := files.ReadFile(name + "-linux-" + runtime.GOARCH); err == nil {
		return program, nil
	}
	if self, err := os.Executable(); err == nil {
		if program, err := os.ReadFile(filepath.Join(filepath.Dir(self), name)); err == nil {
			return program, nil
		}
	}
	return nil, &sandbox.Error{
		Op: "start", Kind: sandbox.Unavailable,
		Detail: "this daemon was built without the agent",
		Remedy: "build it with: make build",
	}
}
