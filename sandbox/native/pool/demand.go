package pool

import (
	"math"
	"time"
)

// How the past is weighed.
const (
	rateMemory  = 5 * time.Second  // of the arrivals' rate
	peakHold    = 30 * time.Second // for which the most that was needed is not forgotten at all
	peakMemory  = 90 * time.Second // of it afterwards
	leastWindow = 2 * time.Second  // within which arrivals are one burst
	mostWindow  = 5 * time.Second
	safety      = 2.0  // how much more than the average is ready
	tookWeight  = 0.2  // of the newest of the times that makings took
	negligible  = 0.1  // of a thing: not worth to make one for
	firstGuess  = 0.05 // seconds that a making takes, before one was measured
)

// A demand estimates how many things of a key must be ready so that nobody
// waits: as many as are asked for while one is made.
//
// Two measures say so, and the larger counts. The one is the rate of arrivals,
// averaged over some seconds, by the time that a making takes, with a margin.
// The other is a burst: how many arrived within two seconds, or within the time of a
// making if that is longer: a machine that is busy with a burst takes its time to see it
// all. The most that was ever needed is remembered, for half a minute in full, so that
// the second burst is met in full, and then fades in minutes.
type demand struct {
	at    time.Time // of which the others are
	rate  float64   // arrivals per second
	burst float64   // arrivals within the window, the older the less
	peak  float64   // things
	high  time.Time // when it was needed
	took  float64   // seconds of a making, on average; 0 before the first
}

// arrive counts one who asks.
func (d *demand) arrive(now time.Time) {
	d.fade(now)
	d.rate += 1 / rateMemory.Seconds()
	d.burst++
	if need := max(d.burst, d.rate*d.making()*safety); need >= d.peak {
		d.peak, d.high = need, now
	}
}

// refilled tells how long a making took.
func (d *demand) refilled(took time.Duration) {
	if d.took == 0 {
		d.took = took.Seconds()
		return
	}
	d.took += tookWeight * (took.Seconds() - d.took)
}

// size is how many things are to be ready.
func (d *demand) size(now time.Time) int {
	d.fade(now)
	return int(math.Ceil(d.peak - negligible))
}

// limit forgets that more than n things were ever needed.
func (d *demand) limit(n int) { d.peak = min(d.peak, float64(n)) }

func (d *demand) making() float64 {
	if d.took == 0 {
		return firstGuess
	}
	return d.took
}

// fade makes the past count less.
func (d *demand) fade(now time.Time) {
	passed := now.Sub(d.at).Seconds()
	before := d.at
	d.at = now
	if passed <= 0 || d.peak == 0 {
		return
	}
	window := min(max(d.making(), leastWindow.Seconds()), mostWindow.Seconds())
	d.rate *= math.Exp(-passed / rateMemory.Seconds())
	d.burst *= math.Exp(-passed / window)
	if held := d.high.Add(peakHold); held.After(before) {
		before = held
	}
	d.peak *= math.Exp(-max(0, now.Sub(before).Seconds()) / peakMemory.Seconds())
}
