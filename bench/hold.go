package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Hold measures what an idle Python session costs, all memory counted: it
// makes N sessions that have run code, and divides the fall of MemAvailable
// among them. It uses each of them a second time, measures calls while they are
// there, and stops them. With a Scale it does so at each of its numbers, so that
// it shows whether an operation costs more when there are more sessions. The
// daemon must be on this machine, and nothing else should be busy. N is 100 by
// default. Where a number is not reached, the result of those before comes with
// the error.
func Hold(ctx context.Context, o Options) (r *Result, err error) {
	o = o.withDefaults(4, 100)
	if err := o.check(); err != nil {
		return nil, err
	}
	if len(o.Scale) == 0 {
		o.Scale = []int{o.N}
	}
	o.N = o.Scale[len(o.Scale)-1]
	if host, _, err := hostPort(o.URL); err != nil || !isLoopback(host) {
		return nil, fmt.Errorf("hold measures this machine's memory, but %s is not on it: run it beside the daemon", o.URL)
	}
	c := newClient(o, max(o.Clients, stoppers))
	defer c.close()
	h := &holding{client: c, options: o}
	if h.resident, err = residentOf(o); err != nil {
		o.note("tasks and descriptors of held sessions: %v", err)
	}
	if _, err := h.rest(ctx); err != nil { // what a workload before left is still given back
		return nil, err
	}
	if h.base, err = idleBaseline(ctx, o.Python, min(o.N, 50), o.Settle); err != nil {
		return nil, err
	}
	// One session before, so that what is made once is there already.
	defer func() { c.finish(ctx, h.there, &err) }()
	if err := h.make(ctx, 1, newMeter()); err != nil {
		return nil, err
	}
	r = &Result{Workload: "hold", Clients: o.Clients, N: o.N}
	err = h.run(ctx, r)
	if len(r.Figures) == 0 {
		return nil, err
	}
	return r, err
}

const stoppers = 8 // stop sessions at once

// A holding is the sessions that are held.
type holding struct {
	client   *client
	options  Options
	resident *resident // nil when it cannot be looked at
	base     float64   // bytes of a bare idle interpreter
	there    int       // sessions: the first, which is not counted, and those held
	before   *stock    // any session was held
}

// A heldStep is what some number of sessions costs.
type heldStep struct {
	n              int
	create, second *hdrhistogram.Histogram
	meanwhile      *hdrhistogram.Histogram
	each           float64 // milliseconds of wall for each session made
	share                  // of a session
	stop           float64 // milliseconds of wall for each session stopped
}

func (h *holding) run(ctx context.Context, r *Result) (err error) {
	if h.before, err = h.rest(ctx); err != nil {
		return err
	}
	began := time.Now()
	steps, failed := h.climb(ctx)
	if ctx.Err() != nil {
		return errors.Join(failed, context.Cause(ctx))
	}
	if len(steps) == 0 {
		return failed
	}
	r.Wall = time.Since(began)
	last := steps[len(steps)-1]
	if failed == nil {
		failed = h.descend(ctx, steps)
	}
	h.figures(r, last)
	if len(steps) > 1 {
		h.scale(r, steps)
	}
	echo, _, err := echoBaseline(ctx, 1, time.Second)
	if err != nil {
		return errors.Join(failed, err)
	}
	r.Latency = last.meanwhile
	r.latencies("call meanwhile", "bare echo", echo)
	return failed
}

