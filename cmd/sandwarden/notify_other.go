//go:build !linux

package main

import (
	"context"
	"log/slog"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A notifier has nobody to tell: there is no systemd on this system.
type notifier struct{}

func newNotifier(*slog.Logger) *notifier { return &notifier{} }

func (*notifier) ready(string, error) {}

func (*notifier) reload(f func()) { f() }

func (*notifier) stopping() {}

func (*notifier) watch(context.Context, func(context.Context) (sandbox.Overview, error)) (stop func()) {
	return func() {}
}
