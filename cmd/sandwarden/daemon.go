package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/sandwarden/sandwarden/actors/ledger"
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
	cert     *certificate // nil without TLS
	meter    *metrics.Metrics
	api      *apiServer // nil where the microsandbox API is not served
	store    *ledger.Store
}

// newDaemon makes the parts. The end of ctx ends the making; the parts live as
// long as life, which must outlast stop.
func (p *program) newDaemon(ctx, life context.Context, c config.Config, logger *slog.Logger) (*daemon, error) {
	policy, err := policyOf(c) // what the operator did wrong is told before anything is begun
	if err != nil {
		return nil, err
	}
	d := &daemon{}
	if c.TLSCert != "" {
		if d.cert, err = openCertificate(c.TLSCert, c.TLSKey, logger.With("part", "http")); err != nil {
			return nil, err
		}
	}
	store, claimed, err := openStore(ctx, c, logger)
	if err != nil {
		return nil, err
	}
	d.store = store
	if d.backend, err = p.open(ctx, c, claimed, logger); err != nil {
		return nil, explained(err)
	}
	d.meter = metrics.New(metricsOptions(d.backend, logger))
	d.sessions, err = supervision.New(life, d.backend, d.store, supervisionOptions(c, d.backend, d.meter, logger))
	if err != nil {
		return nil, errors.Join(err, d.backend.Close(ctx))
	}
	options := transportOptions(c, policy, logger)
	options.Meter, options.Metrics = d.meter, d.meter.Handler(life, d.sessions)
	d.handler = transport.New(d.sessions, options)
	d.server = newServer(life, d.handler, c, d.cert, logger)
	if err := d.newAPI(life, c, logger); err != nil {
		return nil, errors.Join(err, d.sessions.Leave(ctx), d.backend.Close(ctx))
	}
	return d, nil
}

// openStore opens what earlier daemons have recorded, and names the sandboxes of
// the sessions that go on: none, for a clean beginning.
func openStore(ctx context.Context, c config.Config, logger *slog.Logger) (*ledger.Store, []sandbox.ID, error) {
	store, err := ledger.Open(recordDir(c), ledgerOptions(c, logger))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot keep records in %s: %w", recordDir(c), err)
	}
	if c.Clean {
		if err := store.Conclude(sandbox.CauseKilled, "the daemon was told to begin clean"); err != nil {
			return nil, nil, err
		}
	}
	left, err := store.Left()
	if err != nil {
		return nil, nil, err
	}
	claimed := make([]sandbox.ID, 0, len(left))
	for _, record := range left {
		claimed = append(claimed, record.Standing().Box)
	}
	if len(left) > 0 || c.Clean {
		logger.InfoContext(ctx, "sessions of an earlier daemon", "count", len(left), "clean", c.Clean)
	}
	return store, claimed, nil
}

// recordDir is where the records of sessions are.
func recordDir(c config.Config) string { return filepath.Join(c.StateDir, "sessions") }

// How long the end may take beyond the drain timeout: answers that are being
// written, and what the backend itself holds.
const (
	answerGrace  = time.Second
	backendGrace = 500 * time.Millisecond
)

// stop ends the daemon: first no new connection, then every session with its
// callers answered, then what is left of the connections, at last the backend.
// With keep, sessions go on without it.
func (d *daemon) stop(life context.Context, drain time.Duration, keep bool, logger *slog.Logger) error {
	d.handler.Drain()
	began := time.Now()
	whole, cancel := context.WithTimeout(life, drain+answerGrace) // of which the sessions take drain
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- d.server.Shutdown(whole) }() // closes the listeners at once
	apiEnded := d.api.shutdown(whole)

	draining, cancelDraining := context.WithTimeout(life, drain)
	defer cancelDraining()
	end := d.sessions.Close
	if keep {
		end = d.sessions.Leave
	}
	err := end(draining)
	if err != nil {
		err = fmt.Errorf("not all sandboxes could be ended (the next start ends them): %w", err)
	}
	logger.InfoContext(life, "sessions ended", "kept", keep, "dur", time.Since(began))
	err = errors.Join(err, d.handler.Shutdown(whole)) // streams that no session has ended
	if <-answered != nil {                            // somebody does not read the answer
		err = errors.Join(err, d.server.Close())
	}
	err = errors.Join(err, <-apiEnded)
	d.store.Close()
	closing, cancelClosing := context.WithTimeout(life, backendGrace)
	defer cancelClosing()
	return errors.Join(err, d.backend.Close(closing))
}
