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
func Churn(ctx context.Context, o Options) (r *Result, err error) {
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
	first, use, stop := newMeter(), newMeter(), newMeter()
	stopWatch := o.watch("churn", l.total(), first)
	d, err := l.drive(ctx, func(ctx context.Context, _, i int, due time.Time) error {
		return c.live(ctx, c.session(i), due, first, use, stop)
	})
	stopWatch()
	if err != nil {
		return nil, err
	}
	r = &Result{Workload: "churn", Clients: o.Clients, N: d.begun, Wall: d.wall, Latency: first.latency}
	r.scheduled(o, d)
	o.N = d.begun
	spawn, err := r.firstResults(ctx, o)
	if err != nil {
		return nil, err
	}
	r.pace("sessions made, used and stopped", d, "bare python3", 1000/spawn)
	for _, x := range []struct {
		name  string
		meter *meter
	}{{"use", use}, {"stop", stop}} {
		_, p50, p99 := x.meter.done()
		r.add(x.name+" p50", p50, "ms")
		r.add(x.name+" p99", p99, "ms")
	}
	r.Series = append(r.Series, first.course("sessions made"))
	return r, nil
}

// live is the whole life of one session. What it keeps must be there when it is
// asked for.
func (c *client) live(ctx context.Context, session string, due time.Time, first, use, stop *meter) error {
	if err := c.expect(ctx, session, "kept = 1\nkept + 1", "2"); err != nil {
		return err
	}
	first.since(due)
	for range uses {
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
