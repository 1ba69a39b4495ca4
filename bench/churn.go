package bench

import (
	"context"
	"errors"
	"time"
)

// uses is how often churn uses each session, beside the first time.
const uses = 3

// Churn measures whole lives of sessions, for a while: each is made with its
// first result, used and stopped, by clients that begin the next at once, or as
// sessions arrive at a rate. Clients is 8 by default, the duration 10 s.
func Churn(ctx context.Context, o Options) (*Result, error) {
	use := newMeter()
	r, err := lives(ctx, o, "churn", "sessions made, used and stopped", uses, use)
	if err == nil {
		r.spread("use", use)
	}
	return r, err
}

// Turnover measures the same, of sessions that are used for their first result
// alone.
func Turnover(ctx context.Context, o Options) (*Result, error) {
	return lives(ctx, o, "turnover", "sessions made and stopped", 0, nil)
}

// lives measures lives of sessions, each of which is used so many times more; use is of those.
func lives(ctx context.Context, o Options, workload, figure string, more int, use *meter) (r *Result, err error) {
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	o = o.withDefaults(8, 0)
	if err := o.check(); err != nil {
		return nil, err
	}
	c := newClient(o, max(o.Clients, o.InFlight))
	defer c.close()
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stopThere(ctx))
		}
	}()
	l := o.load()
	first, stop := newMeter(), newMeter()
	stopWatch := o.watch(workload, l.total(), first)
	d, err := l.drive(ctx, func(ctx context.Context, _, i int, due time.Time) error {
		return c.live(ctx, c.session(i), due, more, first, use, stop)
	})
	stopWatch()
	if err != nil {
		return nil, err
	}
	r = &Result{Workload: workload, Clients: o.Clients, N: d.begun, Wall: d.wall, Latency: first.latency}
	r.scheduled(o, d)
	o.N = d.begun
	spawn, err := r.firstResults(ctx, o)
	if err != nil {
		return nil, err
	}
	r.pace(figure, d, "bare python3", 1000/spawn)
	r.spread("stop", stop)
	r.Series = append(r.Series, first.course("sessions made"))
	return r, nil
}

// spread adds the median and the tail of what was measured beside the first results.
func (r *Result) spread(name string, m *meter) {
	_, p50, p99 := m.done()
	r.add(name+" p50", p50, "ms")
	r.add(name+" p99", p99, "ms")
}

// live is the whole life of one session. What it keeps must be there when it is
// asked for.
func (c *client) live(ctx context.Context, session string, due time.Time, more int, first, use, stop *meter) error {
	if err := c.expect(ctx, session, "kept = 1\nkept + 1", "2"); err != nil {
		return err
	}
	first.since(due)
	for range more {
		began := time.Now()
		if err := c.expect(ctx, session, "kept + 1", "2"); err != nil {
			return err
		}
		use.since(began)
	}
	began := time.Now()
	if err := c.stop(ctx, session); err != nil {
		return err
	}
	stop.since(began)
	return nil
}
