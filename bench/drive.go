package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// A load is how work comes: as fast as its workers get answers, or on a
// schedule.
type load struct {
	workers int                                        // at once; of a schedule the most that are under way
	n       int                                        // units of work, 0: until d has passed; of a schedule all that are due
	d       time.Duration                              // after which nothing new is begun; 0: when n are done
	due     []time.Duration                            // the schedule; nil is none
	grace   time.Duration                              // after the last is due, in which those that wait are still begun
	rest    func(context.Context, time.Duration) error // waits until one is due; nil is punctual
}

// A driven load is what came of one.
type driven struct {
	wall   time.Duration // from the beginning to the last end
	begun  int
	late   int // begun more than lateness after they were due, as too many were under way
	missed int // never begun: they were still waiting at the end of the grace
}

const (
	lateness     = 10 * time.Millisecond
	defaultGrace = 10 * time.Second
)

// A work is one unit of a load. It was due at a time from which its latency
// counts: that of a call that had to wait is longer, not left out.
type work func(ctx context.Context, worker, i int, due time.Time) error

// drive runs a load and returns the first error, after which nothing new is
// begun.
func (l *load) drive(ctx context.Context, w work) (driven, error) {
	var next, begun, late, missed atomic.Int64
	began := time.Now()
	err := each(ctx, l.workers, l.workers, func(ctx context.Context, worker, _ int) error {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			due, ok, err := l.await(ctx, began, i)
			switch {
			case err != nil:
				return err
			case !ok:
				return nil
			}
			if waited := time.Since(due); l.due != nil && waited > lateness {
				if time.Since(began) > l.end() {
					missed.Add(1)
					continue
				}
				late.Add(1)
			}
			begun.Add(1)
			if err := w(ctx, worker, i, due); err != nil {
				return err
			}
		}
		return nil
	})
	return driven{
		wall: time.Since(began), begun: int(begun.Load()), late: int(late.Load()), missed: int(missed.Load()),
	}, err
}

// await waits until a unit is due, and reports when that was; there are no more
// of them when ok is false.
func (l *load) await(ctx context.Context, began time.Time, i int) (due time.Time, ok bool, err error) {
	if l.due != nil {
		if i >= len(l.due) {
			return due, false, nil
		}
		due = began.Add(l.due[i])
		if rest := time.Until(due); rest > 0 {
			err = l.wait(ctx, rest)
		}
		return due, true, err
	}
	now := time.Now()
	return now, (l.n == 0 || i < l.n) && (l.d == 0 || now.Sub(began) < l.d), nil
}

func (l *load) wait(ctx context.Context, rest time.Duration) error {
	if l.rest != nil {
		return l.rest(ctx, rest)
	}
	return punctual(ctx, rest)
}

// end is when nothing that is due may be begun any more.
func (l *load) end() time.Duration {
	if len(l.due) == 0 {
		return l.grace
	}
	return l.due[len(l.due)-1] + l.grace
}

// total is how many units are known to come; 0 is not known.
func (l *load) total() int {
	if l.due != nil {
		return len(l.due)
	}
	return l.n
}

// load is that which the options ask for: on a schedule when they have a rate,
// else of so many clients.
func (o Options) load() *load {
	if o.Rate > 0 {
		return &load{workers: o.InFlight, due: arrivals(o.Arrival, o.Rate, o.Duration, o.Seed), grace: defaultGrace}
	}
	return &load{workers: o.Clients, d: o.Duration}
}

// scheduled adds how a load on a schedule went.
func (r *Result) scheduled(o Options, d driven) {
	if o.Rate == 0 {
		return
	}
	r.Rate, r.Arrival, r.Clients = o.Rate, o.Arrival, o.InFlight
	r.fewer("begun late", float64(d.late))
	r.fewer("could not be begun", float64(d.missed))
}

// pace adds how many were done a second; compared with what the bare machine
// does, unless a schedule said how many there were to be.
func (r *Result) pace(name string, d driven, baseline string, base float64) {
	rate := float64(d.begun) / d.wall.Seconds()
	if r.Rate > 0 {
		r.add(name, rate, "/s")
		return
	}
	r.compare(name, rate, "/s", baseline, base)
}
