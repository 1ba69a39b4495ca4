package supervision

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

// open hands out the session of a name, or puts it in the line for admission.
func (s *state) open(c actor.Context, m *open) {
	s.openFor(c, asker{c.Sender(), m})
}

func (s *state) openFor(c actor.Context, asks asker) {
	m := asks.open
	name := m.spec.Session
	if s.closing {
		reply(c, asks.pid, shuttingDown("create", name))
		return
	}
	if sl := s.names[m.spec.Ref()]; sl != nil {
		s.join(c, sl, asks)
		return
	}
	now, want := s.room(c), claimOf(&m.spec) // room may panic: it is the host's to answer
	switch {
	case s.opts.MaxMemoryMB > 0 && want.memory > s.opts.MaxMemoryMB:
		reply(c, asks.pid, now.refusal(name, want, "this flavor alone is over the memory that sessions may have", nil))
		return
	case s.opts.MaxCPUs > 0 && want.cpus > s.opts.MaxCPUs:
		reply(c, asks.pid, now.refusal(name, want, "this flavor alone is over the processors that sessions may have", nil))
		return
	case !s.makeWay(c, want.owner, now):
		reply(c, asks.pid, now.refusal(name, want, "", nil))
		return
	}
	sl := &slot{
		id: random(8), spec: m.spec, asked: m.asked, made: time.Now(), previous: s.previous(m.spec.Ref()), askers: []asker{asks},
		lacks: s.backend.Capabilities().Unenforced,
	}
	s.names[sl.ref()] = sl
	s.queue = append(s.queue, sl)
	s.admitInto(c, now)
	s.attend(c, sl, now)
}

// attend sees to it that a session that was not admitted at once does not wait
// for ever.
func (s *state) attend(c actor.Context, sl *slot, now room) {
	if sl.phase != waiting {
		return
	}
	if s.opts.AdmissionWait < 0 {
		s.refuse(c, sl, now.refusal(sl.spec.Session, sl.claim(), "", nil))
		return
	}
	self, root := c.Self(), c.ActorSystem().Root
	sl.lapse = time.AfterFunc(s.opts.AdmissionWait, func() { root.Send(self, &lapsed{sl}) })
	s.awake(c)
}

// join lets an asker have a session that has a name already.
func (s *state) join(c actor.Context, sl *slot, asks asker) {
	holders := int(sl.use.holders.Load())
	if max(len(sl.askers), holders) >= maxAskers {
		reply(c, asks.pid, &sandbox.Error{
			Op: "execute", ID: sl.spec.Session, Kind: sandbox.Exhausted,
			Limit:  &sandbox.Limit{Resource: "queue", Current: int64(maxAskers), Max: int64(maxAskers)},
			Detail: "too many calls use this session at once", Remedy: "use more sessions",
		})
		return
	}
	if sl.phase != live {
		sl.askers = append(sl.askers, asks)
		return
	}
	asks.open.hold.take(sl.session, &sl.use)
	reply(c, asks.pid, &opened{session: sl.snapshot()})
}

// refuse answers all who wait for a session that is not made.
func (s *state) refuse(c actor.Context, sl *slot, err error) {
	if sl.lapse != nil {
		sl.lapse.Stop()
	}
	s.queue = slices.DeleteFunc(s.queue, func(other *slot) bool { return other == sl })
	s.shared.waiting.Store(int64(len(s.queue)))
	if s.names[sl.ref()] == sl {
		delete(s.names, sl.ref())
	}
	askers := sl.askers
	sl.askers, sl.phase = nil, ending
	for _, a := range askers {
		reply(c, a.pid, err)
	}
}

func (s *state) lapsed(c actor.Context, m *lapsed) {
	if m.of.phase == waiting {
		now := s.room(c)
		s.refuse(c, m.of, now.refusal(m.of.spec.Session, m.of.claim(), "", s.place(m.of)))
	}
}

