//go:build linux

package native

import "github.com/sandwarden/sandwarden/sandbox"

// Hangup closes the daemon's connection to an agent, as its death would.
func Hangup(x sandbox.Sandbox) error { return x.(*box).client.Close() }
