package bench

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestArrivals_Fixed(t *testing.T) {
	due := arrivals(Fixed, 4, time.Second, 1)
	want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond}
	if !slices.Equal(due, want) {
		t.Errorf("4 a second: %v, want %v", due, want)
	}
	// Gaps of a third do not add up to a drift.
	due = arrivals(Fixed, 3, 100*time.Second, 1)
	if last := due[len(due)-1]; len(due) != 300 || (last-99667*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("3 a second: %d, the last after %s", len(due), last)
	}
	if due := arrivals(Fixed, 0.5, time.Second, 1); len(due) != 1 {
		t.Errorf("less than one: %v", due)
	}
}

func TestArrivals_Poisson(t *testing.T) {
	const rate, seconds = 1000, 100
	due := arrivals(Poisson, rate, seconds*time.Second, 7)
	// The number of arrivals has a standard deviation of its root.
	if n, want := float64(len(due)), float64(rate*seconds); math.Abs(n-want) > 6*math.Sqrt(want) {
		t.Errorf("%v arrivals, want about %v", n, want)
	}
	if !slices.IsSorted(due) || due[len(due)-1] >= seconds*time.Second {
		t.Error("not in order, or after the end")
	}
	// Of gaps that are independent, e^-1 are longer than the mean.
	long := 0
	for i := 1; i < len(due); i++ {
		if due[i]-due[i-1] > time.Second/rate {
			long++
		}
	}
	if part := float64(long) / float64(len(due)); math.Abs(part-1/math.E) > 0.01 {
		t.Errorf("%.3f of the gaps are longer than the mean, want %.3f", part, 1/math.E)
	}
	if !slices.Equal(due, arrivals(Poisson, rate, seconds*time.Second, 7)) {
		t.Error("the same seed drew something else")
	}
	if slices.Equal(due, arrivals(Poisson, rate, seconds*time.Second, 8)) {
		t.Error("another seed drew the same")
	}
}

// Each takes 30 ms and one is due every 10 ms: one worker cannot keep up, and
// says so.
func TestDrive_CountsWhatCouldNotBeBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{rest: patient, workers: 1, due: staggered(10, 10*time.Millisecond), grace: 60 * time.Millisecond}
		var latencies []time.Duration
		d, err := l.drive(t.Context(), func(ctx context.Context, _, _ int, due time.Time) error {
			err := patient(ctx, 30*time.Millisecond)
			latencies = append(latencies, time.Since(due))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		// They begin at 0, 30, 60, 90, 120, 150 ms; then the end is near.
		if d.begun != 6 || d.missed != 4 || d.late != 5 {
			t.Errorf("%+v, want 6 begun, 5 of them late, and 4 missed", d)
		}
		if last := latencies[len(latencies)-1]; last != 130*time.Millisecond { // due at 50, done at 180
			t.Errorf("the last took %s from when it was due, want 130ms", last)
		}
	})
}

func TestDrive_KeepsToTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := &load{rest: patient, workers: 3, due: staggered(6, 20*time.Millisecond)}
		d, err := l.drive(t.Context(), func(_ context.Context, _, i int, due time.Time) error {
			if at := time.Since(began); at != time.Duration(i)*20*time.Millisecond || !due.Equal(time.Now()) {
				t.Errorf("%d began after %s", i, at)
			}
			return nil
		})
		if err != nil || d.begun != 6 || d.late != 0 || d.missed != 0 || d.wall != 100*time.Millisecond {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

func TestDrive_ClosedLoopsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := func(ctx context.Context, _, _ int, _ time.Time) error { return patient(ctx, time.Second) }
		for name, test := range map[string]struct {
			load load
			want int
		}{
			"by number":  {load{workers: 3, n: 7}, 7},
			"by time":    {load{workers: 2, d: 5 * time.Second}, 10},
			"by either":  {load{workers: 2, n: 4, d: time.Hour}, 4},
			"of nothing": {load{workers: 2, due: []time.Duration{}}, 0},
		} {
			if d, err := test.load.drive(t.Context(), step); err != nil || d.begun != test.want {
				t.Errorf("%s: %d begun, %v; want %d", name, d.begun, err, test.want)
			}
		}
		stop := errors.New("stop")
		l := &load{rest: patient, workers: 2, d: time.Hour}
		d, err := l.drive(t.Context(), func(_ context.Context, _, i int, _ time.Time) error {
			if i == 5 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || d.begun > 8 {
			t.Errorf("%d begun, %v", d.begun, err)
		}
	})
}

func TestProgressLine(t *testing.T) {
	got := progressLine("burst", 2500*time.Millisecond, 50, 100, 12.34, 56.78)
	if want := "burst                2.5s  50/100  20.0/s  p50 12.3 ms  p99 56.8 ms"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := progressLine("soak", 0, 0, 0, 0, 0); got != "soak                 0s  0" {
		t.Errorf("%q", got)
	}
}

func TestScales_AreATable(t *testing.T) {
	var b strings.Builder
	err := writeScales(&b, []*Result{{Workload: "warm"}, {Workload: "hold", Series: []Series{
		{Name: "create", XUnit: "sessions", Unit: "ms", Points: [][2]float64{{10, 1.5}, {1000, 2}}},
		{Name: "rate", XUnit: "s", Unit: "/s", Points: [][2]float64{{0, 1}, {1, 2}}},
		{Name: "tasks", XUnit: "sessions", Points: [][2]float64{{10, 8}, {1000, 7.5}}},
	}}})
	want := "\nhold, at each number of sessions:\n\n| sessions | create, ms | tasks |\n|---:|---:|---:|\n| 10 | 1.50 | 8.00 |\n| 1000 | 2.00 | 7.50 |\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, &b, want)
	}
}

func TestTargets_Verdicts(t *testing.T) {
	at := func(workload string, clients int, f Figure) []*Result {
		return []*Result{{Workload: workload, Clients: clients, Figures: []Figure{f}}}
	}
	for _, test := range []struct {
		results []*Result
		of      string
		want    string
	}{
		{at("warm", 1, Figure{Name: "call p50", Value: 0.4}), "warm call, 1 client", "yes"},
		{at("warm", 1, Figure{Name: "call p50", Value: 0.6}), "warm call, 1 client", "no"},
		{at("warm", 2, Figure{Name: "call p50", Value: 0.4}), "warm call, 1 client", ""},
		{at("warm", 64, Figure{Name: "calls", Value: 5001}), "warm calls, 64 clients", "yes"},
		{at("warm", 64, Figure{Name: "calls", Value: 9000, Ratio: 0.2}), "warm calls, 64 clients, part of a bare echo", "no"},
		{at("hold", 4, Figure{Name: "memory of an idle Python session", Value: -3}), "memory of an idle Python session, all counted", "noise"},
	} {
		for _, target := range targets() {
			if target.what != test.of {
				continue
			}
			value, ok := target.of(test.results)
			if got := target.verdict(value); ok != (test.want != "") || ok && got != test.want {
				t.Errorf("%s: %v of %v, %t; want %q", test.of, got, value, ok, test.want)
			}
			test.of = ""
		}
		if test.of != "" {
			t.Errorf("there is no target %q", test.of)
		}
	}
}
