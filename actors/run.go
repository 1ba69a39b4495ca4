package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/sandbox"
)

func (s *state) lane(x *execution) *lane {
	if x.isCode() {
		return &s.code
	}
	return &s.commands
}

// run admits an execution. It answers before anything is begun, so that what
// goes wrong then is told by the execution's own end.
func (s *state) run(c actor.Context, m *run) {
	if l := s.lane(m.of); len(l.waiting) >= s.opts.Queue {
		c.Respond(&sandbox.Error{
			Op: "execute", ID: s.journal.name, Kind: sandbox.Exhausted,
			Limit:  &sandbox.Limit{Resource: "queue", Current: int64(len(l.waiting)), Max: int64(s.opts.Queue)},
			Detail: fmt.Sprintf("%d executions of this session wait already", len(l.waiting)),
			Remedy: "wait for some of them to end, or use another session",
		})
		return
	}
	answer, err := s.journal.admit(m.of)
	if err != nil {
		c.Respond(err)
		return
	}
	if answer.replayed || !m.quiet {
		c.Respond(answer)
	}
	if !answer.replayed {
		s.enqueue(c, m.of)
		s.advance(c)
	}
}

func (s *state) enqueue(c actor.Context, x *execution) {
	t := &task{x: x, limit: s.after(c, s.opts.QueueWait-time.Since(x.queued), &expired{x})}
	s.tasks[x] = t
	l := s.lane(x)
	l.waiting = append(l.waiting, t)
}

// advance begins what can begin, first come, first served.
func (s *state) advance(c actor.Context) {
	for _, l := range []*lane{&s.code, &s.commands} {
		for l.running < l.width && len(l.waiting) > 0 {
			box := s.journal.sandbox()
			if box == nil {
				return // they wait for a fresh one
			}
			t := l.waiting[0]
			l.waiting = slices.Delete(l.waiting, 0, 1)
			l.running++
			s.begin(c, t, box)
		}
	}
}

func (s *state) begin(c actor.Context, t *task, box sandbox.Sandbox) {
	deadline := s.opts.Clock() + t.x.timeout
	t.running = true
	t.stopTimers()
	t.limit = s.after(c, t.x.timeout+s.opts.Overdue, &overdue{t.x})
	s.journal.begin(t.x, deadline)
	s.handOver(c, t.x, deadline, box)
	s.drain(c)
}

// handOver has Start called by the pump or, where that is busy, by a goroutine;
// the message started follows where there is something to do then. What is to be
// started is in the ledger before.
func (s *state) handOver(c actor.Context, x *execution, deadline time.Duration, box sandbox.Sandbox) {
	if !s.journal.startCalled(x) {
		return
	}
	exec := x.exec
	exec.Deadline = deadline
	self, root, j, opts, life := c.Self(), c.ActorSystem().Root, s.journal, s.opts, s.life // c and s stay here
	call := func() {
		err := Caught(opts.Logger, func() error {
			j.flush()
			ctx, stop := context.WithTimeout(life, opts.CallLimit)
			defer stop()
			return box.Start(ctx, exec)
		})
		j.startReturned(x, err)
		if err != nil || j.look(x).canceled { // else there is nothing to do
			root.Send(self, &started{x})
		}
	}
	if !j.employ(call) {
		go call()
	}
}

// started looks after a Start that failed, or whose caller gave up meanwhile.
func (s *state) started(c actor.Context, m *started) {
	t, v := s.tasks[m.of], s.journal.look(m.of)
	if t == nil || v.phase != running || v.start != returned {
		return
	}
	if v.startErr == nil {
		if v.canceled {
			s.interrupt(c, t)
		}
		return
	}
	if e, ok := errors.AsType[*sandbox.Error](v.startErr); ok && e.Kind == sandbox.NotFound && e.Cause == sandbox.CauseAgentLost {
		s.journal.fail(m.of, sandbox.Exit{Code: 1, Cause: e.Cause, Evidence: e.Detail})
		s.done(c, m.of)
		return
	}
	switch sandbox.KindOf(v.startErr) {
	case sandbox.Invalid, sandbox.Unsupported, sandbox.NotFound, sandbox.Exhausted, sandbox.Unavailable, sandbox.Conflict, sandbox.NoSpace:
		s.journal.refuse(m.of, v.startErr)
		s.done(c, m.of)
	case sandbox.Stopped: // its death is on its way
	case sandbox.Other, sandbox.Timeout, sandbox.Canceled:
		if s.life.Err() != nil {
			return // the daemon ends, and with it the session
		}
		s.opts.Logger.Error("sandbox cannot start an execution", "request", m.of.exec.Request, "err", v.startErr)
		s.lose(c, s.journal.sandbox(), sandbox.Death{
			Cause: sandbox.CauseAgentLost, Evidence: "the agent did not start an execution",
		}, nil)
	}
}

