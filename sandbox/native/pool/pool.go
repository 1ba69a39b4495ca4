// Package pool keeps things ready that take long to make, so that whoever needs
// one has it at once. It knows nothing of what they are.
//
// Things are kept by key, and how many follows from how often they are asked
// for: see demand. What is taken is the taker's, and nothing ever comes back: a
// thing that is not taken is discarded.
//
// One goroutine decides; each making and each discarding has one of its own. All
// that exists of a pool's own, also what is being made, looked at or discarded,
// is within [Options].Total.
package pool

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Options say what a pool keeps. Make, Discard and Alive are required; they are
// called from many goroutines, and never while the pool is locked.
type Options[K comparable, T any] struct {
	// Make makes one. Its ctx ends when the pool closes, or after Limit.
	Make func(ctx context.Context, key K) (T, error)
	// Discard ends one that was not taken. It may take time, and bounds that itself.
	Discard func(T)
	// Alive reports whether one can still be used. It is to be fast, and may be
	// asked of one that has just been taken or discarded.
	Alive func(T) bool

	Min, Max int // ready ones per key that is in use; with a Max of zero nothing is kept
	Total    int // over all keys; when zero, what Max allows
	Parallel int // makings at once; the number of processors when zero
	Warm     []K // keys that have Min from the start, and always
	MaxKeys  int // learnt besides Warm, of which the least recently used is forgotten; 64 when zero
	// Idle is how long a key that nobody asks for is kept as if it were asked for;
	// 5 min when zero. Then one of Warm has Min, and another nothing.
	Idle   time.Duration
	Limit  time.Duration // of one making; 1 min when zero
	Logger *slog.Logger  // discards when nil
}

