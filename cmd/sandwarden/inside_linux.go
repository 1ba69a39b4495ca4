package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/sandwarden/sandwarden/sandbox/native"
)

// moveInside runs the program again where it may make sandboxes, when its user
// may not do so here, and reports whether it did; then there is nothing left
// to do. Where the host forbids that too, the daemon goes on here: it serves,
// and says why it has no sandboxes.
func (p *program) moveInside(ctx context.Context, logger *slog.Logger) (moved bool, err error) {
	if !native.NeedsUserNamespace() {
		return false, nil
	}
	code, err := native.RunInUserNamespace(ctx, os.Args, p.environ)
	if err != nil {
		logger.WarnContext(ctx, "no user namespace can be made", "err", err)
		return false, nil
	}
	if code != 0 {
		return true, exitError(code)
	}
	return true, nil
}
