package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Soak works in all ways at once for a long time, and looks at what the daemon
// grows by: calls on sessions that stay, sessions that come and go, output that
// is long, readers of live output. Every answer is checked. Clients is 8 by
// default, each with a session that stays; the duration is 1 m. With a rate so
// many things are done a second.
func Soak(ctx context.Context, o Options) (r *Result, err error) {
	if o.Duration == 0 {
		o.Duration = time.Minute
	}
	o = o.withDefaults(8, 0)
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Rate > 0 {
		o.InFlight = min(o.InFlight, perSession*o.Clients)
	}
	c := newClient(o, 2*max(o.Clients, o.InFlight))
	defer c.close()
	defer c.finish(ctx, o.Clients, &err)
	s := &soaking{client: c, options: o, all: newMeter()}
	err = each(ctx, min(o.Clients, 4), o.Clients, func(ctx context.Context, _, i int) error {
		return c.expect(ctx, c.session(i), "kept = 1\nkept + 1", "2")
	})
	if err != nil {
		return nil, err
	}
	d, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	r = &Result{Workload: "soak", Clients: o.Clients, N: d.begun, Wall: d.wall, Latency: s.all.latency}
	r.scheduled(o, d)
	return r, s.figures(ctx, r)
}

// A soaking is one run of Soak.
type soaking struct {
	client  *client
	options Options
	all     *meter
	made    atomic.Int64 // sessions
	samples samples
}

func (s *soaking) run(ctx context.Context) (driven, error) {
	resident, err := residentOf(s.options)
	if err != nil {
		s.options.note("the daemon's growth: %v", err)
	}
	l := s.options.load()
	sampling, stop := context.WithCancel(ctx)
	var sampler sync.WaitGroup
	sampler.Go(func() { s.samples.take(sampling, resident, max(s.options.Duration/100, 200*time.Millisecond)) })
	stopWatch := s.options.watch("soak", l.total(), s.all)
	d, err := l.drive(ctx, s.work)
	stopWatch()
	stop()
	sampler.Wait()
	return d, err
}

// work is one thing, drawn by lot: which follows from the seed and its number.
func (s *soaking) work(ctx context.Context, worker, i int, due time.Time) error {
	lot := rand.New(rand.NewPCG(s.options.Seed, uint64(i))).IntN(100) //nolint:gosec // load, not secrets
	c, session := s.client, s.client.session(worker%s.options.Clients)
	var err error
	switch {
	case lot < 60:
		err = c.expect(ctx, session, "kept + 1", "2")
	case lot < 80:
		err = s.passing(ctx, s.options.Clients+i)
	case lot < 95:
		err = c.long(ctx, session)
	default:
		err = s.live(ctx, s.options.Clients+i)
	}
	if err == nil {
		s.all.since(due)
	}
	return err
}

// passing is a session that is made, used and stopped.
func (s *soaking) passing(ctx context.Context, i int) error {
	s.made.Add(1)
	if err := s.client.add(ctx, s.client.session(i)); err != nil {
		return err
	}
	return s.client.stop(ctx, s.client.session(i))
}

// long has a session print much, and checks all of it.
func (c *client) long(ctx context.Context, session string) error {
	const lines = 500
	got, err := c.execute(ctx, session, printing(lines))
	if want := printed(lines); err == nil && got != want && got != strings.TrimSuffix(want, "\n") { // MCP leaves the last one out
		err = fmt.Errorf("an answer has %d bytes that are not the %d that were printed", len(got), lines*lineLength)
	}
	return err
}

// live is a session whose output somebody reads while it comes.
func (s *soaking) live(ctx context.Context, i int) error {
	const lines = 200
	s.made.Add(1)
	c, session := s.client, s.client.session(i)
	if err := c.add(ctx, session); err != nil {
		return err
	}
	past := &reader{bound: kib}
	body, err := c.subscribe(ctx, session, 0)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it is an endless one
	past.body = body
	if err := past.follow(); err != nil {
		return err
	}
	now, err := c.subscribe(ctx, session, past.cursor)
	if err != nil {
		return err
	}
	defer func() { _ = now.Close() }()
	if _, err := c.execute(ctx, session, printing(lines)); err != nil {
		return err
	}
	r := &reader{body: now, bound: lines * lineLength}
	if err := r.follow(); err != nil {
		return err
	}
	if string(r.output) != printed(lines) {
		return fmt.Errorf("a reader got %d bytes that are not the %d that were printed", len(r.output), lines*lineLength)
	}
	return c.stop(ctx, session)
}

// figures adds what was done, and what the daemon grew by after the first tenth
// of the time, in which it grows to what it needs.
func (s *soaking) figures(ctx context.Context, r *Result) error {
	echo, _, err := echoBaseline(ctx, s.options.Clients, min(s.options.Duration, 2*time.Second))
	if err != nil {
		return err
	}
	r.latencies("any of them", "bare echo", echo)
	r.add("things done", float64(r.N)/r.Wall.Seconds(), "/s")
	r.add("sessions that came and went", float64(s.made.Load()), "")
	r.Series = append(r.Series, s.all.course("things done"))
	return s.samples.figures(r)
}

// samples are looks at a daemon over time.
type samples struct {
	at    []float64 // seconds since the first
	rss   []float64 // MiB
	fds   []float64
	tasks []float64
	err   error
}

// maxSamples bounds what is kept, at one a second for a day.
const maxSamples = maxSeconds

// take looks again and again, until ctx ends.
func (s *samples) take(ctx context.Context, r *resident, every time.Duration) {
	if r == nil {
		return
	}
	began := time.Now()
	for len(s.at) < maxSamples {
		f, err := r.look()
		if err != nil {
			s.err = err
			return
		}
		s.at = append(s.at, time.Since(began).Seconds())
		s.rss = append(s.rss, float64(f.rss)/mib)
		s.fds = append(s.fds, float64(f.descriptors))
		s.tasks = append(s.tasks, float64(f.tasks))
		if patient(ctx, every) != nil {
			return
		}
	}
}

// figures adds the growth, and the course as lines of a chart.
func (s *samples) figures(r *Result) error {
	if s.err != nil {
		return errors.Join(errors.New("the daemon was lost sight of"), s.err)
	}
	if len(s.at) == 0 {
		return nil
	}
	from, last := len(s.at)/10, len(s.at)-1
	r.compare("daemon's memory at the end", s.rss[last], "MiB", "after a tenth of the time", s.rss[from])
	if hours := (s.at[last] - s.at[from]) / 3600; hours > 1./60 { // less says nothing of an hour
		r.add("daemon's growth an hour", (s.rss[last]-s.rss[from])/hours, "MiB")
	}
	for _, x := range []struct {
		name, unit string
		values     []float64
	}{{"daemon's memory", "MiB", s.rss}, {"daemon's descriptors", "", s.fds}, {"tasks", "", s.tasks}} {
		line := Series{Name: x.name, XUnit: "s", Unit: x.unit}
		for i, v := range x.values {
			line.Points = append(line.Points, [2]float64{s.at[i], v})
		}
		r.Series = append(r.Series, line)
	}
	return nil
}
