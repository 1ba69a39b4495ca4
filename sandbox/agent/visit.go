package agent

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"

	"github.com/sandwarden/sandwarden/sandbox"
)

// The words that make the agent's program a guest in a sandbox that is not of
// our making: there it is no PID 1, builds no walls, and is reached by running
// the program once more.
const (
	VisitWord = "visit" // DIRECTORY VISIT: starts the agent, unless it runs, and returns when it serves
	ServeWord = "serve" // DIRECTORY VISIT: what visit starts
	RelayWord = "relay" // DIRECTORY METHOD REQUEST…: one call to it
)

// A Visit tells an agent what to be in a sandbox of others.
type Visit struct {
	Language  sandbox.Language
	Env       []string // of kernels and commands, beside what the sandbox has
	RingBytes int      // unacknowledged output that is kept
}

// Encode returns the visit as an argument of the program.
func (v Visit) Encode() (string, error) {
	text, err := json.Marshal(v)
	return base64.StdEncoding.EncodeToString(text), err
}

// DecodeVisit reads what Encode wrote.
func DecodeVisit(text string) (Visit, error) {
	var v Visit
	data, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	return v, err
}

// VisitSocket is where a visiting agent listens.
func VisitSocket(dir string) string { return filepath.Join(dir, "socket") }
