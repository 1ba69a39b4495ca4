package client

import (
	"context"
	"time"
)

// longestPause bounds the pauses between attempts.
const longestPause = 5 * time.Second

// attempts counts those that failed in a row.
type attempts struct {
	client *Client
	failed int
}

// again waits before the next attempt after a failure, and returns the error
// when there is to be none. Success begins anew.
func (a *attempts) again(ctx context.Context, err error) error {
	if err == nil {
		a.failed = 0
		return nil
	}
	a.failed++
	if ctx.Err() != nil || !passes(err) || a.failed >= a.client.options.Attempts {
		return err
	}
	pause := longestPause
	if shift := a.failed - 1; shift < 16 {
		pause = min(pause, a.client.options.Pause<<shift)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return err
	}
}

// persist does what may be done more than once, until it is done.
func (c *Client) persist(ctx context.Context, do func() error) error {
	tries := attempts{client: c}
	for {
		err := do()
		if err == nil {
			return nil
		}
		if err := tries.again(ctx, err); err != nil {
			return err
		}
	}
}
