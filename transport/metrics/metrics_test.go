package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/metrics"
)

var (
	_ sandbox.Meter   = (*metrics.Metrics)(nil)
	_ transport.Meter = (*metrics.Metrics)(nil)
)

// numbers is what is told of a daemon.
type numbers struct {
	overview sandbox.Overview
	err      error
}

func (n *numbers) Overview(context.Context) (sandbox.Overview, error) { return n.overview, n.err }

// scrape asks for the metrics as Prometheus does, and reads them as it does.
func scrape(t *testing.T, handler http.Handler) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// ours are the values of our own metrics by name and labels, of histograms the
// count.
func ours(families map[string]*dto.MetricFamily) map[string]float64 {
	values := map[string]float64{}
	for name, family := range families {
		if !strings.HasPrefix(name, "sandwarden_") {
			continue
		}
		for _, one := range family.GetMetric() {
			var labels []string
			for _, l := range one.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			key := name
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			values[key] = one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestMetrics_ShowWhatTheyWereTold(t *testing.T) {
	m := metrics.New(metrics.Options{Version: "1.2", Backend: "native", Templates: []string{"python", "mine"}})
	handler := m.Handler(t.Context(), &numbers{overview: sandbox.Overview{
		MaxSessions: 9, MemoryMB: 3, MaxMemoryMB: 8, CPUs: 2, HostTotal: 100, HostAvailable: 40, Used: 5,
		States: map[sandbox.Status]int{sandbox.StatusReady: 2, sandbox.StatusWaiting: 1}, //nolint:exhaustive // no others
	}})
	m.SessionAdmitted("mine", "small", time.Second)
	m.SessionRefused("host_memory")
	m.SessionRefused("invalid")
	m.SessionEnded(sandbox.CauseIdle)
	m.SandboxMade("python", time.Millisecond, nil)
	m.SandboxMade("python", time.Millisecond, errors.New("no"))
	m.SandboxLost(sandbox.CauseOOM)
	m.ActorRestarted()
	m.ExecutionEnded(sandbox.CodeExec, sandbox.OutcomeOK, time.Second, 0)
	m.ExecutionEnded(sandbox.CommandExec, string(sandbox.CauseWallTimeout), time.Second, 0)
	m.ExecutionEnded(sandbox.CommandExec, sandbox.OutcomeNotRun, 0, time.Second)
	m.OutputBytes(7)
	m.RequestAnswered("mcp", 200, time.Millisecond)
	m.RequestAnswered("events", 200, -1)
	m.RequestRefused("auth")
	m.StreamsChanged(1)
	m.StreamsChanged(1)
	m.StreamsChanged(-1)
	got := ours(scrape(t, handler))
	maps.DeleteFunc(got, func(_ string, v float64) bool { return v == 0 })
	want := map[string]float64{
		"sandwarden_build_info{backend=native,version=1.2}": 1,
		"sandwarden_up":                                                  1,
		"sandwarden_ready":                                               1,
		"sandwarden_sessions{state=ready}":                               2,
		"sandwarden_sessions{state=waiting}":                             1,
		"sandwarden_sessions_limit":                                      9,
		"sandwarden_memory_booked_bytes":                                 3 << 20,
		"sandwarden_memory_limit_bytes":                                  8 << 20,
		"sandwarden_cpus_booked":                                         2,
		"sandwarden_sandboxes_memory_bytes":                              5,
		"sandwarden_host_memory_bytes":                                   100,
		"sandwarden_host_memory_available_bytes":                         40,
		"sandwarden_sessions_admitted_total{flavor=small,template=mine}": 1,
		"sandwarden_session_admission_wait_seconds":                      1,
		"sandwarden_sessions_refused_total{reason=host_memory}":          1,
		"sandwarden_sessions_refused_total{reason=invalid}":              1,
		"sandwarden_sessions_ended_total{cause=idle}":                    1,
		"sandwarden_sandbox_creation_duration_seconds{template=python}":  1,
		"sandwarden_sandbox_creations_failed_total{template=python}":     1,
		"sandwarden_sandboxes_lost_total{cause=oom}":                     1,
		"sandwarden_session_actor_restarts_total":                        1,
		"sandwarden_executions_total{kind=code,outcome=ok}":              1,
		"sandwarden_executions_total{kind=command,outcome=wall_timeout}": 1,
		"sandwarden_executions_total{kind=command,outcome=not_run}":      1,
		"sandwarden_execution_duration_seconds{kind=code}":               1,
		"sandwarden_execution_duration_seconds{kind=command}":            1,
		"sandwarden_execution_wait_seconds{kind=code}":                   1,
		"sandwarden_execution_wait_seconds{kind=command}":                2,
		"sandwarden_output_bytes_total":                                  7,
		"sandwarden_http_requests_total{code=2xx,face=mcp}":              1,
		"sandwarden_http_requests_total{code=2xx,face=events}":           1,
		"sandwarden_http_request_duration_seconds{face=mcp}":             1,
		"sandwarden_http_refused_total{reason=auth}":                     1,
		"sandwarden_http_streams_open":                                   1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// Pools of templates that are not told apart are one.
func TestMetrics_SumUpPools(t *testing.T) {
	all := []sandbox.PoolStat{
		{Template: "python", Ready: 3, Target: 4, Hits: 5, Misses: 6, Failed: 7},
		{Template: "node"},
		{Template: "evil", Ready: 1},
		{Template: "more evil", Ready: 1, Hits: 1},
	}
	m := metrics.New(metrics.Options{Pools: func() []sandbox.PoolStat { return all }})
	got := ours(scrape(t, m.Handler(t.Context(), &numbers{})))
	maps.DeleteFunc(got, func(key string, _ float64) bool { return !strings.HasPrefix(key, "sandwarden_pool_") })
	want := map[string]float64{
		"sandwarden_pool_ready{template=python}":          3,
		"sandwarden_pool_target{template=python}":         4,
		"sandwarden_pool_hits_total{template=python}":     5,
		"sandwarden_pool_misses_total{template=python}":   6,
		"sandwarden_pool_failures_total{template=python}": 7,
		"sandwarden_pool_ready{template=node}":            0,
		"sandwarden_pool_target{template=node}":           0,
		"sandwarden_pool_hits_total{template=node}":       0,
		"sandwarden_pool_misses_total{template=node}":     0,
		"sandwarden_pool_failures_total{template=node}":   0,
		"sandwarden_pool_ready{template=other}":           2,
		"sandwarden_pool_target{template=other}":          0,
		"sandwarden_pool_hits_total{template=other}":      1,
		"sandwarden_pool_misses_total{template=other}":    0,
		"sandwarden_pool_failures_total{template=other}":  0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	for name := range scrape(t, metrics.New(metrics.Options{}).Handler(t.Context(), &numbers{})) {
		if strings.HasPrefix(name, "sandwarden_pool_") {
			t.Errorf("there is %s without pools", name)
		}
	}
}

func TestMetrics_TellOfTheRuntime(t *testing.T) {
	got := scrape(t, metrics.New(metrics.Options{}).Handler(t.Context(), &numbers{}))
	for _, name := range []string{"go_goroutines", "process_start_time_seconds", "go_build_info"} {
		if got[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}

// A supervisor that does not answer must not hide the other metrics.
func TestMetrics_ShowTheRestWithoutAnOverview(t *testing.T) {
	m := metrics.New(metrics.Options{})
	m.ActorRestarted()
	got := ours(scrape(t, m.Handler(t.Context(), &numbers{err: errors.New("no")})))
	if up, ok := got["sandwarden_up"]; !ok || up != 0 || got["sandwarden_session_actor_restarts_total"] != 1 {
		t.Errorf("up %v (%t), want 0 and the other metrics", up, ok)
	}
	if _, ok := got["sandwarden_sessions_limit"]; ok {
		t.Error("there are numbers that nobody told")
	}
}

// The attack: clients that choose names, so as to fill the daemon's memory, or
// to write lines of their own into a scrape.
func TestMetrics_DoNotGrowWithWhatClientsChoose(t *testing.T) {
	m := metrics.New(metrics.Options{})
	handler := m.Handler(t.Context(), &numbers{overview: sandbox.Overview{States: map[sandbox.Status]int{"evil": 1}}}) //nolint:exhaustive // no others
	evil := func(i int) string { return fmt.Sprintf("evil %d\"}\n# HELP sandwarden_forged\n\xff\x00", i) }
	tell := func(i int) {
		name := evil(i)
		m.SessionAdmitted(name, name, 0)
		m.SessionRefused(name)
		m.SessionEnded(sandbox.Cause(name))
		m.SandboxMade(name, 0, nil)
		m.SandboxMade(name, 0, errors.New(name))
		m.SandboxLost(sandbox.Cause(name))
		m.ExecutionEnded(sandbox.ExecKind(name), name, -time.Hour, 1<<62)
		m.RequestAnswered(name, i-50, time.Second)
		m.RequestRefused(name)
	}
	for i := range 1000 {
		tell(i)
	}
	before := ours(scrape(t, handler))
	for i := range 1000 {
		tell(1000 + i)
	}
	after := ours(scrape(t, handler))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))); diff != "" {
		t.Errorf("series were added (-before +after):\n%s", diff)
	}
	for key := range after {
		if strings.Contains(key, "evil") || strings.Contains(key, "forged") {
			t.Errorf("series %q", key)
		}
	}
	for _, key := range []string{
		"sandwarden_sessions_admitted_total{flavor=other,template=other}", "sandwarden_sessions_refused_total{reason=other}",
		"sandwarden_executions_total{kind=code,outcome=other}", "sandwarden_http_refused_total{reason=other}",
	} {
		if after[key] != 2000 {
			t.Errorf("%s is %v, want 2000", key, after[key])
		}
	}
}

func TestMetrics_PassTheLinterOfPrometheus(t *testing.T) {
	m := metrics.New(metrics.Options{Pools: func() []sandbox.PoolStat { return []sandbox.PoolStat{{Template: "python"}} }})
	m.Handler(t.Context(), &numbers{overview: sandbox.Overview{MaxSessions: 1, MaxMemoryMB: 1, MaxCPUs: 1, HostTotal: 1, Used: 1, UsedMax: 1}})
	m.SessionAdmitted("python", "small", 0)
	m.SessionRefused("queue")
	m.SessionEnded(sandbox.CauseNone)
	m.SandboxMade("python", 0, nil)
	m.SandboxMade("python", 0, errors.New("no"))
	m.SandboxLost(sandbox.CauseCrashed)
	m.ExecutionEnded(sandbox.CodeExec, sandbox.OutcomeFailed, 0, 0)
	m.RequestAnswered("mcp", 200, 0)
	m.RequestRefused("host")
	problems, err := testutil.GatherAndLint(m.Gatherer())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "sandwarden_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestMetrics_AreForManyGoroutines(t *testing.T) {
	m := metrics.New(metrics.Options{})
	handler := m.Handler(t.Context(), &numbers{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				m.ExecutionEnded(sandbox.CodeExec, sandbox.OutcomeOK, time.Second, time.Second)
				m.RequestAnswered("mcp", 200, time.Second)
			}
		})
	}
	for range 5 {
		scrape(t, handler)
	}
	all.Wait()
	if got := ours(scrape(t, handler))["sandwarden_executions_total{kind=code,outcome=ok}"]; got != 1600 {
		t.Errorf("%v executions, want 1600", got)
	}
}

// What one warm call costs in all: its request, its execution and its output.
func BenchmarkWarmCall(b *testing.B) {
	m := metrics.New(metrics.Options{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.OutputBytes(6)
			m.ExecutionEnded(sandbox.CodeExec, sandbox.OutcomeOK, time.Millisecond, time.Microsecond)
			m.RequestAnswered("mcp", 200, time.Millisecond)
		}
	})
}
