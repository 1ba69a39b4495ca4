package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/supervision"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/metrics"
)

// A daemon is the parts that serve, joined.
type daemon struct {
	backend  sandbox.Backend
	sessions *supervision.Sessions
	handler  *transport.Handler
	server   *http.Server
}

// newDaemon makes the parts. The end of ctx ends the making; the parts live as
// long as life, which must outlast stop.
func (p *program) newDaemon(ctx, life context.Context, c config.Config, logger *slog.Logger) (*daemon, error) {
	backend, err := p.open(ctx, c, logger)
	if err != nil {
		return nil, err
	}
	meter := metrics.New(metricsOptions(backend, logger))
	sessions, err := supervision.New(life, backend, supervisionOptions(c, backend, meter, logger))
	if err != nil {
		return nil, errors.Join(err, backend.Close(ctx))
	}
	options := transportOptions(c, logger)
	options.Meter, options.Metrics = meter, meter.Handler(life, sessions)
	handler := transport.New(sessions, options)
	return &daemon{backend: backend, sessions: sessions, handler: handler, server: newServer(life, handler, logger)}, nil
}
