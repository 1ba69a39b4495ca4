//go:build linux

package native_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// open returns a backend on directories of its own.
func open(t *testing.T) *native.Backend {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := native.New(ctx, native.Options{
		StateDir: t.TempDir(), RuntimeDir: t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBackend(t *testing.T) {
	sandboxtest.TestBackend(t, func(t *testing.T) sandbox.Backend { return open(t) })
}
