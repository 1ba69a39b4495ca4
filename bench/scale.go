package bench

import (
	"math"
	"strconv"
)

// A scale maps numbers to places along one side of a chart.
type scale struct {
	low, high float64 // the numbers at the ends
	from, to  float64 // the places of the ends
	step      float64 // from one tick to the next, of a linear scale
	log       bool
}

// A tick is a place that is named.
type tick struct {
	Place float64
	Label string
}

// newScale covers all the numbers, with round ends. It is logarithmic if that
// is asked for and all are positive.
func newScale(all []float64, log bool, from, to float64) scale {
	s := scale{low: math.Inf(1), high: math.Inf(-1), from: from, to: to, log: log}
	const most = 1e300 // beyond it there is no rounding up
	for _, v := range all {
		v = min(max(v, -most), most)
		s.low, s.high = min(s.low, v), max(s.high, v)
	}
	if len(all) == 0 {
		s.low, s.high = 0, 1
	}
	if s.log = log && s.low > 1/most; s.log {
		s.low, s.high = roundDown(s.low), roundUp(s.high)
		if s.low == s.high {
			s.low /= 10
		}
		return s
	}
	if s.low > 0 { // lengths are to be compared: from zero
		s.low = 0
	}
	s.high = max(s.high, 0)
	if s.low == s.high {
		s.high = s.low + 1
	}
	// So that there are about 3 to 8 ticks.
	s.step = max(roundUp(s.high/6-s.low/6), math.SmallestNonzeroFloat64)
	s.low, s.high = math.Floor(s.low/s.step)*s.step, math.Ceil(s.high/s.step)*s.step
	return s
}

// spans reports whether numbers are so far apart that a linear scale would show
// the small ones as nothing.
func spans(all []float64) bool {
	low, high := math.Inf(1), 0.0
	for _, v := range all {
		if v <= 0 {
			return false
		}
		low, high = min(low, v), max(high, v)
	}
	return len(all) > 0 && high/low >= 30
}

// at returns the place of a number. One outside is at the end.
func (s *scale) at(v float64) float64 {
	low, high := s.low, s.high
	v = min(max(v, low), high)
	if s.log {
		low, high, v = math.Log(low), math.Log(high), math.Log(v)
	}
	// Each divided by itself before they are subtracted: the distance of two
	// very large numbers may be none.
	part := (v/2 - low/2) / (high/2 - low/2)
	if math.IsNaN(part) {
		part = 0
	}
	return s.from + part*(s.to-s.from)
}

// ticks returns the places to name: steps of a linear scale; powers of ten of a
// logarithmic one, and 2 and 5 times them where there are few.
func (s *scale) ticks() []tick {
	const most = 20
	var ticks []tick
	if !s.log {
		for i := range most {
			v := s.low + float64(i)*s.step
			if v > s.high+s.step/2 {
				break
			}
			ticks = append(ticks, tick{s.at(v), tickLabel(v)})
		}
		return ticks
	}
	factors := []float64{1, 2, 5}
	decades := math.Log10(s.high) - math.Log10(s.low)
	if decades > 2.5 {
		factors = factors[:1]
	}
	every := max(1, int(decades/8))
	for e := int(math.Floor(math.Log10(s.low))); len(ticks) < most && math.Pow10(e) <= s.high; e += every {
		for _, f := range factors {
			if v := f * math.Pow10(e); v >= s.low*(1-1e-9) && v <= s.high*(1+1e-9) {
				ticks = append(ticks, tick{s.at(v), tickLabel(v)})
			}
		}
	}
	return ticks
}

// tickLabel shows a round number.
func tickLabel(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e7) {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 32)
}

// roundUp returns the next 1, 2 or 5 times a power of ten.
func roundUp(v float64) float64 {
	base := power(v)
	for _, f := range []float64{1, 2, 5} {
		if v <= f*base*(1+1e-9) {
			return f * base
		}
	}
	return 10 * base
}

func roundDown(v float64) float64 {
	base := power(v)
	for _, f := range []float64{5, 2} {
		if v >= f*base*(1-1e-9) {
			return f * base
		}
	}
	return base
}

// power returns the power of ten below v, which is positive.
func power(v float64) float64 {
	return math.Pow10(int(math.Floor(math.Log10(max(v, math.SmallestNonzeroFloat64)))))
}
