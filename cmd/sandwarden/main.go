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
	"time"
)

// together is how soon after the first signal another is still the same one: the
// end of a parent is told once for each of its threads, see PR_SET_PDEATHSIG.
const together = 300 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(together, stop) }) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args, os.Environ(), os.Stdout, os.Stderr))
}
