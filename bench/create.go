package bench

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Create measures from a new session to its first result. Each of N calls
// names a session that does not exist. With one client (the default) they come
// one after the other and the session is stopped before the next: that shows
// the delay, and what can be kept up. With several clients the sessions stay
// until all are made; Burst is as many clients as sessions. With a rate they
// arrive for a while whether or not the ones before are there, and each is
// stopped when it has answered. N is 100 by default.
func Create(ctx context.Context, o Options) (*Result, error) {
	o = o.withDefaults(1, 100)
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Clients > 1 && o.Rate == 0 {
		return together(ctx, "create", o, &load{workers: o.Clients, n: o.N})
	}
	c := newClient(o, max(o.Clients, o.InFlight))
	defer c.close()
	l, m := o.load(), newMeter()
	l.d, l.n = 0, o.N // of clients that wait for answers; a schedule has its own end
	stopWatch := o.watch("create", l.total(), m)
	d, err := l.drive(ctx, func(ctx context.Context, _, i int, due time.Time) error {
		if err := c.add(ctx, c.session(i)); err != nil {
			return errors.Join(err, c.stopAll(ctx, i, 1, 1))
		}
		m.since(due)
		return c.stop(ctx, c.session(i))
	})
	stopWatch()
	if err != nil {
		return nil, err
	}
	r := &Result{Workload: "create", Clients: o.Clients, N: d.begun, Wall: d.wall, Latency: m.latency}
	r.scheduled(o, d)
	spawn, err := r.firstResults(ctx, o)
	if err != nil {
		return nil, err
	}
	r.pace("create, first result and stop", d, "bare python3", 1000/spawn)
	return r, nil
}

// errOwn says that a workload has to start a daemon.
var errOwn = errors.New("cold starts a daemon of its own, which it does without a url")

// Cold is Create where no sandbox is ready: on a daemon of its own that keeps
// none.
func Cold(ctx context.Context, o Options) (r *Result, err error) {
	if o.Environ == nil {
		return nil, errOwn
	}
	d, err := StartDaemon(ctx, DaemonOptions{Environ: append(slices.Clip(o.Environ), "SANDWARDEN_POOL_MIN=0"), Note: o.Note})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close(ctx)) }()
	o.URL = d.URL
	if r, err = Create(ctx, o); err != nil {
		return nil, err
	}
	r.Workload = "cold"
	return r, nil
}

// Burst measures N sessions that are asked for at once, each with a first
// result: until all have answered. It does so twice, with a rest between, since a
// daemon that makes sandboxes ahead learns how many are asked for: the result is
// the second, and a figure says how long the first took. N is 100 by default.
func Burst(ctx context.Context, o Options) (*Result, error) {
	o = o.withDefaults(1, 100)
	o.Clients = o.N
	if err := o.check(); err != nil {
		return nil, err
	}
	first, err := together(ctx, "burst", o, &load{workers: o.N, n: o.N})
	if err != nil {
		return nil, err
	}
	if err := patient(ctx, restFor*o.Settle); err != nil {
		return nil, err
	}
	r, err := together(ctx, "burst", o, &load{workers: o.N, n: o.N})
	if err == nil {
		r.add("the first burst, wall", first.Wall.Seconds()*1000, "ms")
	}
	return r, err
}

// restFor is how many times the time to settle there is between two bursts.
const restFor = 3

// Staggered measures N sessions that begin at an interval, whether or not the
// ones before have answered, each with a first result. The latency counts from
// when one was due. N is 100 by default, and the interval 50 ms.
func Staggered(ctx context.Context, o Options) (*Result, error) {
	o = o.withDefaults(1, 100)
	o.Clients, o.Arrival = o.N, Fixed
	o.Rate = float64(time.Second) / float64(o.Interval)
	o.Duration = min(o.Duration, time.Second) // it follows from the others
	if err := o.check(); err != nil {
		return nil, err
	}
	o.InFlight = o.N // none waits for another
	return together(ctx, "staggered", o, &load{workers: o.N, due: staggered(o.N, o.Interval), grace: callTimeout})
}

// together makes sessions that stay until all of them have answered once, and
// then stops them.
func together(ctx context.Context, workload string, o Options, l *load) (*Result, error) {
	c := newClient(o, l.workers)
	defer c.close()
	m := newMeter()
	stopWatch := o.watch(workload, l.total(), m)
	d, err := l.drive(ctx, func(ctx context.Context, _, i int, due time.Time) error {
		err := c.add(ctx, c.session(i))
		if err == nil {
			m.since(due)
		}
		return err
	})
	stopWatch()
	if err != nil {
		return nil, errors.Join(err, c.stopThere(ctx))
	}
	began := time.Now()
	if err := c.stopAll(ctx, 0, o.N, 8); err != nil {
		return nil, err
	}
	stopped := time.Since(began)
	r := &Result{Workload: workload, Clients: o.Clients, N: o.N, Wall: d.wall, Latency: m.latency}
	r.scheduled(o, d)
	spawn, err := r.firstResults(ctx, o)
	if err != nil {
		return nil, err
	}
	wall := "burst, wall"
	if o.Rate > 0 {
		wall = "staggered, wall"
	}
	r.compare(wall, d.wall.Seconds()*1000, "ms", "bare python3, one by one", spawn*float64(o.N))
	r.add("stop of each", stopped.Seconds()*1000/float64(o.N), "ms")
	return r, nil
}

// firstResults compares the time to a first result with what it costs to start
// an interpreter: bare, and in the jails of others that are installed. It
// returns the mean of the bare one in milliseconds.
func (r *Result) firstResults(ctx context.Context, o Options) (spawn float64, err error) {
	const what = "new session to first result"
	n := min(max(o.N, 10), 50)
	base, err := spawnBaseline(ctx, o.Python, n)
	if err != nil {
		return 0, err
	}
	for _, j := range jails() {
		h, err := jailBaseline(ctx, j, o.Python, n)
		switch {
		case errors.Is(err, errAbsent):
			o.note("%v", err)
		case err != nil:
			return 0, err
		default:
			r.latencies(what, j.name+" with python3", h)
		}
	}
	r.latencies(what, "bare python3", base)
	return base.Mean() / 1000, nil
}
