//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// A watched run has nothing to watch: there are no sandboxes on this system.
type watched struct{ testscript.TestingM }

// confinedMain has nothing to confine.
func confinedMain() {}

// servicedMain has nothing to confine, either.
func servicedMain() {}