// room is what there is and what may be, now.
func (s *state) room(c actor.Context) room {
	r := room{
		sessions: len(s.booked), maxSessions: s.opts.MaxSessions,
		memory: s.memory, maxMemory: s.opts.MaxMemoryMB, cpus: s.cpus, maxCPUs: s.opts.MaxCPUs,
		held: s.held, maxHeld: s.opts.MaxOwned,
		host: boundless, relieved: time.Since(s.evicted) < tickEvery,
	}
	for sl := range s.booked {
		if sl.phase == ending {
			r.going = append(r.going, sl.claim())
		}
	}
	s.seen.host(&r, s.unseen())
	switch age := time.Since(s.seen.at); {
	case age > lookStale, r.host < plenty:
		s.seeHost()
		r.host = boundless
		s.seen.host(&r, s.unseen())
	case age > lookEvery:
		s.lookBeside(c)
	}
	return r
}

// admit makes what there is room for, and room for what waits.
func (s *state) admit(c actor.Context) {
	if len(s.queue) > 0 && !s.closing {
		s.admitInto(c, s.room(c))
	}
}

func (s *state) admitInto(c actor.Context, now room) {
	s.forsake()
	s.shared.waiting.Store(int64(len(s.queue))) // before the idle are looked for: who becomes idle later tells
	line := s.line()
	wants := claims(line)
	admitted, evicted := now.plan(wants, nil)
	var candidates []*slot
	if len(admitted) < len(wants) && !s.opts.NoEviction {
		candidates = s.idlers()
		admitted, evicted = now.plan(wants, claims(candidates))
	}
	for _, i := range admitted {
		s.book(c, line[i])
	}
	for _, i := range evicted {
		sl := candidates[i]
		since, _ := sl.idle()
		if !sl.use.seal() { // somebody came for it just now, and tells when he is done
			continue
		}
		s.opts.Logger.Info("session evicted", "session", sl.spec.Session, "flavor", sl.spec.Flavor.Name, "idle", time.Since(since))
		s.evicted = time.Now()
		s.end(c, sl, sandbox.CauseEvicted)
	}
	s.shared.waiting.Store(int64(len(s.queue)))
}

// forsake takes out of the line what nobody waits for any more.
func (s *state) forsake() {
	s.queue = slices.DeleteFunc(s.queue, func(sl *slot) bool {
		if slices.ContainsFunc(sl.askers, func(a asker) bool { return !a.open.hold.abandoned() }) {
			return false
		}
		if sl.lapse != nil {
			sl.lapse.Stop()
		}
		sl.phase = ending
		delete(s.names, sl.ref())
		return true
	})
}

// idlers are the sessions that nobody uses, least recently used first.
func (s *state) idlers() []*slot {
	since := map[*slot]time.Time{}
	for sl := range s.booked {
		if at, ok := sl.idle(); ok {
			since[sl] = at
		}
	}
	all := make([]*slot, 0, len(since))
	for sl := range since {
		all = append(all, sl)
	}
	slices.SortFunc(all, func(a, b *slot) int {
		return cmp.Or(since[a].Compare(since[b]), cmp.Compare(a.number, b.number))
	})
	return all
}

// book gives a session its place and begins to make its sandbox.
func (s *state) book(c actor.Context, sl *slot) {
	if sl.lapse != nil {
		sl.lapse.Stop()
	}
	s.queue = slices.DeleteFunc(s.queue, func(other *slot) bool { return other == sl })
	s.numbers++
	s.opts.Meter.SessionAdmitted(sl.spec.Template.Name, sl.spec.Flavor.Name, time.Since(sl.made))
	sl.phase, sl.number, sl.made = creating, s.numbers, time.Now()
	s.booked[sl] = struct{}{}
	s.memory += int64(sl.spec.Flavor.MemoryMB)
	s.cpus += sl.spec.Flavor.CPUs
	s.held[sl.spec.Owner]++
	s.served[sl.spec.Owner] = s.numbers
	s.make(c, sl)
	s.awake(c)
}

// unbook gives a place back.
func (s *state) unbook(sl *slot) {
	delete(s.booked, sl)
	s.memory -= int64(sl.spec.Flavor.MemoryMB)
	s.cpus -= sl.spec.Flavor.CPUs
	if s.held[sl.spec.Owner]--; s.held[sl.spec.Owner] <= 0 {
		delete(s.held, sl.spec.Owner)
	}
}