func (o Options[K, T]) withDefaults() Options[K, T] {
	o.Min = max(o.Min, 0)
	if o.Max > 0 {
		o.Max = max(o.Max, o.Min)
	} else {
		o.Min, o.Max = 0, 0
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	if o.MaxKeys <= 0 {
		o.MaxKeys = 64
	}
	if o.Total <= 0 {
		o.Total = o.Max * (o.MaxKeys + len(o.Warm))
	}
	if o.Idle <= 0 {
		o.Idle = 5 * time.Minute
	}
	if o.Limit <= 0 {
		o.Limit = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Pool keeps ready things of type T by keys of type K. Its methods may be
// called from many goroutines.
type Pool[K comparable, T any] struct {
	opts    Options[K, T]
	wake    chan struct{} // of one: there is something to decide
	closing chan struct{} // closed by Close
	done    chan struct{} // closed when nothing is left

	mu         sync.Mutex
	closed     bool
	shelves    map[K]*shelf[K, T]
	order      []*shelf[K, T] // as they were learnt, Warm first
	making     int            // also for keys that are forgotten
	looking    int            // taken off their shelf, and not yet known to live
	discarding int
	foreground int
	waiting    time.Time // since when refills give way to the foreground; zero when they do not
	resting    time.Time // until when nothing is made, after a Trim
	serial     uint64
}

// A shelf is what a pool has of one key.
type shelf[K comparable, T any] struct {
	key     K
	warm    bool
	gone    bool // forgotten: what is still being made for it is discarded
	ready   []item[T]
	making  int
	target  int
	used    time.Time // asked for at last
	demand  demand
	failing failing

	hits, misses, failed uint64
}

// An item is one ready thing. Its serial tells it from all others.
type item[T any] struct {
	serial uint64
	thing  T
}

// New returns a pool and begins to fill it. Close ends it, and not ctx.
func New[K comparable, T any](ctx context.Context, opts Options[K, T]) *Pool[K, T] {
	p := &Pool[K, T]{
		opts: opts.withDefaults(), wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		shelves: map[K]*shelf[K, T]{},
	}
	now := time.Now()
	for _, key := range opts.Warm {
		if p.shelves[key] == nil {
			p.learn(key, now).warm = true
		}
	}
	go p.control(context.WithoutCancel(ctx)) // ends after Close
	return p
}

// Take returns a ready and living thing, if there is one. It never waits. It
// counts as a use of the key, and what is missing afterwards is made at once.
func (p *Pool[K, T]) Take(key K) (thing T, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.opts.Max == 0 {
		return thing, false
	}
	now := time.Now()
	s := p.shelves[key]
	if s == nil {
		p.forgetOldest()
		s = p.learn(key, now)
	}
	s.used = now
	s.demand.arrive(now)
	s.demand.limit(p.opts.Max) // so that it fades from there
	defer p.decide()
	for len(s.ready) > 0 && !p.closed {
		last := len(s.ready) - 1 // the newest, as its memory is the likeliest to be in caches
		thing, s.ready[last] = s.ready[last].thing, item[T]{}
		s.ready = s.ready[:last]
		if p.lives(thing) {
			s.hits++
			return thing, true
		}
		p.discard(thing)
	}
	s.misses++
	var none T
	return none, false
}

// lives asks whether a thing that is on no shelf can be used. It unlocks the
// pool meanwhile.
func (p *Pool[K, T]) lives(thing T) bool {
	p.looking++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.looking--
	}()
	return p.opts.Alive(thing)
}

// learn adds a key.
func (p *Pool[K, T]) learn(key K, now time.Time) *shelf[K, T] {
	s := &shelf[K, T]{key: key, used: now}
	p.shelves[key] = s
	p.order = append(p.order, s)
	return s
}

// forgetOldest makes room for one key more.
func (p *Pool[K, T]) forgetOldest() {
	var oldest *shelf[K, T]
	learnt := 0
	for _, s := range p.order {
		if s.warm {
			continue
		}
		learnt++
		if oldest == nil || s.used.Before(oldest.used) {
			oldest = s
		}
	}
	if learnt >= p.opts.MaxKeys {
		p.forget(oldest)
	}
}

// forget drops a key and what there is of it.
func (p *Pool[K, T]) forget(s *shelf[K, T]) {
	s.gone = true
	delete(p.shelves, s.key)
	p.order = slices.DeleteFunc(p.order, func(other *shelf[K, T]) bool { return other == s })
	p.discardOldest(s, len(s.ready))
}

// discardOldest takes n things off a shelf.
func (p *Pool[K, T]) discardOldest(s *shelf[K, T], n int) {
	for _, it := range s.ready[:n] {
		p.discard(it.thing)
	}
	s.ready = slices.Delete(s.ready, 0, n)
}

// discard ends a thing that is on no shelf any more.
func (p *Pool[K, T]) discard(thing T) {
	p.discarding++
	go func() { // ends with Discard
		p.opts.Discard(thing)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.discarding--
		p.decide()
	}()
}

// decide has the controller look at what there is.
func (p *Pool[K, T]) decide() {
	select {
	case p.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Foreground tells of something urgent that begins, such as the making of a
// thing that was not ready: what is made ahead gives way to it until done is
// called, though not for ever. done may be called more than once.
func (p *Pool[K, T]) Foreground() (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.foreground++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.foreground--
		p.decide()
	})
}

// Close ends what is being made and discards what is ready. It returns when
// nothing is left, or an error at the end of ctx; then the rest goes on by
// itself. It may be called again. Take finds nothing any more.
func (p *Pool[K, T]) Close(ctx context.Context) error {
	p.shut()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	select { // both may be
	case <-p.done:
		return nil
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Errorf("pool: %d things are still being made and %d discarded: %w", p.making, p.discarding, ctx.Err())
}

func (p *Pool[K, T]) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	close(p.closing)
	for _, s := range p.order {
		p.discardOldest(s, len(s.ready))
	}
}

// A Stat is what a pool has of one key.
type Stat[K comparable] struct {
	Key    K
	Ready  int
	Making int
	Target int // how many are to be ready
	// Since the key was learnt: things that were taken, those that were not there,
	// and those that could not be made. A key that is forgotten begins anew.
	Hits, Misses, Failed uint64
}

// Stats returns the numbers of each key, in the order in which keys were learnt.
func (p *Pool[K, T]) Stats() []Stat[K] {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Stat[K], 0, len(p.order))
	for _, s := range p.order {
		all = append(all, Stat[K]{
			Key: s.key, Ready: len(s.ready), Making: s.making, Target: s.target,
			Hits: s.hits, Misses: s.misses, Failed: s.failed,
		})
	}
	return all
}