// done ends the care for an execution, and lets the next begin.
func (s *state) done(c actor.Context, x *execution) {
	t := s.tasks[x]
	if t == nil {
		return
	}
	t.stopTimers()
	delete(s.tasks, x)
	l := s.lane(x)
	if t.running {
		l.running--
	} else {
		l.waiting = slices.DeleteFunc(l.waiting, func(other *task) bool { return other == t })
	}
	s.advance(c)
}

// expired drops an execution that waited too long.
func (s *state) expired(c actor.Context, m *expired) {
	t := s.tasks[m.of]
	if t == nil || t.running {
		return
	}
	s.journal.refuse(m.of, &sandbox.Error{
		Op: "execute", ID: s.journal.name, Kind: sandbox.Timeout,
		Detail: fmt.Sprintf("it waited %s for its turn in the session and never ran", s.opts.QueueWait),
		Remedy: "use another session, or wait for the work in this one to end",
	})
	s.done(c, m.of)
}

// overdue gives up a sandbox whose agent did not enforce a deadline.
func (s *state) overdue(c actor.Context, m *overdue) {
	if t := s.tasks[m.of]; t == nil || !t.running || s.journal.look(m.of).phase != running {
		return
	}
	s.lose(c, s.journal.sandbox(), sandbox.Death{
		Cause:    sandbox.CauseAgentLost,
		Evidence: fmt.Sprintf("an execution went on %s past its deadline", s.opts.Overdue),
	}, m.of)
}

// cancel drops an execution that waits, and interrupts one that runs.
func (s *state) cancel(c actor.Context, m *cancel) {
	t := s.tasks[m.of]
	if t == nil || !s.journal.cancel(m.of) {
		return
	}
	if !t.running {
		s.journal.refuse(m.of, &sandbox.Error{Op: "execute", ID: s.journal.name, Kind: sandbox.Canceled, Detail: "it was cancelled before it ran"})
		s.done(c, m.of)
		return
	}
	if s.journal.look(m.of).start == returned { // else started sees to it
		s.interrupt(c, t)
	}
}

// target looks for whom a signal is. To drop what waits is all that a signal
// means there.
func (s *state) target(c actor.Context, m *interrupting) {
	x := s.journal.find(m.id)
	if x == nil || s.journal.look(x).phase > running {
		c.Respond(&target{})
		return
	}
	if t := s.tasks[x]; t != nil && !t.running {
		s.cancel(c, &cancel{x})
		c.Respond(&target{})
		return
	}
	s.journal.signal(x)
	c.Respond(&target{x})
}

// interrupt asks an execution to end, and sees to it that it does.
func (s *state) interrupt(c actor.Context, t *task) {
	if t.heed != nil {
		return
	}
	t.heed = s.after(c, s.opts.Heed, &unheeded{t.x})
	s.signal(t.x, sandbox.Interrupt)
}

func (s *state) unheeded(m *unheeded) {
	if t := s.tasks[m.of]; t != nil && t.running && s.journal.look(m.of).phase == running {
		s.signal(m.of, sandbox.Kill)
	}
}

// signal sends a signal in a goroutine. That it failed is only logged: the end
// of the execution, or its deadline, is what counts.
func (s *state) signal(x *execution, signal sandbox.Signal) {
	box, opts, life := s.journal.sandbox(), s.opts, s.life
	if box == nil {
		return
	}
	go func() {
		err := Caught(opts.Logger, func() error {
			ctx, stop := context.WithTimeout(life, opts.CallLimit)
			defer stop()
			return box.Signal(ctx, x.id, signal)
		})
		if err != nil {
			opts.Logger.Warn("signal not sent", "request", x.exec.Request, "signal", string(signal), "err", err)
		}
	}()
}

// lose gives up a sandbox. Who waits in the queue waits for a fresh one. The
// execution of, if any, is the one that overran its time.
func (s *state) lose(c actor.Context, box sandbox.Sandbox, death sandbox.Death, of *execution) {
	if !s.journal.has(box) {
		return
	}
	death = told(death)
	s.lost(box, death) // before anybody else learns of it
	over := s.journal.lose(box, death, of, sandbox.CauseWallTimeout)
	s.opts.Logger.Warn("sandbox failed", "sandbox", string(box.ID()), "cause", string(death.Cause), "evidence", death.Evidence)
	s.journal.stopPump()
	for _, x := range over {
		s.done(c, x)
	}
}

// offered adopts the fresh sandbox, if there is one.
func (s *state) offered(c actor.Context) {
	if s.journal.adopt() {
		s.mourn(c, s.journal.sandbox()) // it may have died before it was ours
	}
	s.advance(c)
}
