package pool

import (
	"context"
	"time"
)

// How the controller uses its time.
const (
	sweepInterval = 5 * time.Second        // between looks for things that have died or are too many
	patience      = 500 * time.Millisecond // for which refills give way to the foreground
)

// control decides what is made and discarded, until the pool is closed and
// nothing of it is left.
func (p *Pool[K, T]) control(ctx context.Context) {
	defer close(p.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closing := p.closing
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-closing:
			cancel() // all that is being made
			closing = nil
		case <-p.wake:
		case <-next.C:
		case <-sweep.C:
			p.sweep()
		}
		wait, over := p.refill(ctx)
		if over {
			return
		}
		next.Reset(wait)
	}
}

// refill begins what is to be made now. It returns when it wants to look again
// if nothing happens, and whether there is nothing left to decide.
func (p *Pool[K, T]) refill(ctx context.Context) (wait time.Duration, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return sweepInterval, p.making+p.looking+p.discarding == 0
	}
	now := time.Now()
	p.aim(now)
	for {
		s := p.neediest(now)
		if s == nil {
			break
		}
		if p.making >= p.places(now) || !p.room() {
			break
		}
		p.begin(ctx, s)
	}
	return p.nextLook(now), false
}

// aim sets the targets, which together are within the total.
func (p *Pool[K, T]) aim(now time.Time) {
	wants := make([]want, 0, len(p.order))
	for _, s := range p.order {
		w := want{size: p.opts.Min}
		if s.warm {
			w.floor = p.opts.Min
		}
		switch {
		case now.Sub(s.used) < p.opts.Idle:
			w.size = min(max(p.opts.Min, s.demand.size(now)), p.opts.Max)
		case !s.warm:
			w.size = 0
		}
		wants = append(wants, w)
	}
	share(wants, p.opts.Total)
	for i, s := range p.order {
		s.target = wants[i].size
	}
}

// missing is how many are to be made beyond those that are.
func (s *shelf[K, T]) missing() int { return s.target - len(s.ready) - s.making }

// neediest returns the key that has the least of what it is to have, among those
// for which something may be made; nil when there is none.
func (p *Pool[K, T]) neediest(now time.Time) (neediest *shelf[K, T]) {
	if now.Before(p.resting) {
		return nil
	}
	for _, s := range p.order {
		if s.missing() <= 0 || !s.failing.mayTry(now, s.making) {
			continue
		}
		if neediest == nil || s.missing()*neediest.target > neediest.missing()*s.target {
			neediest = s
		}
	}
	if neediest == nil {
		p.waiting = time.Time{}
	}
	return neediest
}

// places is how many may be made at once now, when something is to be made.
func (p *Pool[K, T]) places(now time.Time) int {
	switch {
	case p.foreground == 0:
		p.waiting = time.Time{}
		return p.opts.Parallel
	case p.waiting.IsZero():
		p.waiting = now
		return 0
	case now.Sub(p.waiting) < patience:
		return 0
	}
	return 1 // slowly, but for ever
}

// room reports whether one more may exist. If not, one goes of which there are
// too many, and there will be room when that is done.
func (p *Pool[K, T]) room() bool {
	all := p.making + p.looking + p.discarding
	for _, s := range p.order {
		all += len(s.ready)
	}
	if all < p.opts.Total {
		return true
	}
	if p.discarding > 0 {
		return false
	}
	for _, s := range p.order {
		if len(s.ready) > 0 && s.missing() < 0 {
			p.discardOldest(s, 1)
			break
		}
	}
	return false
}

// begin makes one thing.
func (p *Pool[K, T]) begin(ctx context.Context, s *shelf[K, T]) {
	p.making++
	s.making++
	round := s.failing.round
	go func() { // ends with Make, which ctx ends
		ctx, cancel := context.WithTimeout(ctx, p.opts.Limit)
		defer cancel()
		began := time.Now()
		thing, err := p.opts.Make(ctx, s.key)
		p.made(s, thing, err, round, time.Since(began))
	}()
}

// made puts on its shelf what was made, if it is still wanted.
func (p *Pool[K, T]) made(s *shelf[K, T], thing T, err error, round uint64, took time.Duration) {
	switch step := p.shelve(s, thing, err, round, took); {
	case !step.news:
	case err != nil:
		p.opts.Logger.Warn("cannot make one ahead", "key", s.key, "retry", step.rest, "err", err)
	default:
		p.opts.Logger.Info("can make them ahead again", "key", s.key)
	}
}

// shelve is made but for what is logged, as that is not to hold up the pool.
func (p *Pool[K, T]) shelve(s *shelf[K, T], thing T, err error, round uint64, took time.Duration) (next step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.decide()
	p.making--
	s.making--
	switch {
	case err != nil && !p.closed && !s.gone:
		s.failed++
		return s.failing.failed(time.Now(), round)
	case err != nil: // and nobody cares
	case p.closed || s.gone:
		p.discard(thing)
	default:
		s.demand.refilled(took)
		p.serial++
		s.ready = append(s.ready, item[T]{p.serial, thing})
		return s.failing.succeeded()
	}
	return step{}
}

// nextLook is how long the controller may wait for something to happen.
func (p *Pool[K, T]) nextLook(now time.Time) time.Duration {
	wait := sweepInterval
	sooner := func(at time.Time) {
		if d := at.Sub(now); d > 0 {
			wait = min(wait, d)
		}
	}
	sooner(p.resting)
	if !p.waiting.IsZero() {
		sooner(p.waiting.Add(patience))
	}
	for _, s := range p.order {
		if s.missing() > 0 {
			sooner(s.failing.retry)
		}
	}
	return wait
}
