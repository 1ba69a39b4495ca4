//go:build !linux

package bench

import (
	"context"
	"time"
)

// punctual waits.
func punctual(ctx context.Context, rest time.Duration) error { return patient(ctx, rest) }
