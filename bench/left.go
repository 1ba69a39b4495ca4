package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	steadyFor  = 500 * time.Millisecond // a footprint that does not change is steady
	steadyWait = 20 * time.Second       // for that
	// spareDescriptors are those that a daemon may open beside sandboxes: its
	// log when it is rotated, a profile, a connection of somebody else.
	spareDescriptors = 4
)

// A watcher compares what a daemon has before and after a run: nothing of what
// the run made may stay.
type watcher struct {
	client   *client
	resident *resident // nil when it cannot be looked at
	before   *footprint
	sandbox  *footprint    // what one has
	sessions []string      // of other runs, that were there before
	wait     time.Duration // for what ends late: the kernel gives some things back in its own time
}

// newWatcher looks at a daemon before a run. It makes one session and stops it,
// so that what is made once is there. It waits until the daemon is steady: it
// may be filling pools.
func newWatcher(ctx context.Context, o Options) (*watcher, error) {
	o = o.withDefaults(1, 0)
	if err := o.check(); err != nil {
		return nil, err
	}
	w := &watcher{client: newClient(o, 1), wait: o.Linger}
	var err error
	if w.sessions, err = w.client.list(ctx); err != nil {
		return nil, err
	}
	if w.resident, err = residentOf(o); err != nil {
		o.note("what is left on the machine after the run: %v", err)
	}
	session := w.client.session(0)
	if err := w.client.add(ctx, session); err != nil {
		return nil, errors.Join(err, w.client.stopThere(ctx))
	}
	var with *footprint
	if w.resident != nil {
		if with, err = w.steady(ctx); err != nil { // and learn
			return nil, errors.Join(err, w.client.stopThere(ctx))
		}
	}
	if err := w.client.stop(ctx, session); err != nil {
		return nil, err
	}
	if w.resident != nil {
		if w.before, err = w.steady(ctx); err != nil {
			return nil, err
		}
		w.sandbox = sandbox(with, w.before)
	}
	return w, nil
}

// look looks at the daemon when the watcher's own connection is closed.
func (w *watcher) look(ctx context.Context) (*footprint, error) {
	ready, _ := w.client.pools(ctx)
	w.client.close()
	f, err := w.resident.look()
	if err != nil {
		return nil, err
	}
	f.ready = ready
	return f, nil
}

// steady looks until two looks are the same, or it has waited long enough.
func (w *watcher) steady(ctx context.Context) (*footprint, error) {
	last, err := w.look(ctx)
	for end := time.Now().Add(steadyWait); err == nil && time.Now().Before(end); {
		if err = patient(ctx, steadyFor); err != nil {
			break
		}
		var now *footprint
		if now, err = w.look(ctx); err != nil {
			break
		}
		same := now.ready == last.ready && len(now.more(last, aSandbox(), spareDescriptors)) == 0 && len(last.more(now, aSandbox(), spareDescriptors)) == 0
		if last = now; same {
			break
		}
	}
	return last, err
}

// An excess is what a footprint has more of than another.
type excess struct {
	what      string
	now, then int
	ready     int // of them those that more ready sandboxes may have
}

// over is what is too much; less than nothing if there is less than before.
func (x *excess) over() int {
	more := x.now - x.then
	return more - max(0, min(more, x.ready))
}

// than compares all that is counted, where a sandbox has so much.
func (f *footprint) than(then, sandbox *footprint) []excess {
	ready := max(0, f.ready-then.ready)
	return []excess{
		{"processes", f.processes, then.processes, ready * sandbox.processes},
		{"mounts", f.mounts, then.mounts, ready * sandbox.mounts},
		{"namespaces", f.namespaces, then.namespaces, ready * sandbox.namespaces},
		{"control groups", f.cgroups, then.cgroups, ready * sandbox.cgroups},
		{"daemon's descriptors", f.descriptors, then.descriptors, ready * sandbox.descriptors},
	}
}

// more says of what a footprint has too much, some descriptors left out.
func (f *footprint) more(then, sandbox *footprint, descriptors int) []string {
	var more []string
	for _, x := range f.than(then, sandbox) {
		spare := 0
		if x.what == "daemon's descriptors" {
			spare = descriptors
		}
		if x.over() > spare {
			more = append(more, fmt.Sprintf("%d %s, before %d", x.now, x.what, x.then))
		}
	}
	return more
}

// after looks at the daemon after a run, and returns the figures. It fails if
// something of the run is still there, after some time in which that may end.
// It looks also when ctx has ended.
func (w *watcher) after(ctx context.Context) (*Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.wait+callTimeout)
	defer cancel()
	defer w.client.close()
	began := time.Now()
	r := &Result{Workload: "left", Clients: 1, N: 1}
	names, err := w.client.list(ctx)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(w.sessions, name) })
	r.fewer("sessions left", float64(len(names)))
	w.client.close()
	var left []string
	if len(names) > 0 {
		left = append(left, fmt.Sprintf("sessions %s", strings.Join(names[:min(5, len(names))], ", ")))
	}
	if w.resident != nil {
		more, err := w.remains(ctx, r)
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
	}
	r.Wall = time.Since(began)
	if len(left) > 0 {
		return r, fmt.Errorf("the run is over, but something of it is left: %s (if nobody else uses the daemon)", strings.Join(left, "; "))
	}
	return r, nil
}

// remains waits until the daemon has no more than before, adds what it has to
// the figures, and returns what is too much.
func (w *watcher) remains(ctx context.Context, r *Result) ([]string, error) {
	var now *footprint
	var more []string
	for end := time.Now().Add(w.wait); ; {
		var err error
		if now, err = w.look(ctx); err != nil {
			return nil, err
		}
		if more = now.more(w.before, w.sandbox, spareDescriptors); len(more) == 0 || time.Now().After(end) {
			break
		}
		if err := patient(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	if len(more) > 0 {
		more = append(more, "the youngest processes are "+now.names)
	}
	for _, x := range now.than(w.before, w.sandbox) {
		r.fewer(x.what+" left", float64(x.over()))
	}
	if now.ready != w.before.ready {
		r.add("ready sandboxes more than before", float64(now.ready-w.before.ready), "")
	}
	r.compare("daemon's memory", float64(now.rss)/mib, "MiB", "before the run", float64(w.before.rss)/mib)
	return more, nil
}
