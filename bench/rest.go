package bench

import "context"

const (
	restLooks    = 10      // of one wait for rest, at most
	steadyMemory = 2 * mib // that come and go on a machine at rest
)

// A stock is what there is at one moment.
type stock struct {
	memory        int64      // bytes that are available on the machine
	ready, target int        // sandboxes that the daemon's pools have, and are to have
	footprint     *footprint // nil where the daemon cannot be looked at
}

// rest waits until pools are full and memory is steady, and returns what there
// is then. A sandbox that is being made, or taken away, has memory but is not
// ready: it would count for nothing. What does not come to rest is told, and
// taken as it is.
func (h *holding) rest(ctx context.Context) (*stock, error) {
	var last *stock
	for range restLooks {
		h.client.close() // its connections are not what sessions cost
		if err := patient(ctx, h.options.Settle); err != nil {
			return nil, err
		}
		now, err := h.take(ctx)
		if err != nil {
			return nil, err
		}
		if last != nil && now.rests(last) {
			return now, nil
		}
		last = now
	}
	h.options.note("pools or memory did not come to rest in %s, so what a session costs is uncertain: %d of %d sandboxes are ready",
		restLooks*h.options.Settle, last.ready, last.target)
	return last, nil
}

// take looks at what there is now.
func (h *holding) take(ctx context.Context) (s *stock, err error) {
	s = &stock{}
	s.ready, s.target = h.client.pools(ctx)
	h.client.close()
	if h.resident != nil {
		if s.footprint, err = h.resident.look(); err != nil {
			return nil, err
		}
	}
	s.memory, err = memAvailable()
	return s, err
}

// rests reports whether nothing has changed since a look before, and pools have
// nothing left to make.
func (s *stock) rests(before *stock) bool {
	change := s.memory - before.memory
	return s.ready >= s.target && s.ready == before.ready && max(change, -change) <= steadyMemory
}

// A share is what each of some sandboxes has of a machine.
type share struct {
	memory, daemon     float64 // bytes: of all, and of the daemon alone
	tasks, descriptors float64
}

// added is how many sandboxes there are more than before, where so many sessions
// were made meanwhile. Sessions may have taken what was ready, and pools may have
// made others: one that is ready costs what an idle session does.
func (s *stock) added(before *stock, sessions int) int { return sessions + s.ready - before.ready }

// share divides what there is less than before, or more, by the sandboxes that
// were added.
func (s *stock) share(before *stock, added int) share {
	n := float64(max(1, added))
	x := share{memory: float64(before.memory-s.memory) / n}
	if now, then := s.footprint, before.footprint; now != nil && then != nil {
		x.tasks = float64(now.tasks-then.tasks) / n
		x.descriptors = float64(now.descriptors-then.descriptors) / n
		x.daemon = float64(now.anon-then.anon) / n
	}
	return x
}
