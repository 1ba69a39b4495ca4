package bench

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// perSession is how many calls of a load on a schedule may be at one session at
// once, where each waits for its turn. A daemon lets 16 wait.
const perSession = 8

// Warm measures calls on sessions that exist, for a while: each client calls its
// own session again and again; or calls arrive at a rate, and go to all sessions.
// Clients is 1 by default, with a rate 16.
func Warm(ctx context.Context, o Options) (r *Result, err error) {
	clients := 1
	if o.Rate > 0 {
		clients = 16
	}
	o = o.withDefaults(clients, 0)
	o.InFlight = min(o.InFlight, perSession*o.Clients)
	if err := o.check(); err != nil {
		return nil, err
	}
	c := newClient(o, max(o.Clients, o.InFlight))
	defer c.close()
	defer c.finish(ctx, o.Clients, &err)
	// Not all at once: to make sessions is not what is measured.
	err = each(ctx, min(o.Clients, 4), o.Clients, func(ctx context.Context, _, i int) error {
		return c.add(ctx, c.session(i))
	})
	if err != nil {
		return nil, err
	}
	l, m := o.load(), newMeter()
	stopWatch := o.watch("warm", l.total(), m)
	d, err := l.drive(ctx, c.calls(m, o.Clients))
	stopWatch()
	if err != nil {
		return nil, err
	}
	r = &Result{Workload: "warm", Clients: o.Clients, N: int(m.latency.TotalCount()), Wall: d.wall, Latency: m.latency}
	r.scheduled(o, d)
	return r, r.beside(ctx, o, d)
}

// calls is work that calls one of so many sessions: always the same one of a
// worker, so that no more wait in a session than it has workers.
func (c *client) calls(m *meter, sessions int) work {
	return func(ctx context.Context, worker, _ int, due time.Time) error {
		if err := c.add(ctx, c.session(worker%sessions)); err != nil {
			return err
		}
		m.since(due)
		return nil
	}
}

// beside adds the figures of calls, and what the bare machine does as an echo
// and over a pipe.
func (r *Result) beside(ctx context.Context, o Options, done driven) error {
	d := min(o.Duration, 2*time.Second)
	pipe, err := pipeBaseline(ctx, o.Python, d)
	if err != nil {
		return err
	}
	echo, echoRate, err := echoBaseline(ctx, o.Clients, d)
	if err != nil {
		return err
	}
	r.latencies("call", pipeName, pipe)
	r.latencies("call", "bare echo", echo)
	r.pace("calls", done, "bare echo", echoRate)
	return nil
}

// hammer lets each client call its session for a while, and returns the
// latencies and the calls a second.
func hammer(ctx context.Context, c *client, clients int, d time.Duration) (*hdrhistogram.Histogram, float64, error) {
	m := newMeter()
	l := &load{workers: clients, d: d}
	done, err := l.drive(ctx, c.calls(m, clients))
	if err != nil {
		return nil, 0, err
	}
	return m.latency, float64(m.latency.TotalCount()) / done.wall.Seconds(), nil
}
