//go:build !linux

// Command sandwarden-agent is PID 1 of every sandbox. Sandboxes need Linux;
// elsewhere this program only says so.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "sandwarden-agent runs on Linux only")
	os.Exit(1)
}
