//go:build !linux

// Command sandwarden-init builds the walls of a sandbox. Sandboxes need Linux;
// elsewhere this program only says so.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "sandwarden-init runs on Linux only")
	os.Exit(1)
}
