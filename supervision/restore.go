package supervision

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// adopters is how many sandboxes are taken over side by side.
const adopters = 16

// restore books the sessions that an earlier daemon left, before the actor
// starts: they have their names and places from the first moment, and who asks
// for one waits until it is taken over. Limits that became lower end none.
func (s *state) restore(left []*ledger.Ledger) {
	for _, record := range left {
		info := record.Info()
		s.numbers++
		sl := &slot{
			id: info.ID, record: record, restored: true, phase: creating, number: s.numbers, made: info.Created,
			spec: sandbox.Spec{
				Owner: info.Owner, Session: info.Session, Template: info.Template, Flavor: info.Flavor, Env: info.Env,
			},
			asked: sandbox.SessionRequest{Dir: info.Dir, IdleTimeout: info.IdleTimeout, MaxAge: info.MaxAge, Labels: info.Labels},
			lacks: s.backend.Capabilities().Unenforced, coming: record.Standing().Box, things: 1,
		}
		s.names[sl.ref()] = sl
		s.booked[sl] = struct{}{}
		s.memory += int64(sl.spec.Flavor.MemoryMB)
		s.cpus += sl.spec.Flavor.CPUs
		s.held[sl.spec.Owner]++
		s.restoring++
	}
	if s.restoring == 0 {
		close(s.shared.restored)
	}
}

// adoptAll begins to take over the sandboxes of restored sessions, each in a
// goroutine whose end is adopted.
func (s *state) adoptAll(c actor.Context) {
	self, root, life, backend, limit, logger := c.Self(), c.ActorSystem().Root, s.life, s.backend, s.opts.CreateLimit, s.opts.Logger // c and s stay here
	gate, session := make(chan struct{}, adopters), s.opts.Session
	for sl := range s.booked {
		id, record := sl.coming, sl.record
		go func() {
			gate <- struct{}{} // each gives its place back
			defer func() { <-gate }()
			ctx, stop := context.WithTimeout(life, limit)
			defer stop()
			end := &adopted{of: sl}
			end.err = actors.Caught(logger, func() (err error) {
				end.box, err = backend.Adopt(ctx, id)
				return err
			})
			if end.err != nil {
				end.box = nil
			} else {
				_ = actors.Caught(logger, func() error { end.recalled = actors.Recall(record, session); return nil }) // it was logged
			}
			root.Send(self, end)
		}()
	}
	s.awake(c)
}

// adopted makes a session of a sandbox that was taken over, or notes the end of
// one that has none any more.
func (s *state) adopted(c actor.Context, m *adopted) {
	sl := m.of
	switch {
	case s.keeping, m.err != nil && s.life.Err() != nil: // it is the next daemon's
		s.tookOver()
		sl.things--
		s.settle(c, sl)
	case m.err != nil:
		s.bereaved(c, sl, m.err)
	case sl.phase == ending:
		s.epitaph(c, sl, sl.cause, "the session ended")
		s.destroy(c, sl, m.box)
	default:
		s.deliver(c, sl, m.box, m.recalled)
		s.tookOver()
	}
}

// tookOver notes that one more session of the earlier daemon can be found, where
// it goes on or with those that ended.
func (s *state) tookOver() {
	if s.restoring--; s.restoring == 0 {
		close(s.shared.restored)
	}
}

// bereaved ends a session whose sandbox died while no daemon was there. Who
// waits for it gets a fresh one of that name, which tells why.
func (s *state) bereaved(c actor.Context, sl *slot, err error) {
	death := deathOf(err)
	s.opts.Logger.Warn("session lost", "session", sl.spec.Session, "cause", string(death.Cause), "evidence", death.Evidence, "err", err)
	s.remember(sl.ref(), death.Cause)
	if s.names[sl.ref()] == sl {
		delete(s.names, sl.ref())
	}
	s.shared.logs.owned(sl.spec.Owner).Append(sandbox.Event{
		Time: time.Now(), Type: sandbox.SessionStopped, Session: sl.spec.Session, Cause: death.Cause, Evidence: death.Evidence,
	})
	askers := sl.askers
	sl.askers, sl.phase, sl.cause = nil, ending, death.Cause
	s.epitaph(c, sl, death.Cause, death.Evidence)
	sl.things--
	s.settle(c, sl)
	for _, a := range askers {
		s.openFor(c, a)
	}
}

// epitaph writes the end of a session that has no actor into its record, in a
// goroutine whose end is buried.
func (s *state) epitaph(c actor.Context, sl *slot, cause sandbox.Cause, evidence string) {
	self, root, record, logger := c.Self(), c.ActorSystem().Root, sl.record, s.opts.Logger // c and s stay here
	sl.things++
	go func() {
		if err := record.Conclude(cause, evidence); err != nil {
			logger.Warn("the record of a session cannot be written", "session", record.Info().Session, "err", err)
		}
		record.Archive()
		root.Send(self, &buried{of: sl, restored: true})
	}()
}

// deathOf is why there is no sandbox to take over.
func deathOf(err error) sandbox.Death {
	death := sandbox.Death{Cause: sandbox.CauseAgentLost, Evidence: "the sandbox could not be taken over"}
	if e, ok := errors.AsType[*sandbox.Error](err); ok {
		if e.Cause != sandbox.CauseNone {
			death.Cause = e.Cause
		}
		if e.Detail != "" {
			death.Evidence = e.Detail
		}
	}
	return death
}

// beginner returns what begins the record of a session that has none; nil for
// one that has.
func (s *state) beginner(sl *slot) func() (*ledger.Ledger, error) {
	if sl.record != nil {
		return nil
	}
	store, info := s.store, ledger.Info{
		ID: sl.id, Owner: sl.spec.Owner, Session: sl.spec.Session, Created: sl.made,
		Template: sl.spec.Template, Flavor: sl.spec.Flavor, Env: sl.spec.Env,
		Dir: sl.asked.Dir, IdleTimeout: sl.asked.IdleTimeout, MaxAge: sl.asked.MaxAge, Labels: sl.asked.Labels,
	}
	return func() (*ledger.Ledger, error) { return store.Create(info) }
}