// make begins to make a sandbox, in a goroutine whose end is created.
func (s *state) make(c actor.Context, sl *slot) {
	ctx, cancel := context.WithTimeout(s.life, s.opts.CreateLimit)
	sl.coming, sl.making = newSandboxID(), cancel
	sl.things++
	self, root, backend, logger := c.Self(), c.ActorSystem().Root, s.backend, s.opts.Logger // c and s stay here
	id, spec, meter, began, begin := sl.coming, sl.spec, s.opts.Meter, time.Now(), s.beginner(sl)
	logger.Debug("sandbox being made", "session", spec.Session, "sandbox", string(id), "template", spec.Template.Name)
	go func() {
		defer cancel()
		end := &created{of: sl}
		end.err = actors.Caught(logger, func() (err error) {
			end.box, err = backend.Create(ctx, id, spec)
			return err
		})
		if end.err != nil {
			end.box = nil
		}
		meter.SandboxMade(spec.Template.Name, time.Since(began), end.err)
		if end.err == nil && begin != nil {
			end.record, end.err = begin()
		}
		root.Send(self, end)
	}()
}

// created takes a sandbox in, for a session that begins or one that lost its
// own.
func (s *state) created(c actor.Context, m *created) {
	sl := m.of
	sl.making = nil
	if m.record != nil {
		sl.record = m.record
	}
	switch {
	case m.err != nil && m.box != nil: // it could not be recorded
		s.destroy(c, sl, m.box)
		s.stillborn(c, sl, m.err)
	case m.err != nil && sl.phase == live:
		sl.things--
		s.opts.Logger.Warn("sandbox not made", "session", sl.spec.Session, "err", m.err)
		s.failed(c, sl, sandbox.CauseCrashed)
	case m.err != nil:
		sl.things--
		s.stillborn(c, sl, m.err)
	case sl.phase == ending:
		s.destroy(c, sl, m.box)
		s.discard(sl)
	case sl.phase == live:
		sl.box = m.box
		if !sl.session.Replace(m.box) {
			sl.box = nil
			s.destroy(c, sl, m.box)
		}
	default:
		s.deliver(c, sl, m.box, nil)
	}
}

// stillborn gives back the place of a session whose first sandbox could not be
// made.
func (s *state) stillborn(c actor.Context, sl *slot, err error) {
	if sl.phase != ending { // else its askers were answered
		s.opts.Logger.Warn("session not made", "session", sl.spec.Session, "err", err)
		s.refuse(c, sl, actors.Refusal("create", sl.spec.Session, err))
	}
	s.settle(c, sl)
}

// deliver spawns the actor of a session and answers those who wait for it.
func (s *state) deliver(c actor.Context, sl *slot, box sandbox.Sandbox, recalled actors.Recalled) {
	self, root := c.Self(), c.ActorSystem().Root
	session, err := actors.Spawn(s.life, c, actors.Birth{
		Name: sl.spec.Session, ID: sl.id, Box: box, Ledger: sl.record, Recalled: recalled, All: s.shared.logs.owned(sl.spec.Owner),
		Lost: func(box sandbox.Sandbox, death sandbox.Death) { root.Send(self, &lost{sl, box, death}) },
	}, s.opts.Session)
	if err != nil {
		s.refuse(c, sl, err)
		s.destroy(c, sl, box)
		s.discard(sl)
		return
	}
	s.shared.live.Store(sl.id, &resident{session, &sl.use, sl.spec.Owner})
	sl.session, sl.box, sl.phase = session, box, live
	sl.things++
	s.actors[session.PID().Id] = sl
	s.publish(sl)
	s.tellReady(sl)
	askers := sl.askers
	sl.askers = nil
	snapshot, first := sl.snapshot(), !sl.restored
	for _, a := range askers {
		if a.open.hold.take(session, &sl.use) {
			reply(c, a.pid, &opened{session: snapshot, created: first})
			first = false
		}
	}
}
