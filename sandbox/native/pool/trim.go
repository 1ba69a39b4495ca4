package pool

import (
	"slices"
	"time"
)

// restAfterTrim is how long nothing is made after some had to be given back.
const restAfterTrim = 10 * time.Second

// Trim gives back up to n ready things because the host is short of something,
// first of the keys that have the most beyond their targets, and returns how
// many. For some seconds none is made in their place, and how many were needed
// before is forgotten.
func (p *Pool[K, T]) Trim(n int) (given int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || n <= 0 {
		return 0
	}
	now := time.Now()
	p.aim(now)
	for ; given < n; given++ {
		s := p.richest()
		if s == nil {
			break
		}
		p.discardOldest(s, 1)
		s.demand.limit(len(s.ready))
	}
	p.resting = now.Add(restAfterTrim)
	p.decide()
	return given
}

// richest returns the key that can spare a thing best; nil when there is none.
func (p *Pool[K, T]) richest() (richest *shelf[K, T]) {
	for _, s := range p.order {
		if len(s.ready) > 0 && (richest == nil || s.missing() < richest.missing()) {
			richest = s
		}
	}
	return richest
}

// sweep takes away what has died, what is too much, and keys that nobody uses.
func (p *Pool[K, T]) sweep() {
	dead := p.dead()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	now := time.Now()
	p.aim(now)
	for _, s := range slices.Clone(p.order) {
		s.ready = slices.DeleteFunc(s.ready, func(it item[T]) bool {
			if dead[it.serial] {
				p.discard(it.thing)
			}
			return dead[it.serial]
		})
		if n := min(-s.missing(), len(s.ready)); n > 0 {
			p.discardOldest(s, n)
		}
		if !s.warm && now.Sub(s.used) >= p.opts.Idle {
			p.forget(s)
		}
	}
}

// dead asks all that is ready, and returns the serials of those that have died.
func (p *Pool[K, T]) dead() map[uint64]bool {
	var all []item[T]
	p.mu.Lock()
	for _, s := range p.order {
		all = append(all, s.ready...)
	}
	p.mu.Unlock()
	dead := map[uint64]bool{}
	for _, it := range all {
		if !p.opts.Alive(it.thing) {
			dead[it.serial] = true
		}
	}
	return dead
}
