//go:build !linux

package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
)

// errLinux is what there is to say where no sandbox can be made.
var errLinux = errors.New("sandboxes need Linux: run sandwarden there, in a virtual machine or a container if need be; config, bench and version work here")

// openBackend refuses: there is no backend for this system yet.
func openBackend(context.Context, config.Config, []sandbox.ID, *slog.Logger) (sandbox.Backend, error) {
	return nil, errLinux
}

func (p *program) purge(context.Context, []string) error { return errLinux }

func (p *program) doctor(context.Context, []string) error { return errLinux }

// locks is nothing here: there is no daemon to keep apart from another.
type locks struct{}

func (locks) release() error { return nil }

// lockDirectories refuses, as all that follows it needs Linux.
func lockDirectories(...string) (locks, error) { return locks{}, errLinux }
