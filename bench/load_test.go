package bench_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/bench"
)

// A daemon that answers nothing for a while stalls one call of a client that
// waits for it, but all that are due meanwhile.
func TestWarm_OpenLoopSeesAStall(t *testing.T) {
	needPython(t)
	const stall = 400 * time.Millisecond
	d := start(t)
	held := make(chan struct{})
	go func() {
		defer close(held)
		for { // until the sessions are there and calls come
			d.mu.Lock()
			there := d.made == 4
			d.mu.Unlock()
			if there || t.Context().Err() != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		d.stall.Lock()
		time.Sleep(stall)
		d.stall.Unlock()
	}()
	r, err := bench.Warm(t.Context(), bench.Options{
		URL: d.URL, Clients: 4, Rate: 200, InFlight: 1, Duration: time.Second,
	})
	<-held
	if err != nil {
		t.Fatal(err)
	}
	d.leftOf(t, 4)
	// 80 of 200 were due during the stall, half of them in its first half.
	if p99 := r.Latency.ValueAtQuantile(99); time.Duration(p99)*time.Microsecond < stall/2 {
		t.Errorf("p99 is %d µs, though nothing was answered for %s", p99, stall)
	}
	if r.Rate != 200 || r.Arrival != bench.Fixed || r.Latency.TotalCount() != 200 {
		t.Errorf("rate %v, %s, %d calls", r.Rate, r.Arrival, r.Latency.TotalCount())
	}
	if late := figure(t, r, "begun late"); late.Value < 10 {
		t.Errorf("%v were begun late, with one in flight", late.Value)
	}
	if missed := figure(t, r, "could not be begun"); missed.Value != 0 {
		t.Errorf("%v could not be begun", missed.Value)
	}
}

func TestWorkloads_OverREST(t *testing.T) {
	needPython(t)
	for name, run := range map[string]func(context.Context, bench.Options) (*bench.Result, error){
		"warm": bench.Warm, "create": bench.Create, "burst": bench.Burst, "staggered": bench.Staggered, "churn": bench.Churn, "turnover": bench.Turnover,
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			d.token = "secret"
			o := bench.Options{URL: d.URL, API: bench.REST, Token: d.token, N: 3, Duration: 30 * time.Millisecond, Interval: 5 * time.Millisecond, Settle: time.Millisecond}
			r, err := run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Latency.TotalCount() == 0 || r.Workload != name {
				t.Errorf("%d in %s", r.Latency.TotalCount(), r.Workload)
			}
			o.Token = "another"
			if _, err := run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "401") {
				t.Errorf("with another token: %v", err)
			}
		})
	}
}

func TestCreate_ArrivesAtARate(t *testing.T) {
	needPython(t)
	d := start(t)
	r, err := bench.Create(t.Context(), bench.Options{URL: d.URL, Rate: 100, Arrival: bench.Poisson, Duration: 200 * time.Millisecond, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	d.leftOf(t, r.N)
	if r.N < 5 || int64(r.N) != r.Latency.TotalCount() || r.Arrival != bench.Poisson {
		t.Errorf("%d sessions, %d measured, %s", r.N, r.Latency.TotalCount(), r.Arrival)
	}
}

func TestHold_GoesUpAndDown(t *testing.T) {
	needPython(t)
	d := start(t)
	r, err := bench.Hold(t.Context(), bench.Options{URL: d.URL, Scale: []int{2, 5, 9}, Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	d.leftOf(t, 10)
	if r.N != 9 || figure(t, r, "sessions held").Value != 10 {
		t.Errorf("n is %d", r.N)
	}
	figure(t, r, "at 5: stop, each")
	for _, s := range r.Series {
		if len(s.Points) != 3 || s.Points[2][0] != 9 {
			t.Errorf("%s: %v", s.Name, s.Points)
		}
	}
	d.lost = true
	if _, err := bench.Hold(t.Context(), bench.Options{URL: d.URL, N: 2, Settle: time.Millisecond}); err == nil || !strings.Contains(err.Error(), "kept") {
		t.Errorf("lost variables: %v", err)
	}
	d.leftOf(t, 11)
}
