package bench

import (
	"context"
	"errors"
)

// finish stops the n sessions of a workload that went well, or those that are
// there of one that did not, and adds what went wrong with that to err.
func (c *client) finish(ctx context.Context, n int, err *error) {
	if *err == nil {
		*err = c.stopAll(ctx, 0, n, 8)
		return
	}
	*err = errors.Join(*err, c.stopThere(ctx))
}
