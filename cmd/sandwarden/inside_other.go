//go:build !linux

package main

import (
	"context"
	"log/slog"

	"github.com/sandwarden/sandwarden/config"
)

// awaitIDs has nothing to wait for.
func awaitIDs([]string) error { return nil }

// moveInside has nowhere to move to: there are no sandboxes on this system.
func moveInside(context.Context, *program, config.Config, *slog.Logger) (moved bool, err error) {
	return false, nil
}
