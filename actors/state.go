package actors

import (
	"context"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/sandbox"
)

// state is what only Receive, and what it calls, may touch. All of it can be
// made again from the journal.
type state struct {
	life    context.Context // the daemon's
	journal *journal
	lost    func(sandbox.Sandbox, sandbox.Death)
	opts    Options

	code     lane
	commands lane
	tasks    map[*execution]*task // those that are not finished
}

// A lane is where executions of a sort run, so many side by side.
type lane struct {
	width   int
	running int
	waiting []*task
}

// A task is an execution as this incarnation looks after it.
type task struct {
	x       *execution
	running bool
	limit   *time.Timer // of the wait, then of the run
	heed    *time.Timer // of the interrupt; nil when there was none
}

func (t *task) stopTimers() {
	for _, timer := range []*time.Timer{t.limit, t.heed} {
		if timer != nil {
			timer.Stop()
		}
	}
}

func newState(life context.Context, j *journal, lost func(sandbox.Sandbox, sandbox.Death), opts Options) *state {
	return &state{
		life: life, journal: j, lost: lost, opts: opts,
		code: lane{width: 1}, commands: lane{width: opts.Commands},
		tasks: map[*execution]*task{},
	}
}

// Receive implements [actor.Actor]. It only dispatches.
func (s *state) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case message:
		s.handle(c, m)
	case *actor.Started:
		s.rebuild(c)
	case *actor.Restarting: // whatever runs goes on
		s.rest()
	case *actor.Stopping:
		s.rest()
		s.journal.end()
	}
}

func (s *state) handle(c actor.Context, m message) {
	switch m := m.(type) {
	case *run:
		s.run(c, m)
	case *cancel:
		s.cancel(c, m)
	case *interrupting:
		s.target(c, m)
	case *subscribe:
		c.Respond(&subscribed{s.journal.log.Subscribe(m.after)})
	case *started:
		s.started(c, m)
	case *ended:
		s.done(c, m.of)
	case *expired:
		s.expired(c, m)
	case *overdue:
		s.overdue(c, m)
	case *unheeded:
		s.unheeded(m)
	case *died:
		s.lose(c, m.box, m.box.Death(), nil)
	case *broken:
		s.lose(c, m.box, sandbox.Death{Cause: sandbox.CauseAgentLost, Evidence: m.evidence}, nil)
	case *offered:
		s.offered(c)
	case *attached:
		s.attached(c, m)
	}
}

// rest stops what this incarnation has going for itself.
func (s *state) rest() {
	for _, t := range s.tasks {
		t.stopTimers()
	}
	s.journal.stopPump()
}

// rebuild takes over what the journal holds: nothing at the birth of a session,
// and after a panic all that was under way.
func (s *state) rebuild(c actor.Context) {
	if s.journal.isOver() {
		return // a restart that was asked for before the end
	}
	s.journal.ready()
	box := s.journal.sandbox()
	var asked []*execution
	for _, x := range s.journal.unfinished() {
		switch v := s.journal.look(x); v.phase {
		case queued:
			s.enqueue(c, x)
		case running:
			s.adopt(c, x, v)
			if v.start == returned && v.startErr == nil {
				asked = append(asked, x)
			} else {
				s.resumeStart(c, x, v, box)
			}
		case exited, finished: // who flushes tells
		}
	}
	s.mourn(c, box)
	if len(asked) > 0 && box != nil {
		s.attach(c, box, asked)
	}
	s.offered(c)
}

// mourn looks whether the sandbox was lost while nobody could be told.
func (s *state) mourn(c actor.Context, box sandbox.Sandbox) {
	if gone := s.journal.lost(); gone != nil {
		s.lost(gone.box, gone.death)
	}
	if box == nil {
		return
	}
	select {
	case <-box.Dead():
		c.Send(c.Self(), &died{box})
	default:
	}
}

// adopt looks after an execution that an earlier incarnation began.
func (s *state) adopt(c actor.Context, x *execution, v view) {
	s.lane(x).running++
	t := &task{x: x, running: true}
	t.limit = s.after(c, max(0, v.deadline-s.opts.Clock())+s.opts.Overdue, &overdue{x})
	s.tasks[x] = t
	s.drain(c)
	if v.canceled {
		s.interrupt(c, t)
	}
}

// resumeStart goes on where the handing over of x was when the actor panicked.
func (s *state) resumeStart(c actor.Context, x *execution, v view, box sandbox.Sandbox) {
	switch v.start {
	case notCalled:
		if box != nil {
			s.handOver(c, x, v.deadline, box)
		}
	case calling: // its goroutine tells when it is done
	case returned:
		c.Send(c.Self(), &started{x})
	}
}

// attach asks the sandbox which of the executions it still knows.
func (s *state) attach(c actor.Context, box sandbox.Sandbox, asked []*execution) {
	self, root, opts, life := c.Self(), c.ActorSystem().Root, s.opts, s.life // c and s stay here
	go func() {
		m := &attached{box: box}
		err := Caught(opts.Logger, func() (err error) {
			ctx, stop := context.WithTimeout(life, opts.CallLimit)
			defer stop()
			m.known, err = box.Executions(ctx)
			return err
		})
		if err != nil { // what it runs is told by its frames, or by its death
			opts.Logger.Warn("sandbox does not tell its executions", "err", err)
			return
		}
		m.asked = asked
		root.Send(self, m)
	}()
}

func (s *state) attached(c actor.Context, m *attached) {
	if s.journal.sandbox() != m.box {
		return
	}
	for _, x := range m.asked {
		knows := slices.ContainsFunc(m.known, func(e sandbox.ExecState) bool { return e.ID == x.id })
		if knows || s.journal.look(x).phase != running {
			continue
		}
		s.journal.fail(x, sandbox.Exit{Code: 1, Cause: sandbox.CauseAgentLost, Evidence: "the sandbox does not know it any more"})
		s.done(c, x)
	}
}

// after sends m to the actor after a while. The message may come late, when it
// is not wanted any more.
func (s *state) after(c actor.Context, wait time.Duration, m message) *time.Timer {
	self, root := c.Self(), c.ActorSystem().Root
	return time.AfterFunc(wait, func() { root.Send(self, m) })
}
