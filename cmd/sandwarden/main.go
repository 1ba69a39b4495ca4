// Command sandwarden serves sandboxes over MCP.
//
// Its subcommands are listed by sandwarden help. Standard output carries only
// what was asked for; everything else is written to standard error.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args, os.Environ(), os.Stdout, os.Stderr))
}
