package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	lineLength = 80
	rounds     = 30 // of the measurement of first output
)

// Stream measures live output: Clients readers follow one session, and some
// more that never read. Code prints N lines; each reader must get all of them,
// in order. Then short runs measure from the call to the first output at a
// reader, while the code still runs. Clients is 20 by default, N 5000, and one
// reader is stuck.
func Stream(ctx context.Context, o Options) (r *Result, err error) {
	o = o.withDefaults(20, 5000)
	if err := o.check(); err != nil {
		return nil, err
	}
	c := newClient(o, o.Clients+2)
	defer c.close()
	defer c.finish(ctx, 1, &err)
	session := c.session(0)
	if err := c.add(ctx, session); err != nil { // its kernel is there now
		return nil, err
	}
	after, release, err := c.stuckReaders(ctx, session, o.Stuck)
	defer release()
	if err != nil {
		return nil, err
	}
	r = &Result{Workload: "stream", Clients: o.Clients, N: o.N}
	cursor, err := r.throughput(ctx, c, session, o, after)
	if err != nil {
		return nil, err
	}
	m := newMeter()
	stopWatch := o.watch("stream, first output", rounds, m)
	for i := 0; i < rounds && err == nil; i++ {
		cursor, err = firstOutput(ctx, c, session, cursor, m)
	}
	stopWatch()
	if err != nil {
		return nil, err
	}
	r.Latency = m.latency
	base, _, err := echoBaseline(ctx, 1, time.Second)
	if err != nil {
		return nil, err
	}
	r.latencies("call to first output", "bare echo", base)
	r.add("stuck readers", float64(o.Stuck), "")
	return r, nil
}

// stuckReaders opens streams of a session whose readers read what there is, and
// then no more. It returns the last event that they have read. Their
// connections are closed by release.
func (c *client) stuckReaders(ctx context.Context, session string, n int) (after uint64, release func(), err error) {
	slow := c.stuck()
	var bodies []io.Closer
	release = func() {
		for _, body := range bodies {
			_ = body.Close() // it is the one that does not read on
		}
		slow.close()
	}
	for range n {
		body, err := slow.subscribe(ctx, session, 0)
		if err != nil {
			return 0, release, err
		}
		bodies = append(bodies, body)
		past := &reader{body: body, bound: 1 << 10}
		if err := past.follow(); err != nil {
			return 0, release, err
		}
		after = past.cursor
	}
	return after, release, nil
}

// printed is what the code of throughput prints.
func printed(lines int) string {
	var all strings.Builder
	for i := range lines {
		fmt.Fprintf(&all, "%0*d\n", lineLength-1, i)
	}
	return all.String()
}

// printing is the code that prints it.
func printing(lines int) string {
	return fmt.Sprintf("for i in range(%d): print(f'{i:0%dd}')", lines, lineLength-1)
}

// throughput lets all readers follow one run, and returns the last event.
func (r *Result) throughput(ctx context.Context, c *client, session string, o Options, after uint64) (uint64, error) {
	want := printed(o.N)
	readers := make([]*reader, o.Clients)
	for i := range readers {
		body, err := c.subscribe(ctx, session, after)
		if err != nil {
			return 0, err
		}
		defer func() { _ = body.Close() }()
		readers[i] = &reader{body: body, bound: len(want)}
	}
	code := printing(o.N)
	began := time.Now()
	err := each(ctx, o.Clients+1, o.Clients+1, func(ctx context.Context, _, i int) error {
		if i == o.Clients {
			_, err := c.execute(ctx, session, code)
			return err
		}
		return readers[i].follow()
	})
	if err != nil {
		return 0, err
	}
	for i, reader := range readers {
		if string(reader.output) != want {
			return 0, fmt.Errorf("reader %d got %d bytes that are not the %d that were printed", i, len(reader.output), len(want))
		}
		r.Wall = max(r.Wall, reader.last.Sub(began))
	}
	base, err := streamBaseline(ctx, o.Clients, len(want))
	if err != nil {
		return 0, err
	}
	r.fewer("bytes lost by a reader", 0) // or this had failed
	r.compare("output to all readers", float64(o.Clients*len(want))/r.Wall.Seconds()/mib, "MiB/s", "bare stream", base/mib)
	return readers[0].cursor, nil
}

// firstOutput runs code that prints and then waits, and measures when the
// print arrives. It fails if that is not while the code runs. It returns the
// last event.
func firstOutput(ctx context.Context, c *client, session string, after uint64, m *meter) (uint64, error) {
	const wait = 100 * time.Millisecond
	body, err := c.subscribe(ctx, session, after)
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }()
	r := &reader{body: body, bound: 1 << 10}
	var ended time.Time
	began := time.Now()
	err = each(ctx, 2, 2, func(ctx context.Context, _, i int) error {
		if i == 1 {
			return r.follow()
		}
		_, err := c.execute(ctx, session, fmt.Sprintf("import time; print('now'); time.sleep(%g)", wait.Seconds()))
		ended = time.Now()
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case string(r.output) != "now\n":
		return 0, fmt.Errorf("the reader got %.100q", r.output)
	case ended.Sub(r.first) < wait/5: // together, but for the order in which we were woken
		return 0, errors.New("the first output came only when the code had ended")
	}
	m.add(r.first.Sub(began))
	return r.cursor, nil
}
