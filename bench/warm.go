package bench

import (
	"context"
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Warm measures calls on sessions that exist: each client calls its own
// session again and again, for a while. Clients is 1 by default.
func Warm(ctx context.Context, o Options) (r *Result, err error) {
	o = o.withDefaults(1, 0)
	if err := o.check(); err != nil {
		return nil, err
	}
	c := newClient(o.URL, o.Clients)
	defer c.close()
	defer func() { err = errors.Join(err, c.stopAll(ctx, 0, o.Clients, o.Clients)) }()
	// Not all at once: to make sessions is not what is measured.
	err = each(ctx, min(o.Clients, 4), o.Clients, func(ctx context.Context, _, i int) error {
		return c.add(ctx, c.session(i))
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	h, rate, err := hammer(ctx, c, o.Clients, o.Duration)
	if err != nil {
		return nil, err
	}
	r = &Result{Workload: "warm", Clients: o.Clients, N: int(h.TotalCount()), Wall: time.Since(began), Latency: h}
	base, baseRate, err := echoBaseline(ctx, o.Clients, min(o.Duration, 2*time.Second))
	if err != nil {
		return nil, err
	}
	r.latencies("call", "bare echo", base)
	r.compare("calls", rate, "/s", "bare echo", baseRate)
	return r, nil
}

// hammer lets each client call its session for a while, and returns the
// latencies and the calls a second.
func hammer(ctx context.Context, c *client, clients int, d time.Duration) (*hdrhistogram.Histogram, float64, error) {
	histograms := make([]*hdrhistogram.Histogram, clients)
	began := time.Now()
	err := each(ctx, clients, clients, func(ctx context.Context, _, i int) error {
		histograms[i] = newHistogram()
		for session := c.session(i); time.Since(began) < d; {
			start := time.Now()
			if err := c.add(ctx, session); err != nil {
				return err
			}
			record(histograms[i], time.Since(start))
		}
		return nil
	})
	wall := time.Since(began)
	if err != nil {
		return nil, 0, err
	}
	all := merge(histograms)
	return all, float64(all.TotalCount()) / wall.Seconds(), nil
}

func merge(histograms []*hdrhistogram.Histogram) *hdrhistogram.Histogram {
	all := newHistogram()
	for _, h := range histograms {
		if h != nil {
			all.Merge(h)
		}
	}
	return all
}
