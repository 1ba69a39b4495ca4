package main

import (
	"log/slog"
	"runtime"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/supervision"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/metrics"
	"github.com/sandwarden/sandwarden/transport/token"
)

// A host knows its memory, and what else it has a fixed number of. A backend
// that does not is not asked.
type host interface {
	HostMemory() (total, available int64)
	Supplies() []sandbox.Supply
}

// A pooled backend makes sandboxes before they are asked for, and knows how many
// are ready.
type pooled interface {
	Pools() []sandbox.PoolStat
}

// supervisionOptions are the parts of a configuration that sessions follow.
func supervisionOptions(c config.Config, backend sandbox.Backend, meter sandbox.Meter, logger *slog.Logger) supervision.Options {
	options := supervision.Options{
		Logger: logger.With("part", "supervision"),
		Meter:  meter,
		Session: actors.Options{
			Logger:      logger.With("part", "actors"),
			Queue:       c.Queue,
			Commands:    c.Commands,
			QueueWait:   c.QueueWait,
			Timeout:     c.ExecutionTimeout,
			CPULimit:    c.CPULimit,
			OutputLimit: c.OutputBytes,
			SpillLimit:  c.SpillBytes,
			CallLimit:   c.RequestTimeout,
		},
		DefaultFlavor:  c.DefaultFlavor,
		MaxSessions:    c.MaxSessions,
		Connections:    c.Connections,
		MaxMemoryMB:    c.MaxTotalMemoryMB,
		MaxCPUs:        c.MaxTotalCPUs,
		MaxOwned:       c.SessionsPerPrincipal,
		NoEviction:     !c.LRUEviction,
		AdmissionQueue: c.AdmissionQueue,
		AdmissionWait:  c.AdmissionWait,
		IdleTimeout:    c.SessionTimeout,
		SweepInterval:  c.CleanupInterval,
		FreezeAfter:    c.FreezeAfter,
		FreezeReclaim:  c.FreezeReclaim,
		CreateLimit:    c.SandboxStartTimeout,
	}
	if c.AdmissionWait == 0 {
		options.AdmissionWait = -1 // nobody waits
	}
	if h, ok := backend.(host); ok { // else sandboxes have another host
		options.HostMemory, options.HostCPUs, options.Supplies = h.HostMemory, runtime.NumCPU(), h.Supplies
	}
	return options
}

// ledgerOptions are the parts of a configuration that say what is kept.
func ledgerOptions(c config.Config, logger *slog.Logger) ledger.Options {
	return ledger.Options{
		Logger:       logger.With("part", "ledger"),
		Executions:   c.HistoryExecutions,
		SessionBytes: c.HistorySessionBytes,
		Age:          c.HistoryAge,
		TotalBytes:   c.HistoryTotalBytes,
		FreeBytes:    c.HistoryFreeBytes,
	}
}

// transportOptions are the parts of a configuration that clients meet.
func transportOptions(c config.Config, policy transport.Policy, logger *slog.Logger) transport.Options {
	return transport.Options{
		Logger:         logger.With("part", "transport"),
		Version:        release(),
		Policy:         policy,
		Volumes:        c.Volumes,
		MaxBody:        c.BodyBytes,
		MaxFile:        c.FileBytes,
		MaxCode:        int(c.CodeBytes),
		DefaultTimeout: c.ExecutionTimeout,
		MaxTimeout:     c.MaxExecutionTime,
		SoftLimit:      c.SoftLimit,
		DefaultFlavor:  c.DefaultFlavor,
		ReadTimeout:    c.BodyTimeout,
	}
}

// metricsOptions are the words that the metrics tell apart.
func metricsOptions(backend sandbox.Backend, logger *slog.Logger) metrics.Options {
	options := metrics.Options{Logger: logger.With("part", "metrics"), Version: release(), Backend: backend.Name()}
	for _, t := range backend.Capabilities().Templates {
		options.Templates = append(options.Templates, t.Template.Name)
	}
	if p, ok := backend.(pooled); ok {
		options.Pools = p.Pools
	}
	return options
}

// policyOf is who may come in. It reads the tokens.
func policyOf(c config.Config) (transport.Policy, error) {
	policy := transport.Policy{EnableCORS: c.EnableCORS, AllowedOrigins: c.AllowedOrigins, AllowedHosts: c.AllowedHosts}
	if c.TokensFile == "" {
		return policy, nil
	}
	tokens, err := token.Open(c.TokensFile)
	if err != nil {
		return policy, explained(err)
	}
	policy.Keeper = tokens
	return policy, nil
}
