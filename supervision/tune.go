package supervision

import (
	"context"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
)

// Tune changes the limits of a daemon that runs: how many sessions there may
// be, of all and of one owner, with how much memory and how many processors;
// who waits for room, and when idle sessions are frozen and end. All else in the options stays
// as it was. Sessions over a limit that became lower stay until they end.
func (s *Sessions) Tune(ctx context.Context, opts Options) error {
	opts = opts.withDefaults()
	_, err := actors.Ask[*tuned](ctx, s.sys, s.pid, s.over, &tune{opts})
	if err != nil {
		return s.refusal("tune", "", err)
	}
	opts.warn()
	return nil
}

func (s *state) tune(c actor.Context, m *tune) {
	o := &s.opts
	o.MaxSessions, o.MaxMemoryMB, o.MaxCPUs, o.MaxOwned = m.opts.MaxSessions, m.opts.MaxMemoryMB, m.opts.MaxCPUs, m.opts.MaxOwned
	o.NoEviction, o.AdmissionQueue, o.AdmissionWait = m.opts.NoEviction, m.opts.AdmissionQueue, m.opts.AdmissionWait
	o.IdleTimeout, o.SweepInterval = m.opts.IdleTimeout, m.opts.SweepInterval
	o.FreezeAfter, o.FreezeReclaim = m.opts.FreezeAfter, m.opts.FreezeReclaim
	c.Respond(&tuned{})
	s.admit(c)
}