// climb holds more and more sessions, and returns the numbers that it reached.
func (h *holding) climb(ctx context.Context) (steps []*heldStep, err error) {
	for _, n := range h.options.Scale {
		s, err := h.step(ctx, n)
		if err != nil {
			return steps, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// descend stops them, number by number.
func (h *holding) descend(ctx context.Context, steps []*heldStep) error {
	for i, s := range slices.Backward(steps) {
		down := 0
		if i > 0 {
			down = steps[i-1].n
		}
		if err := h.stop(ctx, 1+down, s); err != nil {
			return err
		}
	}
	return nil
}

// make makes sessions until there are so many. Each has run code that the second
// use asks for.
func (h *holding) make(ctx context.Context, total int, m *meter) error {
	first, n := h.there, total-h.there
	h.there = total
	return each(ctx, h.options.Clients, n, func(ctx context.Context, _, i int) error {
		due := time.Now()
		err := h.client.expect(ctx, h.client.session(first+i), "kept = 1\nkept + 1", "2")
		if err == nil {
			m.since(due)
		}
		return err
	})
}

// step holds so many sessions, beside the first, and looks at what they cost.
func (h *holding) step(ctx context.Context, n int) (*heldStep, error) {
	made := 1 + n - h.there
	m := newMeter()
	stopWatch := h.options.watch(fmt.Sprintf("hold %d, create", n), made, m)
	began := time.Now()
	err := h.make(ctx, 1+n, m)
	stopWatch()
	if err != nil {
		return nil, err
	}
	s := &heldStep{n: n, create: m.latency, each: time.Since(began).Seconds() * 1000 / float64(made)}
	if err := h.cost(ctx, s); err != nil {
		return nil, err
	}
	m = newMeter()
	stopWatch = h.options.watch(fmt.Sprintf("hold %d, second use", n), n, m)
	err = each(ctx, h.options.Clients, n, func(ctx context.Context, _, i int) error {
		due := time.Now()
		err := h.client.expect(ctx, h.client.session(1+i), "kept + 1", "2") // the same session: its variable is there
		if err == nil {
			m.since(due)
		}
		return err
	})
	stopWatch()
	if err != nil {
		return nil, err
	}
	s.second = m.latency
	s.meanwhile, _, err = hammer(ctx, h.client, 1, time.Second)
	return s, err
}

// cost measures what the sessions have of the machine.
func (h *holding) cost(ctx context.Context, s *heldStep) error {
	now, err := h.rest(ctx)
	if err != nil {
		return err
	}
	added := now.added(h.before, s.n)
	if added < (s.n+1)/2 {
		h.options.note("what a session costs is uncertain: pools have %d sandboxes less than before, so that %d sessions made only %d more", h.before.ready-now.ready, s.n, added)
	}
	s.share = now.share(h.before, added)
	return nil
}

// stop stops the sessions from one on.
func (h *holding) stop(ctx context.Context, from int, s *heldStep) error {
	n := h.there - from
	m := newMeter()
	stopWatch := h.options.watch("hold, stop", n, m)
	began := time.Now()
	err := each(ctx, stoppers, n, func(ctx context.Context, _, i int) error {
		due := time.Now()
		err := h.client.stop(ctx, h.client.session(from+i))
		if err == nil {
			m.since(due)
		}
		return err
	})
	stopWatch()
	if err != nil {
		return err
	}
	h.there = from
	s.stop = time.Since(began).Seconds() * 1000 / float64(n)
	return nil
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// figures adds those of the largest number of sessions.
func (h *holding) figures(r *Result, s *heldStep) {
	r.compare("memory of an idle Python session", s.memory/mib, "MiB", "bare idle python3", h.base/mib)
	r.add("sessions held", float64(1+s.n), "")
	if h.resident != nil {
		r.fewer("tasks a session", s.tasks)
		r.fewer("daemon's descriptors a session", s.descriptors)
		r.add("daemon's memory a session", s.daemon/kib, "KiB")
	}
	r.add("new session to first result p50", millis(s.create.ValueAtQuantile(50)), "ms")
	r.add("new session to first result p99", millis(s.create.ValueAtQuantile(99)), "ms")
	r.add("second use p50", millis(s.second.ValueAtQuantile(50)), "ms")
	r.add("second use p99", millis(s.second.ValueAtQuantile(99)), "ms")
	if s.stop > 0 {
		r.add("stop of each", s.stop, "ms")
	}
}

// scale adds what an operation costs at each number of sessions, as figures and
// as lines of a chart.
func (h *holding) scale(r *Result, steps []*heldStep) {
	for _, x := range []struct {
		name, unit string
		of         func(*heldStep) float64
		known      bool
	}{
		{"create, each", "ms", func(s *heldStep) float64 { return s.each }, true},
		{"create p99", "ms", func(s *heldStep) float64 { return millis(s.create.ValueAtQuantile(99)) }, true},
		{"second use p50", "ms", func(s *heldStep) float64 { return millis(s.second.ValueAtQuantile(50)) }, true},
		{"second use p99", "ms", func(s *heldStep) float64 { return millis(s.second.ValueAtQuantile(99)) }, true},
		{"warm call p50", "ms", func(s *heldStep) float64 { return millis(s.meanwhile.ValueAtQuantile(50)) }, true},
		{"warm call p99", "ms", func(s *heldStep) float64 { return millis(s.meanwhile.ValueAtQuantile(99)) }, true},
		{"stop, each", "ms", func(s *heldStep) float64 { return s.stop }, steps[0].stop > 0},
		{"memory of a session", "MiB", func(s *heldStep) float64 { return s.memory / mib }, true},
		{"tasks a session", "", func(s *heldStep) float64 { return s.tasks }, h.resident != nil},
		{"daemon's memory a session", "KiB", func(s *heldStep) float64 { return s.daemon / kib }, h.resident != nil},
	} {
		if !x.known {
			continue
		}
		line := Series{Name: x.name, XUnit: "sessions", Unit: x.unit}
		for _, s := range steps {
			r.add("at "+strconv.Itoa(s.n)+": "+x.name, x.of(s), x.unit)
			line.Points = append(line.Points, [2]float64{float64(s.n), x.of(s)})
		}
		r.Series = append(r.Series, line)
	}
}
