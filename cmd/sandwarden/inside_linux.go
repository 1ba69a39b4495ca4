package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
)

// movedVariable tells a run that it is the one in the namespace, also where
// that has not brought the rights that it was made for.
const movedVariable = "SANDWARDEN_IN_NAMESPACE"

// awaitIDs holds back a run in the namespace until it has its ids.
func awaitIDs(environ []string) error { return native.AwaitIDs(environ) }

// moveInside runs an ordinary user's daemon in a user namespace, in which
// it may do what root may. The directories go along, as that run takes itself
// for root. A host that forbids such namespaces is served all the same: the
// backend will say that it cannot make sandboxes, and clients learn why.
func moveInside(ctx context.Context, p *program, c config.Config, logger *slog.Logger) (moved bool, err error) {
	if p.variable(movedVariable) != "" || c.Backend != native.Name || !native.NeedsUserNamespace() {
		return false, nil
	}
	// The watchdog named this process; that one does the work, and may feed it.
	environ := slices.DeleteFunc(slices.Clone(p.environ), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	environ = append(environ, movedVariable+"=1", "SANDWARDEN_STATE_DIR="+c.StateDir, "SANDWARDEN_RUNTIME_DIR="+c.RuntimeDir)
	status, err := native.RunInUserNamespace(ctx, underOwnName(p.args), environ)
	switch {
	case sandbox.KindOf(err) == sandbox.Unavailable:
		logger.WarnContext(ctx, "this user may not make user namespaces", "err", explain(err))
		return false, nil
	case err != nil:
		return true, err
	case status != 0:
		return true, exitError(max(status, 1)) // below 0 when a signal ended it
	}
	return true, nil
}
