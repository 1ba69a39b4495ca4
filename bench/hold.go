package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Hold measures what an idle Python session costs, all memory counted: it
// makes N sessions that have run code, and divides the fall of MemAvailable
// among them. Then it measures calls while they are there. The daemon must be
// on this machine, and nothing else should be busy. N is 100 by default.
func Hold(ctx context.Context, o Options) (r *Result, err error) {
	o = o.withDefaults(4, 100)
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := local(o.URL); err != nil {
		return nil, err
	}
	c := newClient(o.URL, o.Clients)
	defer c.close()
	base, err := idleBaseline(ctx, o.Python, min(o.N, 50), o.Settle)
	if err != nil {
		return nil, err
	}
	// One session before, so that what is made once is there already.
	defer func() { err = errors.Join(err, c.stopAll(ctx, 0, o.N+1, 8)) }()
	if err := c.add(ctx, c.session(0)); err != nil {
		return nil, err
	}
	r = &Result{Workload: "hold", Clients: o.Clients, N: o.N}
	if err := r.hold(ctx, c, o, base); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Result) hold(ctx context.Context, c *client, o Options, base float64) error {
	if err := patient(ctx, o.Settle); err != nil {
		return err
	}
	before, err := memAvailable()
	if err != nil {
		return err
	}
	began := time.Now()
	err = each(ctx, o.Clients, o.N, func(ctx context.Context, _, i int) error {
		return c.add(ctx, c.session(1+i))
	})
	if err != nil {
		return err
	}
	r.Wall = time.Since(began)
	if err := patient(ctx, o.Settle); err != nil {
		return err
	}
	after, err := memAvailable()
	if err != nil {
		return err
	}
	const mib = 1 << 20
	r.compare("memory of an idle Python session", float64(before-after)/float64(o.N)/mib, "MiB", "bare idle python3", base/mib)
	r.add("sessions held", float64(o.N+1), "")
	h, _, err := hammer(ctx, c, 1, time.Second)
	if err != nil {
		return err
	}
	r.Latency = h
	echo, _, err := echoBaseline(ctx, 1, time.Second)
	if err != nil {
		return err
	}
	r.latencies("call meanwhile", "bare echo", echo)
	return nil
}

// local refuses a daemon whose memory is not this machine's.
func local(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return err
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("hold measures this machine's memory, but %s is not on it: run it beside the daemon", host)
}
