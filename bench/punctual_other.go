//go:build !linux

package bench

import (
	"context"
	"time"
)

// punctual waits until a time.
func punctual(ctx context.Context, due time.Time) error { return patient(ctx, time.Until(due)) }
