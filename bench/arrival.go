package bench

import (
	"math/rand/v2"
	"time"
)

// arrivals returns when calls are due, counted from the beginning of a load:
// all of them before d has passed, in order. It draws nothing but from seed, so
// that a load can be repeated.
func arrivals(arrival string, rate float64, d time.Duration, seed uint64) []time.Duration {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // load, not secrets
	due := make([]time.Duration, 0, min(maxArrivals, int(rate*d.Seconds())+1))
	at := 0.0 // seconds; a sum of rounded gaps would drift
	for i := 1; len(due) < maxArrivals; i++ {
		t := time.Duration(at * float64(time.Second))
		if t >= d {
			break
		}
		due = append(due, t)
		if arrival == Poisson {
			at += random.ExpFloat64() / rate
		} else {
			at = float64(i) / rate
		}
	}
	return due
}

// staggered returns n arrivals at an interval.
func staggered(n int, interval time.Duration) []time.Duration {
	due := make([]time.Duration, n)
	for i := range due {
		due[i] = time.Duration(i) * interval
	}
	return due
}
