package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sandwarden/sandwarden/sandbox"
)

// pools are the numbers of what is ready, asked for at each scrape.
type pools struct {
	ask       func() []sandbox.PoolStat
	templates words
}

// Describe implements [prometheus.Collector]. Which templates have pools is not
// known before they are asked for.
func (*pools) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (v *pools) Collect(to chan<- prometheus.Metric) {
	sums := map[string]sandbox.PoolStat{}
	for _, one := range v.ask() {
		sum := sums[v.templates.known(one.Template)]
		sum.Ready += one.Ready
		sum.Target += one.Target
		sum.Hits += one.Hits
		sum.Misses += one.Misses
		sum.Failed += one.Failed
		sums[v.templates.known(one.Template)] = sum
	}
	show := func(kind prometheus.ValueType, name, help string, of func(sandbox.PoolStat) float64) {
		desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "pool", name), help, []string{"template"}, nil)
		for template, sum := range sums {
			to <- prometheus.MustNewConstMetric(desc, kind, of(sum), template)
		}
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	show(gauge, "ready", "Sandboxes that are ready before they are asked for.", func(s sandbox.PoolStat) float64 { return float64(s.Ready) })
	show(gauge, "target", "How many are to be ready, as often as they are asked for.", func(s sandbox.PoolStat) float64 { return float64(s.Target) })
	show(counter, "hits_total", "Sessions that got a ready sandbox.", func(s sandbox.PoolStat) float64 { return float64(s.Hits) })
	show(counter, "misses_total", "Sessions that had to wait for a sandbox to be made.", func(s sandbox.PoolStat) float64 { return float64(s.Misses) })
	show(counter, "failures_total", "Sandboxes that could not be made ahead.", func(s sandbox.PoolStat) float64 { return float64(s.Failed) })
}
