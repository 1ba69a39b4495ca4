package pool

import "time"

// How long a key rests after things of it could not be made.
const (
	firstRest = 100 * time.Millisecond
	longRest  = 30 * time.Second
)

// A failing is the memory of makings that went wrong one after another. Each
// step of it rests twice as long as the one before, and tries one thing.
type failing struct {
	rest  time.Duration // of this step; 0 when nothing fails
	retry time.Time
	round uint64 // what was begun in an earlier one tells nothing new
}

// mayTry reports whether one more may be made beside those that are.
func (f *failing) mayTry(now time.Time, making int) bool {
	return f.rest == 0 || making == 0 && !now.Before(f.retry)
}

// A step is what follows from one making. It is news when it is another step
// than before.
type step struct {
	rest time.Duration
	news bool
}

// failed begins the next step, if what failed was begun in this one.
func (f *failing) failed(now time.Time, round uint64) step {
	if round != f.round {
		return step{rest: f.rest}
	}
	before := f.rest
	f.rest = min(max(2*before, firstRest), longRest)
	f.retry = now.Add(f.rest)
	f.round++
	return step{rest: f.rest, news: f.rest != before}
}

// succeeded ends it.
func (f *failing) succeeded() step {
	if f.rest == 0 {
		return step{}
	}
	*f = failing{round: f.round + 1}
	return step{news: true}
}
