package bench

import (
	"context"
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Create measures from a new session to its first result. Each of N calls
// names a session that does not exist. With one client (the default) they come
// one after the other and the session is stopped before the next: that shows
// the delay, and what can be kept up. With as many clients as sessions it is a
// burst. N is 100 by default.
func Create(ctx context.Context, o Options) (r *Result, err error) {
	o = o.withDefaults(1, 100)
	if err := o.check(); err != nil {
		return nil, err
	}
	c := newClient(o.URL, o.Clients)
	defer c.close()
	burst := o.Clients > 1
	if burst {
		defer func() { err = errors.Join(err, c.stopAll(ctx, 0, o.N, 8)) }()
	}
	histograms := make([]*hdrhistogram.Histogram, o.Clients)
	began := time.Now()
	err = each(ctx, o.Clients, o.N, func(ctx context.Context, worker, i int) error {
		if histograms[worker] == nil {
			histograms[worker] = newHistogram()
		}
		start := time.Now()
		if err := c.add(ctx, c.session(i)); err != nil {
			return errors.Join(err, c.stopAll(ctx, i, 1, 1))
		}
		record(histograms[worker], time.Since(start))
		if burst {
			return nil
		}
		return c.stop(ctx, c.session(i))
	})
	wall := time.Since(began)
	if err != nil {
		return nil, err
	}
	base, err := spawnBaseline(ctx, o.Python, min(o.N, 50))
	if err != nil {
		return nil, err
	}
	r = &Result{Workload: "create", Clients: o.Clients, N: o.N, Wall: wall, Latency: merge(histograms)}
	r.latencies("new session to first result", "bare python3", base)
	spawnRate := 1e6 / base.Mean()
	if burst {
		r.compare("burst, wall", wall.Seconds()*1000, "ms", "bare python3, one by one", base.Mean()*float64(o.N)/1000)
		return r, nil
	}
	r.compare("create, first result and stop", float64(o.N)/wall.Seconds(), "/s", "bare python3", spawnRate)
	return r, nil
}
