//go:build !linux

package main

import (
	"context"
	"log/slog"
)

// moveInside has nowhere to move to: there are no sandboxes on this system.
func (p *program) moveInside(context.Context, *slog.Logger) (moved bool, err error) {
	return false, nil
}
