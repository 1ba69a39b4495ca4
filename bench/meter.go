package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxSeconds bounds what a meter keeps of the course of a load: a day.
const maxSeconds = 24 * 60 * 60

// A meter counts what a load does, while it does it.
type meter struct {
	mu        sync.Mutex
	began     time.Time
	latency   *hdrhistogram.Histogram
	perSecond []int64 // done in each second since began
}

func newMeter() *meter { return &meter{began: time.Now(), latency: newHistogram()} }

// since counts one that was due at some time and is done now.
func (m *meter) since(due time.Time) { m.add(time.Since(due)) }

// add counts one that took so long and is done now.
func (m *meter) add(took time.Duration) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	record(m.latency, took)
	second := int(now.Sub(m.began) / time.Second)
	if second < 0 || second >= maxSeconds {
		return
	}
	for len(m.perSecond) <= second {
		m.perSecond = append(m.perSecond, 0)
	}
	m.perSecond[second]++
}

// done returns how many were counted, and the middle and the tail of their
// latency in milliseconds.
func (m *meter) done() (n int64, p50, p99 float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latency.TotalCount(), millis(m.latency.ValueAtQuantile(50)), millis(m.latency.ValueAtQuantile(99))
}

// course is the rate of each whole second.
func (m *meter) course(name string) Series {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Series{Name: name, XUnit: "s", Unit: "/s"}
	for i, n := range m.perSecond[:max(0, len(m.perSecond)-1)] { // the last is not whole
		s.Points = append(s.Points, [2]float64{float64(i), float64(n)})
	}
	return s
}
