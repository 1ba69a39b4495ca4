package microsandbox

import (
	"context"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// StartNamed starts a sandbox at a server under a name of one's own.
func StartNamed(ctx context.Context, url, name string) error {
	o := Options{URL: url}.withDefaults()
	s := newServer(&o)
	defer s.close()
	_, err := s.start(ctx, name, map[string]any{"image": "microsandbox/python"}, o.StartTimeout)
	return err
}

// RunBare runs a command as the server does it, without an agent.
func (b *Backend) RunBare(ctx context.Context, id sandbox.ID, command string, args ...string) error {
	_, err := b.server.command(ctx, b.nameOf(id), time.Second, command, args...)
	return err
}
